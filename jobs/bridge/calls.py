"""Running a task, in the worker: what django-q2's own worker does around the user's function."""

from __future__ import annotations

import logging
import pydoc
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django_q.conf import Conf
from django_q.monitor import save_cached
from django_q.signals import post_execute, post_execute_in_worker, pre_execute
from django_q.tasks import async_chain

from ..conf import conf
from ..decorators import JobFunction
from ..exceptions import JobCancelled
from ..functions import resolve, resolve_fresh
from ..models import Job, Queue
from ..outcomes import Claimed, Kind, Outcome
from ..serialization import load_arguments
from . import results, tasks
from .broker import Collector

logger = logging.getLogger(__name__)


class TaskCall:
    """One execution of a task; see `foreign.Call`."""

    def __init__(self, job: Claimed, via: Mapping[str, Any]) -> None:
        self._job, self._via = job, via
        self._func: Callable[..., Any] | None = None
        self._task: dict[str, Any] | None = None

    @property
    def _is_task(self) -> bool:
        """Whether it is one; a hook is just called."""
        return "id" in self._via or "schedule" in self._via

    def target(self) -> Callable[..., Any]:
        if self._via.get("object"):
            found: Any = self._load()["func"]
        else:
            found = self._resolve()
        self._func = found.func if isinstance(found, JobFunction) else found
        return found

    def _resolve(self) -> Any:
        path = self._job.func
        try:
            return resolve_fresh(path) if self._job.missing_since else resolve(path)
        except (ImportError, AttributeError):
            # django-q2 also takes the names of built-ins.
            found = pydoc.locate(path)
            if found is None:
                raise
            return found

    def _load(self) -> dict[str, Any]:
        if self._task is None:
            self._task = self._read(self._via)
        return self._task

    def _read(self, via: Mapping[str, Any]) -> dict[str, Any]:
        args, kwargs = load_arguments(self._job.arguments)
        task = tasks.task_of(self._job.func, via, args, kwargs)
        # A recurring job that was triggered by hand has none of these.
        task.setdefault("id", f"{self._job.id:032x}")
        task.setdefault("name", f"#{self._job.id}")
        task.setdefault("started", timezone.now())
        return task

    def arguments(self, target: Any) -> tuple[list[Any], dict[str, Any]]:
        task = self._load()
        if self._is_task:
            pre_execute.send(sender="django_q", func=self._func, task=task)
        return list(task["args"]), dict(task["kwargs"])

    def ended(self, outcome: Outcome, value: Any, error: BaseException | None) -> Outcome:
        if not self._is_task or outcome.kind == Kind.MISSING or isinstance(error, JobCancelled):
            return outcome
        try:
            task = self._load()
        except Exception:  # not signed here, or by an older SECRET_KEY: that is the error itself
            task = self._read(tasks.unsigned(self._via))
        task["success"] = error is None
        task["result"] = value if error is None else _failure(error)
        task["stopped"] = timezone.now()
        for signal, told in (
            (post_execute_in_worker, {"func": self._func, "task": task}),
            (post_execute, {"task": task}),
        ):
            signal.send_robust(sender="django_q", **told)
        try:
            return outcome._replace(extra=self._extra(task, outcome))
        except Exception:  # receivers may have put anything into the task
            logger.exception("#%d: its Task can't be written", self._job.id)
            return outcome

    def _extra(self, task: dict[str, Any], outcome: Outcome) -> str:
        """Return what the recorder is to write: the Task row, and the jobs that follow."""
        is_final = outcome.kind != Kind.RETRY
        following: list[Job] = []
        cached = task.get("cached")
        saves = not task["success"] or task.get("save", Conf.SAVE_LIMIT >= 0)
        row = results.row_of(task) if saves and not cached else None
        if is_final:
            collector = Collector(task.get("cluster"))
            if cached:
                _cache(task, collector)
            elif task.get("chain"):
                _go_on(task, collector)
            following = collector.jobs
            if row is not None and row["hook"]:
                following.append(
                    tasks.plain_call(row["hook"], (results.task_from(task),), self._job.queue)
                )
        for job in following:
            job.language, job.time_zone = self._job.language, self._job.time_zone
        return results.to_write(row, following, self._via.get("schedule"), task["id"])


def _failure(error: BaseException) -> str:
    trace = "".join(traceback.format_exception(error))
    return f"{error} : {trace}"


def _go_on(task: dict[str, Any], collector: Collector) -> None:
    """Have the next call of a chain made."""
    async_chain(
        list(task["chain"]),
        group=task.get("group"),
        cached=task.get("cached", False),
        sync=False,
        broker=collector,
    )


def _cache(task: dict[str, Any], collector: Collector) -> None:
    """Put the result into the cache, where that of an Iter is put together from its parts."""
    cache, group = collector.cache, task.get("group")
    package = {key: value for key, value in task.items() if key != "func"}
    package["func"] = results.text_of(task["func"])
    # Asked where the results of an Iter are saved: not to close this worker's connections.
    package["sync"] = bool(package.get("iter_count"))
    if not group:
        save_cached(package, collector)
        return
    keys = f"{collector.list_key}:{group}:keys"
    with transaction.atomic(using=conf.DATABASE):
        # Only one at a time may add to the group, on whatever cache: by a lock on the queue's row,
        # an UPDATE because SQLite knows no other.
        queues = Queue.objects.using(conf.DATABASE).filter(name=tasks.queue_of(collector.list_key))
        queues.update(name=F("name"))
        own = f"{collector.list_key}:{task['id']}"
        before = cache.get(keys) or []
        if own in before:  # a run that died after this
            before.remove(own)
            cache.set(keys, before, None if task["cached"] is True else task["cached"])
        save_cached(package, collector)
