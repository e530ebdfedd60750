"""Claiming for a server: when, how many, and from which queues."""

from __future__ import annotations

import time
import uuid
from functools import partial

from django.db.models import QuerySet

from .. import transitions
from ..conf import conf
from ..models import Job, compiled
from . import outlook
from .database import Outage
from .due import DueJobs
from .hands import Hands
from .queues import Queues
from .reconciling import Reconciler
from .trust import Trust


class Claiming:
    """Claims jobs when there may be some and more of them are wanted."""

    def __init__(
        self,
        server: str,
        queues: Queues,
        due: DueJobs,
        hands: Hands,
        trust: Trust,
        reconciler: Reconciler,
        outage: Outage,
    ) -> None:
        self._server, self._queues, self._due, self._hands = server, queues, due, hands
        self._trust, self._reconciler, self._outage = trust, reconciler, outage
        self._more = True  # there may be jobs to claim
        self._woken = False  # somebody said so
        self._skipped = 0  # recovered jobs that the last claim left for an idle worker
        self._apart = 0  # and those it left until others have ended
        self._again_at = 0.0  # the moment (monotonic) of the next try of what failed
        self.closed = False

    def hear(self, *, sure: bool = True) -> None:
        """Hear that there may be jobs. `sure`: there are some, or will be at once."""
        self._more, self._again_at = True, 0.0
        self._woken = self._woken or sure

    def hear_of_ends(self) -> None:
        """Hear that jobs have ended, for which others may have waited."""
        if self._apart:
            self.hear()

    def close(self) -> None:
        """Claim nothing any more."""
        self.closed = True

    @property
    def may_claim(self) -> bool:
        """Whether there may be jobs, and more of them are wanted."""
        return self._more and self.wanted() > 0

    @property
    def wait(self) -> float:
        """Seconds until a claim is tried again; 0 if nothing speaks against it."""
        return max(self._outage.wait, self._again_at - time.monotonic())

    def wanted(self) -> int:
        """How many more jobs may be claimed now."""
        if self.closed or self._queues.quiet:
            return 0
        return self._hands.crew.wanted(len(self._hands.buffer), wary=self._skipped > 0)

    def look(self) -> int:
        """Return how many jobs to claim now."""
        wanted = self.wanted()
        if not self._more or wanted <= 0 or self.wait > 0 or not self._trust.holds():
            return 0
        if not self._woken:  # a server with nothing to do asks one question, not one per queue
            done, found = self._any_claimable()
            self._more = bool(found) or not done
            if not done:
                self._try_again_in(self._outage.wait_for(self._any_claimable))
            if not found:
                return 0
        return wanted

    def claim(self, wanted: int) -> int:
        """Claim up to so many jobs into the buffer; return how many it were."""
        buffer, told = self._hands.buffer, self._woken
        before = len(buffer)
        waits = self._claim_from_queues(before + wanted)
        claimed = len(buffer) - before
        if not (claimed or waits or told):
            # There was a job to claim, so it is in a queue that we do not know yet, if none is
            # paused and nobody was quicker.
            self._queues.doubt()
        self._more = claimed >= wanted or self._skipped > 0 or bool(waits)
        self._woken = self._more and (self._woken or claimed > 0)
        if waits and claimed < wanted:
            self._try_again_in(min(waits))
        return claimed

    def _try_again_in(self, seconds: float) -> None:
        self._again_at = time.monotonic() + seconds

    def _claim_from_queues(self, full: int) -> list[float]:
        """Claim from one queue after the other until the buffer holds `full` jobs.

        Return the seconds until those are to be tried again that fail.
        """
        buffer, waits = self._hands.buffer, []
        self._skipped = self._apart = 0
        for queue in self._queues.in_turn():
            left = full - len(buffer)
            if left <= 0:
                break
            work, key = partial(self._claim_from, queue, left), ("claim", queue)
            done, _ = self._outage.attempt(work, key)
            if not done:
                waits.append(self._outage.wait_for(work, key))
                if self._outage.since:
                    break
        return waits

    def _claim_from(self, queue: str, limit: int) -> None:
        # An empty queue costs one statement, not a transaction.
        if not self._woken and not _first_claimable(queue):
            return
        self._reconciler.claiming()
        claims = transitions.claim(
            queue,
            limit,
            server=self._server,
            token=uuid.uuid4().hex,
            idle=self._hands.crew.idle - len(self._hands.buffer),
        )
        self._queues.claimed(queue, claims)
        self._hands.buffer += claims
        self._skipped += claims.skipped
        self._apart += claims.apart

    def _any_claimable(self) -> tuple[bool, bool | None]:
        """Return whether that is known, and whether there is a job to claim."""
        answer, self._due.claimable = self._due.claimable, None
        if answer is not None:  # asked a moment ago, together with what is due
            return True, answer
        return self._outage.attempt(lambda: outlook.of(self._server).claimable)


@compiled.query
def _first_claimable(queue: str) -> QuerySet[Job, tuple[int]]:
    return Job.objects.using(conf.DATABASE).claimable(queue).values_list("pk")[:1]
