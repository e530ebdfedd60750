"""What a dispatcher has in its hands: claimed jobs, until their outcomes are committed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ..outcomes import Claimed
from .arena import Pair
from .crew import Crew
from .recorder import Recorder


class Hands:
    """Jobs that were not sent, those with workers, and outcomes that are to be written."""

    def __init__(self, crew: Crew, recorder: Recorder) -> None:
        self.buffer: deque[Claimed] = deque()  # claimed, not sent
        self.crew, self.recorder = crew, recorder

    @property
    def holds_waiting(self) -> bool:
        """Whether jobs are in hand that have not started."""
        return bool(self.buffer) or self.crew.holds_waiting

    def known(self) -> set[Pair]:
        known = {(job.id, job.token) for job in self.buffer}
        known |= self.ended()
        for line in self.crew:
            known |= line.holds()
        return known

    def ended(self) -> set[Pair]:
        """Return the runs whose outcomes are to be written."""
        return {pending.pair for pending in self.recorder.pending}

    def let_go(self, which: Callable[[Claimed], bool] = lambda _: True) -> list[Pair]:
        """Take those jobs out of the buffer and return them."""
        gone = [(job.id, job.token) for job in self.buffer if which(job)]
        if gone:
            kept = [job for job in self.buffer if not which(job)]
            self.buffer.clear()
            self.buffer.extend(kept)
        return gone
