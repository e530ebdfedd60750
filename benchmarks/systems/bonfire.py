"""Bonfire: every outcome and the whole history."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import Any

from .. import workload
from ._django import MANAGE, DjangoSystem


class Adapter(DjangoSystem):
    packages = ("Django", "django-q2")

    def versions(self) -> dict[str, str]:
        import jobs

        return {"django-bonfire": jobs.__version__, **super().versions()}

    def enqueue(self, function: str, *args: Any) -> None:
        _target(function).enqueue(*args)

    def enqueue_many(self, function: str, calls: list[tuple[Any, ...]]) -> bool:
        _target(function).enqueue_many(calls)
        return True

    def enqueue_later(self, seconds: float, function: str, *args: Any) -> None:
        _target(function).using(run_after=timedelta(seconds=seconds)).enqueue(*args)

    def unfinished(self) -> int:
        from jobs.models import Job
        from jobs.states import State

        ended = [State.SUCCEEDED, State.FAILED, State.DELETED]
        return Job.objects.exclude(state__in=ended).count()

    def commands(self, workers: int) -> list[list[str]]:
        return [[*MANAGE, "qcluster", "--workers", str(workers)]]


@cache
def _target(function: str) -> Any:
    import jobs

    return jobs.using(getattr(workload, function), retry_delays=[0])
