"""Stock django-q2 with its ORM broker, with Django's defaults and tuned; see settings.py."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from ._django import MANAGE, DjangoSystem


class Adapter(DjangoSystem):
    packages = ("Django", "django-q2")

    def reset(self) -> None:
        super().reset()
        if self.name == "django-q2":
            _fill_history()

    def enqueue(self, function: str, *args: Any) -> None:
        from django_q.tasks import async_task

        async_task(f"benchmarks.workload.{function}", *args)

    def enqueue_later(self, seconds: float, function: str, *args: Any) -> None:
        from django.utils import timezone
        from django_q.models import Schedule
        from django_q.tasks import schedule

        schedule(
            f"benchmarks.workload.{function}",
            *args,
            schedule_type=Schedule.ONCE,
            next_run=timezone.now() + timedelta(seconds=seconds),
        )

    def unfinished(self) -> int:
        from django_q.models import OrmQ

        # A package is deleted after its result was saved.
        return OrmQ.objects.count()

    def commands(self, workers: int) -> list[list[str]]:
        return [[*MANAGE, "qcluster"]]


def _fill_history() -> None:
    """Save as many results as its default `save_limit` keeps: the state it is soon in for good."""
    from django.utils import timezone
    from django_q.models import Success

    now = timezone.now()
    Success.objects.bulk_create(
        Success(
            id=f"{number:032x}",
            name=f"old-{number}",
            func="benchmarks.workload.nothing",
            args=(number,),
            kwargs={},
            started=now,
            stopped=now,
            result=number,
            success=True,
            cluster="bench",
            attempt_count=1,
        )
        for number in range(250)
    )
