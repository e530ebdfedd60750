"""What a dispatcher knows about queues: which there are, and which of them are paused."""

from __future__ import annotations

import time
from collections.abc import Iterable, Set
from datetime import datetime

from django.db.models import QuerySet

from ..conf import conf
from ..models import Queue, compiled
from ..outcomes import Claimed

#: The list is read again when it is older than this,
QUEUES_SECONDS = 1.0
#: and when somebody hinted that it changed, but not more often than this.
HINT_SECONDS = 0.05

NEVER = float("inf")


class Queues:
    """The queues of one server, as they were when last read. `own`: in order, None for all.

    Names are compared by the database, for some of which "Mail" and "mail" are the same: which
    row stands for a name that no row has is learned from its answers.
    """

    def __init__(self, own: list[str] | None) -> None:
        self.own = own
        self.paused: frozenset[str] = frozenset()
        #: Whether the server is to start nothing, as if all its queues were paused.
        self.quiet = False
        self._known: list[str] = []
        self._read_at = -NEVER
        self._hinted = False
        self._turn = 0
        self._rows: dict[str, str] = {}  # of our own names, where the row's is another
        self._claimed_as: dict[str, str] = {}  # jobs' names, likewise

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

    def doubt(self) -> None:
        """Hear that a job may be in a queue that is not on the list."""
        if self.own is None:
            self._hinted = True

    def read(self) -> bool:
        """Read the list; return whether it is another than before."""
        now = time.monotonic()
        rows = _read()
        before = self._known, self.paused
        self._known = [name for name, _ in rows]
        self.paused = frozenset(name for name, paused_at in rows if paused_at)
        self._find_rows()
        self._read_at, self._hinted = now, False
        return before != (self._known, self.paused)

    def _find_rows(self) -> None:
        """Ask under which name a queue of our own has its row, if that may be a paused one."""
        if not self.paused or not self.own:
            return
        queues = Queue.objects.using(conf.DATABASE)
        missing = [name for name in self.own if name not in self._known and name not in self._rows]
        if missing and queues.filter(name__in=missing).exists():
            for name in missing:
                for row in queues.filter(name=name).values_list("name", flat=True):
                    self._rows[name] = row

    def claimed(self, queue: str, jobs: Iterable[Claimed]) -> None:
        """Hear which jobs the database found when asked for those of `queue`."""
        for job in jobs:
            if job.queue != queue:
                self._claimed_as[job.queue] = queue

    def is_paused(self, name: str) -> bool:
        """Whether `name`, ours or a claimed job's, is a queue that is paused."""
        if self.quiet:
            return True
        ours = self._claimed_as.get(name, name)
        return not self.paused.isdisjoint((name, ours, self._rows.get(ours)))

    def in_turn(self) -> list[str]:
        """Return the queues to claim from: the server's own in order, else all of them in turn."""
        if self.quiet:
            return []
        if self.own is not None:
            queues = self.own
        else:
            self._turn += 1
            start = self._turn % (len(self._known) or 1)
            queues = self._known[start:] + self._known[:start]
        return [name for name in queues if not self.is_paused(name)] if self.paused else queues


@compiled.query
def _read() -> QuerySet[Queue, tuple[str, datetime | None]]:
    return Queue.objects.using(conf.DATABASE).values_list("name", "paused_at")
