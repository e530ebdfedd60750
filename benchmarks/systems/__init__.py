"""The systems that are measured. Each has one module here, which alone knows its package."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from typing import Any


class System:
    """What the benchmarks need of a system. Used in steps, never in the measuring process.

    Functions are given by their name in `benchmarks.workload`. Enqueued jobs whose outcome is not
    yet stored are `unfinished`, which is asked only when every job has started.
    """

    #: Distributions whose versions are told.
    packages: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.name = os.environ["BENCH_SYSTEM"]
        self.url = os.environ["BENCH_DATABASE"]

    def reset(self) -> None:
        """Empty the store and prepare it."""
        raise NotImplementedError

    def enqueue(self, function: str, *args: Any) -> None:
        raise NotImplementedError

    def enqueue_many(self, function: str, calls: list[tuple[Any, ...]]) -> bool:
        """Enqueue in bulk, or return False: the system can't."""
        return False

    def enqueue_later(self, seconds: float, function: str, *args: Any) -> None:
        raise NotImplementedError

    def unfinished(self) -> int:
        raise NotImplementedError

    def commands(self, workers: int) -> list[list[str]]:
        """Return the commands to start for so many jobs at a time."""
        raise NotImplementedError

    def versions(self) -> dict[str, str]:
        return {name: version(name) for name in self.packages}


@dataclass(frozen=True)
class Entry:
    """A system in the tables. `stores`: kinds of store it can use; `module`: its adapter."""

    name: str
    title: str
    module: str
    stores: tuple[str, ...]
    #: Jobs of an ordinary drain: fewer where more would only take long.
    drain: int = 10_000
    enqueue: int = 2_000

    @property
    def is_django(self) -> bool:
        """Whether it runs in a Django project, and so with benchmarks.settings."""
        return self.name == "bonfire" or self.name.startswith("django")

    def load(self) -> System:
        module = import_module(f"{__name__}.{self.module}")
        return module.Adapter()


DJANGO = ("postgresql", "sqlite")

SYSTEMS = {
    entry.name: entry
    for entry in [
        Entry("bonfire", "Bonfire", "bonfire", (*DJANGO, "mysql")),
        Entry("django-q2", "django-q2, Django's defaults", "djangoq2", DJANGO, 300, 200),
        Entry("django-q2-tuned", "django-q2, tuned", "djangoq2", DJANGO, 2_000),
        Entry("django-tasks-db", "django-tasks-db", "django_tasks_db", DJANGO, 1_000),
        Entry("celery", "Celery + Redis, with results", "celery_redis", ("redis",), 4_000),
        Entry("huey", "Huey", "huey_", ("redis", "sqlite")),
        Entry("pgqueuer", "pgqueuer (no history)", "pgqueuer_", ("postgresql",)),
        Entry("procrastinate", "procrastinate", "procrastinate_", ("postgresql",), 2_000),
    ]
}
