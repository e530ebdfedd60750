"""Ending jobs that were deleted while they run, and dropping those that were before they began."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from ..conf import conf
from ..models import Job
from ..states import State
from .arena import Pair
from .chores import Chores
from .database import Outage
from .hands import Hands

logger = logging.getLogger(__name__)

#: How often to look whether a job that runs has been deleted; runs shorter than that just end.
CANCEL_SECONDS = 0.4


class Cancelling:
    """Looks for deleted jobs among those in hand. `say`: to the sentinel."""

    def __init__(
        self,
        server: str,
        hands: Hands,
        chores: Chores,
        outage: Outage,
        say: Callable[..., Any],
    ) -> None:
        self._server, self._hands, self._chores = server, hands, chores
        self._outage, self._say = outage, say
        self._cancel_at = 0.0
        self._deleted: frozenset[Pair] = frozenset()  # held by us when last looked

    def cancel(self) -> None:
        """End what was deleted, if it is time to look."""
        now = time.monotonic()
        if now < self._cancel_at or self._outage.wait:
            return
        self._cancel_at = now + CANCEL_SECONDS
        crew = self._hands.crew
        running = {
            found.pair: line
            for line in crew
            if (found := line.slot.running()) and now - found.started >= CANCEL_SECONDS
        }
        if not running and not self._hands.holds_waiting:
            return
        held = Job.objects.using(conf.DATABASE).held_by(self._server).filter(state=State.DELETED)
        _, pairs = self._outage.attempt(lambda: list(held.values_list("id", "claim_token")))
        self._deleted = frozenset(pairs or ())
        for pair in self._deleted:
            if line := running.get(pair):
                logger.info("#%d was deleted while it runs; ending it", pair[0])
                line.slot.cancel(pair[1])
                self._say("cancel", line.index)
        for line in crew:
            if self._deleted and line.holds_unstarted(self._deleted):
                line.revoke()
        self.drop_deleted()

    def drop_deleted(self) -> None:
        """Let go of deleted jobs that were not sent."""
        if not self._deleted:
            return
        gone = self._hands.let_go(lambda job: (job.id, job.token) in self._deleted)
        self._chores.give_back(gone, "it was deleted", started=False)
