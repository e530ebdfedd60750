"""Scheduled jobs: enqueued when their time has come, by the dispatcher."""

from __future__ import annotations

import time
from functools import partial

from .. import transitions
from . import outlook
from .database import Outage
from .outlook import NEVER

#: So many are enqueued in one transaction.
BATCH = 250
#: The next due time is asked for again after so many seconds, whatever else happens (whoever polls
#: hints at one with every poll),
ASK_SECONDS = 5.0
#: and not more often than this when somebody hints that there is an earlier one.
HINT_SECONDS = 0.05


class DueJobs:
    """When the next scheduled job is due, as far as is known. Moments are monotonic.

    `server`: whose row is asked.
    """

    def __init__(self, server: str, outage: Outage) -> None:
        self._server, self._outage = server, outage
        #: Whether there is a job to claim, if that was asked in this turn and not used yet.
        self.claimable: bool | None = None
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
                self._due_at = now + self._outage.wait_for(self.enqueue)
                return set()
            # A full batch: there may be more.
            self._due_at = now if len(queues or ()) == BATCH else NEVER
            self._ask_at = 0.0
        if now >= self._ask_at and self._due_at > now:
            self._asked_at = now
            done, found = self._outage.attempt(partial(outlook.of, self._server))
            if done and found is not None:
                self._ask_at = now + ASK_SECONDS
                self._due_at = now + max(0.0, found.due_seconds)
                self.claimable = found.claimable
            else:
                self._ask_at = now + self._outage.wait_for(outlook.of)
        return set(queues or ())
