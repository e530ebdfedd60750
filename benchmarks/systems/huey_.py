"""Huey with its defaults: one consumer, worker processes; only the result is kept."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from huey import RedisHuey, SqliteHuey

from .. import stores, workload
from . import System

URL = os.environ["BENCH_DATABASE"]
if stores.kind(URL) == "redis":
    huey = RedisHuey("bench", url=URL)
else:
    huey = SqliteHuey("bench", filename=f"/{stores.database_name(URL)}")

TASKS = {name: huey.task(name=name)(getattr(workload, name)) for name in ("nothing", "nap")}


class Adapter(System):
    packages = ("huey",)

    def reset(self) -> None:
        if stores.kind(self.url) == "sqlite":
            huey.storage.close()
        stores.empty(self.url)
        if stores.kind(self.url) == "sqlite":
            huey.storage.initialize_schema()

    def enqueue(self, function: str, *args: Any) -> None:
        TASKS[function](*args)

    def enqueue_later(self, seconds: float, function: str, *args: Any) -> None:
        TASKS[function].schedule(args, delay=seconds)

    def unfinished(self) -> int:
        # A result is what is left of a job; who waits knows how many there must be.
        return int(os.environ["BENCH_EXPECTED"]) - int(huey.result_count())

    def commands(self, workers: int) -> list[list[str]]:
        consumer = Path(sys.executable).parent / "huey_consumer"
        return [[str(consumer), f"{__name__}.huey", "-w", str(workers), "-k", "process"]]
