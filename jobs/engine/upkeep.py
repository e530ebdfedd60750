"""Housekeeping's small work: removing what is too old, a little at a time, never delaying a beat."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from ..conf import conf
from ..pruning import BATCH, Position, prune_counters, prune_jobs, roll_up
from .database import Outage

#: How often to look for expired jobs,
PRUNE_SECONDS = 15.0
#: and for counters to be summed or removed.
COUNTERS_SECONDS = 60.0
#: A batch of jobs that takes longer makes the next one smaller,
LONG_SECONDS = 0.1
#: but not smaller than this.
SMALLEST_BATCH = 20
#: Nothing is begun so shortly before a heartbeat.
ROOM_SECONDS = 0.25


@dataclass
class Errand:
    """Work that can wait, in pieces. `piece` does one and returns whether more is to be done."""

    piece: Callable[[], bool]
    every_seconds: float
    due: float = 0.0


class Upkeep:
    """Does one piece of work at a time, where the loop that calls it has room for one."""

    def __init__(self, outage: Outage) -> None:
        self._outage = outage
        self._batch = BATCH
        self._position: Position | None = None
        self._errands = [
            Errand(self._prune, PRUNE_SECONDS),
            Errand(roll_up, COUNTERS_SECONDS),
            Errand(prune_counters, COUNTERS_SECONDS),
        ]

    def wait(self, room: float) -> float:
        """Return the seconds until `turn` has something to do, given `room` seconds of time."""
        due = min(errand.due for errand in self._errands)
        return max(0.0, due - time.monotonic()) if self._fits(room) else float("inf")

    def turn(self, room: float) -> None:
        """Do the piece of work that is due for longest, if there is one and `room` for it."""
        errand = min(self._errands, key=lambda errand: errand.due)
        began = time.monotonic()
        if began < errand.due or not self._fits(room):
            return
        done, more = self._outage.attempt(errand.piece)
        ended = time.monotonic()
        # With more to do, rest as long as it worked, so that others get at the database.
        rest = ended - began if more else errand.every_seconds
        errand.due = ended + (rest if done else max(0.1, self._outage.wait_for(errand.piece)))

    def _fits(self, room: float) -> bool:
        return room >= min(ROOM_SECONDS, conf.HEARTBEAT_SECONDS / 2)

    def _prune(self) -> bool:
        began = time.monotonic()
        pruned = prune_jobs(self._batch, after=self._position)
        seconds = time.monotonic() - began
        if seconds > LONG_SECONDS:
            self._batch = max(SMALLEST_BATCH, self._batch // 2)
        elif seconds < LONG_SECONDS / 4:
            self._batch = min(BATCH, self._batch * 2)
        self._position = pruned.position
        return self._position is not None
