"""The living workers of a server: how long jobs take there, who can take more, and how much."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator

from ..outcomes import Claimed
from .arena import MESSAGE_JOBS
from .line import Line

#: One claim takes at most so many jobs.
CLAIM_JOBS = 250
#: Jobs are claimed ahead of idle workers only while a job typically takes less than this,
AHEAD_BELOW_SECONDS = 0.02
#: and then, by their mean, about so much work per worker,
AHEAD_SECONDS = 0.2
#: but never more jobs than these in all.
AHEAD_JOBS = 600
#: While a job is expected to take less than this, several travel in one message.
SHORT_SECONDS = 0.005
#: A message carries about so much work.
MESSAGE_SECONDS = 0.02


class Crew:
    """The lines to the workers, by slot."""

    def __init__(self) -> None:
        self.lines: dict[int, Line] = {}
        self._mean: float | None = None
        self._log = 0.0

    def __iter__(self) -> Iterator[Line]:
        return iter(self.lines.values())

    @property
    def idle(self) -> int:
        """How many workers could start a job at once."""
        return sum(line.idle for line in self)

    @property
    def outstanding(self) -> int:
        """How many jobs the workers have not finished."""
        return sum(line.outstanding for line in self)

    @property
    def holds_waiting(self) -> bool:
        """Whether a worker has jobs that it has not started."""
        return any(line.outstanding > 1 for line in self)

    @property
    def may_have_to_recall(self) -> bool:
        return any(line.recalling or line.outstanding > 1 or not line.window for line in self)

    @property
    def starving(self) -> bool:
        """Whether a worker will soon have nothing to do because outcomes are not committed."""
        return any(line.starving for line in self)

    def took(self, seconds: float) -> None:
        """Learn how long a job took."""
        log = math.log(max(seconds, 1e-6))
        if self._mean is None:
            self._mean, self._log = seconds, log
        self._mean += (seconds - self._mean) * 0.1
        self._log += (log - self._log) * 0.1

    def expected(self) -> float:
        """Return how long a job takes on average, by those that ended and those that don't end."""
        if self._mean is None:
            return AHEAD_BELOW_SECONDS
        return max(self._mean, self._shortest_run())

    def typical(self) -> float:
        """Return the geometric mean: a few long jobs among many short ones count little."""
        if self._mean is None:
            return AHEAD_BELOW_SECONDS
        return max(math.exp(self._log), self._shortest_run())

    def _shortest_run(self) -> float:
        """Return for how long all workers have been running their jobs; 0 if one runs none."""
        now = time.monotonic()
        runs = []
        for line in self:
            running = line.slot.running()
            if running is None:
                return 0.0
            runs.append(now - running.started)
        return min(runs, default=0.0)

    def wanted(self, buffered: int, *, wary: bool) -> int:
        """Return how many more jobs may be claimed when so many are claimed and not sent.

        `wary`: there are recovered jobs, which are never claimed ahead.
        """
        if not self.lines:
            return 0
        idle = self.idle
        if wary or self.typical() >= AHEAD_BELOW_SECONDS:
            return idle - buffered
        seconds = max(self.expected(), 1e-6)
        allowed = min(AHEAD_JOBS, int(len(self.lines) * AHEAD_SECONDS / seconds))
        ahead = buffered + self.outstanding
        if ahead > allowed // 2 and buffered >= idle:
            return 0
        return max(idle - buffered, min(CLAIM_JOBS, allowed - ahead))

    def can_take(self, job: Claimed) -> bool:
        """Whether some worker may be sent this job now."""
        return any(self._may_send(line, job) for line in self)

    def _may_send(self, line: Line, job: Claimed) -> bool:
        if job.recovered:
            return line.idle
        return line.window and (not line.outstanding or self.typical() < AHEAD_BELOW_SECONDS)

    def hand_out(self, buffer: deque[Claimed]) -> None:
        """Send jobs from the front of `buffer`, the least busy worker first."""
        for line in sorted(self, key=lambda line: line.outstanding):
            if not buffer:
                return
            if self._may_send(line, buffer[0]):
                line.send(self._message(buffer))

    def _message(self, buffer: deque[Claimed]) -> list[Claimed]:
        """Take the jobs of one message from the front: a recovered one travels alone."""
        jobs = [buffer.popleft()]
        size = message_size(self.expected(), len(buffer) + 1, len(self.lines))
        while not jobs[0].recovered and buffer and len(jobs) < size and not buffer[0].recovered:
            jobs.append(buffer.popleft())
        return jobs


def message_size(seconds: float, waiting: int, lines: int) -> int:
    """Return how many jobs of so many seconds go into one message: 20 ms of work, shared fairly."""
    if seconds >= SHORT_SECONDS:
        return 1
    fair = math.ceil(waiting / max(1, lines))
    return max(1, min(MESSAGE_JOBS, fair, int(MESSAGE_SECONDS / max(seconds, 1e-6))))
