"""Whether a server that works off what there is has anything left to do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from .. import continuations, occurrences
from ..conf import conf
from ..models import Job
from ..queues import add_missing as add_missing_queues
from ..queues import has_due
from ..wakeup import announce_all
from .claiming import Claiming
from .database import Outage
from .queues import Queues
from .trust import Trust

#: How often a server with nothing in its hands looks whether anything is left.
LOOK_SECONDS = 0.05


class Draining:
    """Looks whether anything is left, and ends the claiming when nothing is. `say`: to the sentinel."""

    def __init__(
        self,
        server: str,
        queues: Queues,
        claiming: Claiming,
        trust: Trust,
        outage: Outage,
        say: Callable[..., Any],
    ) -> None:
        self._server, self._queues, self._claiming = server, queues, claiming
        self._trust, self._outage, self._say = trust, outage, say
        #: The moment (monotonic) of the next look.
        self.look_at = 0.0

    def look(self) -> None:
        """Tell the sentinel when nothing is left to start, to finish or to write.

        For a dispatcher that has nothing in its hands.
        """
        now = time.monotonic()
        if now < self.look_at or not self._trust.holds():
            return
        self.look_at = now + LOOK_SECONDS
        done, left = self._outage.attempt(self.anything_left)
        if done and not left:
            self._claiming.close()  # what comes now is not claimed any more
            self._say("drained")
        elif done:
            self._claiming.hear(sure=False)

    def anything_left(self) -> bool:
        if Job.objects.using(conf.DATABASE).held_by(self._server).exists():
            return True
        # What housekeeping would do within seconds; until then nobody sees these jobs.
        if occurrences.create_due() or occurrences.create_due(broken=True):
            return True
        if released := continuations.sweep():
            announce_all(released)
            return True
        left = has_due(self._queues.own)
        if left and self._queues.own is None:
            add_missing_queues()  # or what is left might never be seen
        return left
