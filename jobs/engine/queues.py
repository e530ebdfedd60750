"""What a dispatcher knows about queues: which there are, and which of them are paused."""

from __future__ import annotations

import time
from collections.abc import Set

from ..conf import conf
from ..models import Queue

#: The list is read again when it is older than this,
QUEUES_SECONDS = 1.0
#: and when somebody hinted that it changed, but not more often than this.
HINT_SECONDS = 0.05

NEVER = float("inf")


class Queues:
    """The queues of one server, as they were when last read. `own`: in order, None for all."""

    def __init__(self, own: list[str] | None) -> None:
        self.own = own
        self.paused: frozenset[str] = frozenset()
        self._known: list[str] = []
        self._read_at = -NEVER
        self._hinted = False
        self._turn = 0

    @property
    def due_at(self) -> float:
        """The moment (monotonic) from which the list is too old to claim by."""
        return self._read_at + (HINT_SECONDS if self._hinted else QUEUES_SECONDS)

    @property
    def hinted_at(self) -> float:
        """The same if somebody hinted at a change, else never."""
        return self.due_at if self._hinted else NEVER

    def hint(self, names: Set[str] | None) -> None:
        """Hear that there may be jobs in `names` (None: anywhere); some may be new."""
        if names is None or not names <= set(self._known):
            self._hinted = True

    def read(self) -> bool:
        """Read the list; return whether it is another than before."""
        now = time.monotonic()
        rows = list(Queue.objects.using(conf.DATABASE).values_list("name", "paused_at"))
        before = self._known, self.paused
        self._known = [name for name, _ in rows]
        self.paused = frozenset(name for name, paused_at in rows if paused_at)
        self._read_at, self._hinted = now, False
        return before != (self._known, self.paused)

    def in_turn(self) -> list[str]:
        """Return the queues to claim from: the server's own in order, else all of them in turn."""
        if self.own is not None:
            queues = self.own
        else:
            self._turn += 1
            start = self._turn % (len(self._known) or 1)
            queues = self._known[start:] + self._known[:start]
        return [name for name in queues if name not in self.paused] if self.paused else queues
