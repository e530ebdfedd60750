"""Taking jobs back that wait: behind a long job, with no worker free, on a queue that was paused."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from ..conf import conf
from .cancelling import Cancelling
from .chores import Chores
from .hands import Hands
from .line import Line
from .queues import Queues

#: Claimed jobs that none of our workers can take go back after so many seconds.
STUCK_SECONDS = 1.0
#: How often slots are compared with what was sent.
LOOK_SECONDS = 0.05


class Recalling:
    """Takes back what waits in vain, to be handed to other workers or to its queue.

    `take_in`: reads the outcomes that a line has to tell. `say`: to the sentinel.
    """

    def __init__(
        self,
        hands: Hands,
        queues: Queues,
        cancelling: Cancelling,
        chores: Chores,
        take_in: Callable[[Line], None],
        say: Callable[..., Any],
    ) -> None:
        self._hands, self._queues, self._cancelling = hands, queues, cancelling
        self._chores, self._take_in, self._say = chores, take_in, say
        self._look_at = 0.0
        self._stuck_since: float | None = None

    def recall(self, *, stopping: bool) -> None:
        """Take back what workers have let go of, and ask for what else they shall let go of.

        `stopping`: what comes back goes to its queue, as nothing is started here any more.
        """
        now, paused = time.monotonic(), self._queues.quiet or self._queues.paused
        looking = now >= self._look_at
        if looking:
            self._look_at = now + LOOK_SECONDS
        for line in self._hands.crew:
            if looking and line.hangs(now, conf.PULSE_TIMEOUT_SECONDS):
                self._say("hangs", line.index, line.pid)
            if line.may_take_back(now):
                self._take_back(line, stopping=stopping)
            elif looking and (
                line.must_recall(now) or (paused and line.holds_waiting(self._queues.is_paused))
            ):
                line.revoke()
        if paused:
            self._leave_paused()
        if not stopping:
            self._stop_hoarding(now)

    def queues_changed(self) -> None:
        """Hear that the list of queues, or which of them may start jobs, is another one."""
        self._look_at = 0.0
        self._leave_paused()

    def _take_back(self, line: Line, *, stopping: bool) -> None:
        recalled = line.take_back(partial(self._take_in, line))
        if stopping:
            pairs = [(job.id, job.token) for job in recalled.own] + recalled.foreign
            self._chores.give_back(pairs, "its server was stopped", started=False)
        else:
            self._hands.buffer.extendleft(reversed(recalled.own))
            self._cancelling.drop_deleted()
            self._chores.give_back(recalled.foreign, "it waited behind a long job", started=False)

    def _stop_hoarding(self, now: float) -> None:
        """Give back what was claimed when none of our workers has been able to take it."""
        buffer = self._hands.buffer
        if not buffer or self._hands.crew.can_take(buffer[0]):
            self._stuck_since = None
        elif self._stuck_since is None:
            self._stuck_since = now
        elif now - self._stuck_since >= STUCK_SECONDS:
            self._chores.give_back(self._hands.let_go(), "no worker was free for it", started=False)

    def _leave_paused(self) -> None:
        """Give back the jobs of paused queues, without waking anybody for them."""
        if self._queues.quiet:  # others may take them, so they are told
            self._chores.give_back(self._hands.let_go(), "its server was made quiet", started=False)
            return
        is_paused = self._queues.is_paused
        pairs = self._hands.let_go(lambda job: is_paused(job.queue))
        self._chores.give_back_quietly(pairs, "its queue was paused")
