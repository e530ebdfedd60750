"""Scheduled jobs: enqueued when their time has come, by the dispatcher."""

from __future__ import annotations

import time

from .. import transitions
from ..clock import DatabaseNow
from ..conf import conf
from ..models import Job
from ..states import State
from .database import Outage

#: So many are enqueued in one transaction.
BATCH = 250
#: The next due time is asked for again after so many seconds, whatever else happens (whoever polls
#: hints at one with every poll),
ASK_SECONDS = 5.0
#: and not more often than this when somebody hints that there is an earlier one.
HINT_SECONDS = 0.05

NEVER = float("inf")


class DueJobs:
    """When the next scheduled job is due, as far as is known. Moments are monotonic."""

    def __init__(self, outage: Outage) -> None:
        self._outage = outage
        self._due_at = self._ask_at = self._asked_at = 0.0

    @property
    def look_at(self) -> float:
        """The moment at which `enqueue` has something to do."""
        return min(self._due_at, self._ask_at)

    def hint(self) -> None:
        """Hear that there may be an earlier due time."""
        self._ask_at = min(self._ask_at, self._asked_at + HINT_SECONDS)

    def expect(self, seconds: float) -> None:
        """Hear that a job is due in so many seconds."""
        self._due_at = min(self._due_at, time.monotonic() + seconds)

    def enqueue(self) -> set[str]:
        """Enqueue the jobs whose time has come, a batch at most; return their queues."""
        now = time.monotonic()
        queues: list[str] | None = []
        if now >= self._due_at:
            done, queues = self._outage.attempt(lambda: transitions.promote_due(BATCH))
            if not done:
                return set()
            # A full batch: there may be more.
            self._due_at = now if len(queues or ()) == BATCH else NEVER
            self._ask_at = 0.0
        if now >= self._ask_at and self._due_at > now:
            self._asked_at = now
            done, wait = self._outage.attempt(_seconds_to_next)
            if done:
                self._ask_at = now + ASK_SECONDS
                self._due_at = NEVER if wait is None else now + max(0.0, wait)
        return set(queues or ())


def _seconds_to_next() -> float | None:
    scheduled = Job.objects.using(conf.DATABASE).filter(state=State.SCHEDULED)
    first = (
        scheduled.annotate(now=DatabaseNow())
        .order_by("run_at", "id")
        .values_list("run_at", "now")
        .first()
    )
    return (first[0] - first[1]).total_seconds() if first else None
