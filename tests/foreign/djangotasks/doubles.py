"""Our backend with what Django's tests expect of Django's two backends beside the framework."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connections
from django.tasks import TaskResultStatus

from jobs.backends import JobsBackend
from jobs.models import Job
from jobs.testing import drain


class Stored(JobsBackend):
    """For DummyBackend: `results` asks the database, `clear` deletes there."""

    def __init__(self, alias: str, params: Any) -> None:
        super().__init__(alias, params)
        self._handed_out: list[Any] = []

    @property
    def results(self) -> list[Any]:
        results = _outside_of_loops(self._results)
        self._handed_out += results
        return results

    def _results(self) -> list[Any]:
        keys = Job.objects.order_by("pk").values_list("pk", flat=True)
        return [self.get_result(str(pk)) for pk in keys]

    def clear(self) -> None:
        Job.objects.all().delete()
        self._handed_out.clear()

    def get_result(self, result_id: Any) -> Any:
        """Return the result; where a test has written "successful" into one, by running the job."""
        return _outside_of_loops(lambda: self._get_result(result_id))

    def _get_result(self, result_id: Any) -> Any:
        said = [result for result in self._handed_out if result.id == str(result_id)]
        if any(result.status == TaskResultStatus.SUCCESSFUL for result in said):
            drain()
        return super().get_result(result_id)


class Drained(JobsBackend):
    """For ImmediateBackend: what is enqueued is run by our runner, here and now."""

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        result = super().enqueue(task, args, kwargs)
        drain()
        result.refresh()
        return result


def _outside_of_loops(work: Callable[[], Any]) -> Any:
    """Return what `work` returns; from async code, where Django refuses queries, by a thread.

    Django's backends keep their results in memory, so its async tests ask for them directly.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()

    def work_and_close() -> Any:
        try:
            return work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as threads:
        return threads.submit(work_and_close).result()
