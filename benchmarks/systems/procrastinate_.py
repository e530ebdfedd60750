"""procrastinate: one process for each job that may run at a time; done jobs and events are kept."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import closing
from typing import Any

from procrastinate import App, PsycopgConnector, SyncPsycopgConnector

from .. import stores, workload
from . import System

URL = os.environ["BENCH_DATABASE"].replace("postgres://", "postgresql://", 1)
app = App(connector=PsycopgConnector(conninfo=URL))


@app.task(name="nothing")
def nothing(number: int) -> int:
    return workload.nothing(number)


@app.task(name="nap")
def nap(number: int, seconds: float) -> int:
    return workload.nap(number, seconds)


TASKS = {"nothing": nothing, "nap": nap}
NAMES = ("number", "seconds")


class Adapter(System):
    packages = ("procrastinate", "psycopg")

    def __init__(self) -> None:
        super().__init__()
        self.app: App | None = None

    def _open(self) -> App:
        if self.app is None:
            self.app = App(connector=SyncPsycopgConnector(conninfo=URL))
            self.app.open()
            # Before the threads of its pool hold up the exit of the step.
            threading._register_atexit(self.app.close)  # type: ignore[attr-defined]
        return self.app

    def reset(self) -> None:
        stores.empty(self.url)
        with App(connector=SyncPsycopgConnector(conninfo=URL)).open() as opened:
            opened.schema_manager.apply_schema()

    def enqueue(self, function: str, *args: Any) -> None:
        self._open().configure_task(function).defer(**dict(zip(NAMES, args, strict=False)))

    def enqueue_many(self, function: str, calls: list[tuple[Any, ...]]) -> bool:
        self._open().configure_task(function).batch_defer(
            *(dict(zip(NAMES, args, strict=False)) for args in calls)
        )
        return True

    def enqueue_later(self, seconds: float, function: str, *args: Any) -> None:
        task = self._open().configure_task(function, schedule_in={"milliseconds": 1000 * seconds})
        task.defer(**dict(zip(NAMES, args, strict=False)))

    def unfinished(self) -> int:
        with closing(stores.connect(self.url)) as connection:
            query = "SELECT count(*) FROM procrastinate_jobs WHERE status <> 'succeeded'"
            return int(connection.execute(query).fetchone()[0])

    def commands(self, workers: int) -> list[list[str]]:
        worker = [sys.executable, "-m", "procrastinate", "--app", f"{__name__}.app", "worker"]
        return [[*worker, "-c", "1"]] * workers
