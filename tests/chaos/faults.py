"""Processes that die by SIGKILL in the middle of what they write.

`TEST_FAULTS`, which only `tests.settings` reads, names a folder: the processes of a cluster
started with it die at random points of their writes, and leave a file there for each death.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from django.db.backends.signals import connection_created

#: The kinds of writes, by the function whose statements are meant.
WRITES = {
    ("jobs.transitions.creating", "create"): "enqueue",
    ("jobs.transitions.creating", "create_many"): "enqueue many",
    ("jobs.transitions.claiming", "claim"): "claim",
    ("jobs.engine.recorder", "_store"): "record",
    ("jobs.transitions.waiting", "promote_due"): "promote",
    ("jobs.engine.housekeeping", "_beat"): "heartbeat",
    ("jobs.pruning", "prune_jobs"): "prune",
    ("jobs.occurrences", "_create"): "schedule",
}
#: A process younger than this is spared: one that always died at once would be replaced slowly.
YOUNG_SECONDS = 2.2


#: The number of the statement that ends a transaction.
COMMIT = 0


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_soon(seconds: float = 0.0015) -> None:
    """Die at a random moment of so many seconds, while this thread goes on."""

    def wait() -> None:
        end = time.perf_counter() + random.uniform(0, seconds)
        while time.perf_counter() < end:
            pass
        die()

    threading.Thread(target=wait).start()


def writing() -> tuple[str, FrameType] | None:
    """Return which kind of write this statement belongs to, and the frame of its function."""
    frame: FrameType | None = sys._getframe(1)
    found = None
    while frame is not None:
        name = frame.f_globals.get("__name__"), frame.f_code.co_name
        if kind := WRITES.get(name):  # type: ignore[arg-type]
            found = kind, frame  # the outermost one: what a scheduler creates is its write
        frame = frame.f_back
    return found


class Point:
    """Where a process dies: `how` ("before", "in", "after") statement `number` of `kind`."""

    def __init__(self, kind: str, how: str, number: int) -> None:
        self.kind, self.how, self.number = kind, how, number
        self._frame: FrameType | None = None
        self._count = 0

    def __str__(self) -> str:
        return f"{self.kind}: {self.how} statement {self.number or 'COMMIT'}"

    def arm(self, connection: Any) -> None:
        """Let this process die there, in what it writes by `connection`."""
        _watch(connection, self._execute, self._commit)

    def _execute(self, run: Callable[[], Any]) -> Any:
        found = writing()
        if found is None or found[0] != self.kind:
            return run()
        if found[1] is not self._frame:
            self._frame, self._count = found[1], 0
        self._count += 1
        return self._do(run) if self._count == self.number else run()

    def _commit(self, run: Callable[[], Any]) -> Any:
        found = writing()
        here = self.number == COMMIT and found is not None and found[0] == self.kind
        return self._do(run) if here else run()

    def _do(self, run: Callable[[], Any]) -> Any:
        if self.how == "before":
            die()
        if self.how == "in":
            die_soon()
        result = run()
        if self.how == "after":
            die()
        return result


class Anywhere:
    """A process dies at a random point of any of its writes; `folder` gets a file that says so."""

    def __init__(self, folder: Path, chance: float = 0.1) -> None:
        self.folder, self.chance = folder, chance
        self._pid, self._born = 0, 0.0

    def arm(self, connection: Any) -> None:
        if self._pid != os.getpid():  # a fork inherits what its parent was
            self._pid, self._born = os.getpid(), time.monotonic()
        _watch(connection, self._maybe, self._maybe)

    def _maybe(self, run: Callable[[], Any]) -> Any:
        if time.monotonic() - self._born < YOUNG_SECONDS or random.random() > self.chance:
            return run()
        found = writing()
        if found is None or (self.folder / "enough").exists():
            return run()
        how = random.choice(["before", "in", "after"])
        (self.folder / f"{self._pid} {found[0]} {how}").touch()
        if how == "before":
            die()
        if how == "in":
            die_soon()
        result = run()
        die()
        return result


def _watch(
    connection: Any,
    on_execute: Callable[[Callable[[], Any]], Any],
    on_commit: Callable[[Callable[[], Any]], Any],
) -> None:
    commit = type(connection)._commit
    connection._commit = lambda: on_commit(lambda: commit(connection))

    def wrapper(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        return on_execute(lambda: execute(sql, params, many, context))

    connection.execute_wrappers[:] = [wrapper]


def die_anywhere(folder: str) -> None:
    """Let every connection of this process, and of those it forks, be one to die by."""
    anywhere = Anywhere(Path(folder))

    def arm(*, connection: Any, **kwargs: Any) -> None:
        anywhere.arm(connection)

    connection_created.connect(arm, weak=False, dispatch_uid=__name__)
