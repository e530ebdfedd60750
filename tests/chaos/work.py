"""Jobs of the chaos tests, and steady feeds of them."""

from __future__ import annotations

import os
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from django.db import Error, connection

import jobs


def stamp(path: str, number: int) -> None:
    """Note that job `number` ran, and when by the host's monotonic clock."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, f"{number} {time.monotonic()}\n".encode())
    os.close(fd)


class Run(NamedTuple):
    """A line of the journal."""

    number: int
    at: float


def runs(journal: Path) -> list[Run]:
    """Return what `stamp` wrote, in the order of time."""
    lines = (line.split() for line in journal.read_text().splitlines())
    return sorted((Run(int(n), float(at)) for n, at in lines), key=lambda run: run.at)


class Feed:
    """Enqueues numbered jobs at a steady rate, from a thread with a connection of its own.

    `acknowledged`: the numbers whose commit was answered, with the moment it was: those must run.
    """

    def __init__(self, journal: Path, per_second: float) -> None:
        self.journal, self.per_second = journal, per_second
        self.acknowledged: dict[int, float] = {}
        self.errors: list[Error] = []
        self.connected_as: int | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Feed:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        number, due = 0, time.monotonic()
        try:
            while not self._stop.wait(max(0.0, due - time.monotonic())):
                # What was not enqueued in time is not made up for.
                due = max(due + 1 / self.per_second, time.monotonic())
                self._enqueue(number)
                number += 1
        finally:
            connection.close()

    def _enqueue(self, number: int) -> None:
        try:
            jobs.enqueue(stamp, str(self.journal), number)
            self.connected_as = session()
        except Error as error:
            self.errors.append(error)
            connection.close()
            return
        self.acknowledged[number] = time.monotonic()

    def lost(self) -> int:
        """Return how many acknowledged jobs have not run."""
        return len(set(self.acknowledged) - {run.number for run in runs(self.journal)})

    def reruns(self) -> int:
        """Return how many runs there were of jobs that had run before."""
        counts = Counter(run.number for run in runs(self.journal))
        return counts.total() - len(counts)


@contextmanager
def repeatedly(what: Callable[[], object], seconds: float) -> Iterator[None]:
    """Do `what` again and again, each `seconds`, for the time of the block."""
    over = threading.Event()
    failed: list[Exception] = []

    def run() -> None:
        try:
            while not over.wait(seconds):
                what()
        except Exception as error:
            failed.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(30)
    assert not failed, failed


def session() -> int | None:
    """Return the server's number for this thread's connection, None where there is none."""
    raw = connection.connection
    if raw is None or connection.vendor == "sqlite":
        return None
    return int(raw.info.backend_pid if connection.vendor == "postgresql" else raw.thread_id())


def rate(found: list[Run], begin: float, end: float) -> float:
    """Return the runs per second between two moments."""
    times = [run.at for run in found]
    return (bisect_left(times, end) - bisect_left(times, begin)) / (end - begin)


def seconds_until_rate(found: list[Run], since: float, wanted: float) -> float:
    """Return after how many seconds the rate of one second reached `wanted` again."""
    step = 0.05
    last = found[-1].at if found else since
    for n in range(int((last - since) / step) + 1):
        moment = since + n * step
        if rate(found, moment, moment + 1) >= wanted:
            return n * step
    return float("inf")
