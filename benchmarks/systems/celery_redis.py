"""Celery: one prefork worker, broker and results in Redis; only the result is kept."""

from __future__ import annotations

import os
import sys
from typing import Any

import redis
from celery import Celery

from .. import stores, workload
from . import System

URL = os.environ["BENCH_DATABASE"]
RESULTS = URL.removesuffix("/0") + "/1"
app = Celery("bench", broker=URL, backend=RESULTS)
TASKS = {name: app.task(name=name)(getattr(workload, name)) for name in ("nothing", "nap")}


class Adapter(System):
    packages = ("celery", "redis")

    def reset(self) -> None:
        stores.empty(self.url)

    def enqueue(self, function: str, *args: Any) -> None:
        TASKS[function].delay(*args)

    def enqueue_later(self, seconds: float, function: str, *args: Any) -> None:
        TASKS[function].apply_async(args, countdown=seconds)

    def unfinished(self) -> int:
        # A result is what is left of a job; who waits knows how many there must be.
        return int(os.environ["BENCH_EXPECTED"]) - int(_results().dbsize())

    def commands(self, workers: int) -> list[list[str]]:
        pool = ["-P", "prefork", "-c", str(workers)]
        return [[sys.executable, "-m", "celery", "-A", __name__, "worker", *pool]]


def _results() -> redis.Redis:
    return redis.Redis.from_url(RESULTS)
