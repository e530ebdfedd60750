"""Wakes when a recurring job is due. What then happens is in `occurrences`.

Due is decided by the database's clock and waited for by the monotonic one, so a host whose clock
is wrong or set meanwhile schedules as well as any other.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from .. import occurrences
from ..exceptions import InvalidOption
from ..recurring_jobs import write_remembered
from .database import Outage

logger = logging.getLogger(__name__)

#: The next due time is asked for again after so many seconds, whatever else happens,
LOOK_SECONDS = 5.0
#: and after so many when the dispatcher has heard that it may have changed.
HINT_SECONDS = 1.0
#: Those with an error are tried again after so many seconds, within the grace for most.
BROKEN_SECONDS = 30.0
#: What is due but in another server's hands is looked at again after so many seconds, doubling.
TAKEN_SECONDS = 0.02
LONGEST_TAKEN_SECONDS = 1.0


class Scheduler:
    """When to look for due recurring jobs.

    `wake`: called when jobs have been created, by this server or by another that was quicker.
    `clock`: monotonic seconds. `hinted`: returns when, by it, somebody last said that a due time may
    have changed.
    """

    def __init__(
        self,
        outage: Outage,
        wake: Callable[[], object],
        clock: Callable[[], float] = time.monotonic,
        hinted: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._outage, self._wake, self._clock, self._hinted = outage, wake, clock, hinted
        self._declared = False
        self._expecting = False  # an occurrence was due, or about to be, at the last look
        self._look_at = self._looked_at = self._broken_at = 0.0
        self._taken = TAKEN_SECONDS

    def seconds(self) -> float:
        """Return after how many seconds `work` has something to do."""
        look_at = self._look_at
        if self._hinted() > self._looked_at:
            look_at = min(look_at, self._looked_at + HINT_SECONDS)
        return max(self._outage.wait_for(self._pass), look_at - self._clock())

    def work(self) -> None:
        """Create the jobs that are due, at most one pass of them."""
        if self.seconds() > 0:
            return
        if not self._declared:
            self._declared, _ = self._outage.attempt(_write_remembered)
        self._looked_at = self._clock()
        done, wait = self._outage.attempt(self._pass)
        if done and wait is not None:
            self._look_at = self._clock() + wait

    def _pass(self) -> float:
        """Do one pass and return the seconds until the next."""
        if self._clock() >= self._broken_at:
            self._broken_at = self._clock() + BROKEN_SECONDS
            occurrences.create_due(broken=True)
        wait = occurrences.seconds_to_next()
        if wait is None or wait > 0:
            if self._expecting:
                self._wake()
            self._expecting = wait is not None and wait <= LOOK_SECONDS
            self._taken = TAKEN_SECONDS
            return min(LOOK_SECONDS, LOOK_SECONDS if wait is None else wait)
        self._expecting = True
        if occurrences.create_due():
            return 0.0
        self._taken = min(LONGEST_TAKEN_SECONDS, self._taken * 2)
        return self._taken


def _write_remembered() -> None:
    try:
        write_remembered()
    except InvalidOption as error:  # `migrate` has said so too; the others are written
        logger.error("%s", error)
