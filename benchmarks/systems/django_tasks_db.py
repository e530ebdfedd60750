"""django-tasks-db: one db_worker for each job that may run at a time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.tasks import task

from .. import workload
from ._django import MANAGE, DjangoSystem


@task
def nothing(number: int) -> int:
    return workload.nothing(number)


@task
def nap(number: int, seconds: float) -> int:
    return workload.nap(number, seconds)


TASKS = {"nothing": nothing, "nap": nap}


class Adapter(DjangoSystem):
    packages = ("Django", "django-tasks-db")

    def enqueue(self, function: str, *args: Any) -> None:
        TASKS[function].enqueue(*args)

    def enqueue_later(self, seconds: float, function: str, *args: Any) -> None:
        from django.utils import timezone

        at = timezone.now() + timedelta(seconds=seconds)
        TASKS[function].using(run_after=at).enqueue(*args)

    def unfinished(self) -> int:
        from django_tasks_db.models import DBTaskResult

        return DBTaskResult.objects.filter(finished_at=None).count()

    def commands(self, workers: int) -> list[list[str]]:
        return [[*MANAGE, "db_worker"]] * workers
