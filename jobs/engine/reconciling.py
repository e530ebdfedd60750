"""Rows that are this server's by name but in nobody's hands."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from ..conf import conf
from ..models import Job
from .arena import Pair
from .database import Outage

logger = logging.getLogger(__name__)

#: A row of ours that nobody here knows goes back after so many seconds.
UNKNOWN_SECONDS = 2.0


class Reconciler:
    """Compares the rows that `server` holds with what its processes know of."""

    def __init__(self, server: str, outage: Outage) -> None:
        self._server, self._outage = server, outage
        self._unknown: dict[Pair, float] = {}
        self._holds_none = False
        #: The moment (monotonic) of the next look.
        self.look_at = 0.0

    def claiming(self) -> None:
        """Hear that rows are about to become ours."""
        self._holds_none = False

    def lost(self, known: Callable[[], set[Pair]]) -> list[Pair]:
        """Return what has been unknown for too long, if it is time to look.

        `known`: asked after the rows were read, so that nothing claimed meanwhile seems unknown.
        """
        now = time.monotonic()
        if now < self.look_at:
            return []
        self.look_at = now + conf.RECONCILE_SECONDS
        if self._holds_none:
            return []
        held = Job.objects.using(conf.DATABASE).held_by(self._server)
        done, pairs = self._outage.attempt(lambda: list(held.values_list("id", "claim_token")))
        if not done or not pairs:
            self._holds_none = done
            return []
        safe = known()
        self._unknown = {p: self._unknown.get(p, now) for p in pairs if p not in safe}
        if not self._unknown:
            return []
        self.look_at = now + UNKNOWN_SECONDS + 0.01
        lost = [p for p, since in self._unknown.items() if now - since >= UNKNOWN_SECONDS]
        if lost:
            ids = ", ".join(f"#{pk}" for pk, _ in lost[:20])
            logger.warning("%d jobs of this server were in nobody's hands: %s", len(lost), ids)
        return lost
