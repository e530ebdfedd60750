"""A task of Django's as a function that jobs can be made of, and its execution in a worker."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime
from functools import lru_cache, update_wrapper
from inspect import signature
from typing import Any
from weakref import WeakKeyDictionary

from django.db import Error
from django.utils import timezone

from .decorators import ForeignFunction, remember_atomic
from .djangotasks import (
    Task,
    TaskContext,
    TaskError,
    TaskResult,
    TaskResultStatus,
    normalize_json,
    task_backends,
    task_finished,
    task_started,
)
from .exceptions import JobsError
from .options import NOTHING_SAID, STORED, Options
from .outcomes import Claimed, Kind, Outcome
from .runner import DATA_LIMIT
from .serialization import dumps, load_arguments, strict

logger = logging.getLogger(__name__)

#: The options that a task may carry itself, beside queue and priority.
TASK_OPTIONS = (*STORED, "retry_on", "give_up_on", "atomic")

#: The JSON text of a result that is kept unabridged: what the history takes, with room for the rest.
RESULT_LIMIT = DATA_LIMIT - 2_000

#: In place of the worker of an execution whose end nobody saw.
LOST = "lost"


class TaskFunction(ForeignFunction[Any, Any]):
    """A task as a function, with its options; calling it calls the task's function."""

    def __init__(self, task: Any) -> None:
        self.func = task.func
        update_wrapper(self, task.func)
        self.task = task
        if task.takes_context:  # which no caller gives
            own = signature(task.func)
            self.__signature__ = own.replace(parameters=list(own.parameters.values())[1:])
        said = {
            name: value for name in TASK_OPTIONS if (value := getattr(task, name, None)) is not None
        }
        self._said = _given.get(task.func, NOTHING_SAID).over(Options(**said))
        self._options: dict[str, tuple[Options, Options]] = {}
        if self._said.atomic:
            remember_atomic(self)

    @property
    def options(self) -> Options:  # type: ignore[override]
        """What the task, then its backend's OPTIONS say."""
        return self.options_with(self.task.get_backend())

    def options_with(self, backend: Any) -> Options:
        """Return what the task, then the OPTIONS of `backend` say."""
        defaults = getattr(backend, "job_options", NOTHING_SAID)
        found = self._options.get(backend.alias)
        if found is None or found[0] is not defaults:
            place = Options(
                queue=self.task.queue_name,
                priority=int(self.task.priority),
                run_after=self.task.run_after,
            )
            found = defaults, place.over(self._said).over(defaults)
            self._options[backend.alias] = found
        return found[1]

    def listener(self, job: Claimed, worker: str) -> TaskRun:
        return TaskRun(self, job, worker)

    def declared_with(self, options: Options) -> Any:
        """Return the task with these options; remembered for its function if it can't hold them."""
        place = {"queue_name": options.queue, "priority": options.priority}
        changes = {name: value for name, value in place.items() if value is not None}
        said = {name: getattr(options, name) for name in TASK_OPTIONS}
        if all(hasattr(self.task, name) for name in said):
            changes |= {name: value for name, value in said.items() if value is not None}
        else:
            _given[self.func] = options
            _functions.pop(self.func, None)
        return replace(self.task, **changes)


#: What `@job` says around a task declared for another backend; and the functions made so far. By
#: the task's own function.
_given: WeakKeyDictionary[Any, Options] = WeakKeyDictionary()
_functions: dict[Any, TaskFunction] = {}


def function_of(target: Any) -> TaskFunction | None:
    """Return a task as a function; None for what is no task."""
    if not isinstance(target, Task):
        return None
    function = _functions.get(target.func)
    if function is None or function.task is not target:
        function = _functions[target.func] = TaskFunction(target)
    return function


def altered(task: Any, **changes: Any) -> Any:
    """Return a copy of `task` that is not validated: what it says has happened already."""
    copy = object.__new__(type(task))
    for field in fields(task):
        object.__setattr__(copy, field.name, changes.get(field.name, getattr(task, field.name)))
    return copy


def task_of_job(task: Any, stored: Mapping[str, Any], **place: Any) -> Any:
    """Return the declared `task` as a job enqueued it: with that call's place and options.

    `stored`: the options that the job keeps, and what stands beside them.
    """
    changes = {
        "backend": stored.get("task_backend", task.backend),
        "run_after": _moment(stored.get("task_run_after")),
        **place,
    }
    for name in STORED:
        if name in stored and hasattr(task, name):
            value = stored[name]
            changes[name] = tuple(value) if isinstance(value, list) else value
    if all(getattr(task, name) == value for name, value in changes.items()):
        return task
    return altered(task, **changes)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


@lru_cache(maxsize=256)
def _parsed(text: str) -> dict[str, Any]:
    """Return a job's stored options; many jobs say the same. Not to be changed."""
    return json.loads(text)


class TaskRun:
    """An execution of a task, in the process that runs it: its context, result and signals.

    The signals are sent as in Django: `task_started` before each attempt, `task_finished` when no
    further one follows, by the process that ran it, before the outcome is stored.
    """

    def __init__(self, function: TaskFunction, job: Claimed, worker: str) -> None:
        self._task, self._job, self._worker = function.task, job, worker
        self._notes = _parsed(job.options)
        self._alias = self._notes.get("task_backend", self._task.backend)
        self._backend = task_backends[self._alias]
        self.options = function.options_with(self._backend)
        self._result: Any = None

    def started(self) -> None:
        self._result = self._running()
        task_started.send_robust(type(self._backend), task_result=self._result)

    def arguments(self, args: list[Any]) -> list[Any]:
        if not self._task.takes_context:
            return args
        return [TaskContext(task_result=self._result), *args]

    def returned(self, value: Any) -> Any:
        value = strict(normalize_json(value), "result")
        if (length := len(dumps(value))) > RESULT_LIMIT:
            raise ValueError(f"the result has {length} characters; kept are {RESULT_LIMIT} at most")
        return value

    def finished(self, outcome: Outcome, error: BaseException | None) -> None:
        if outcome.kind not in _ENDS:
            return
        if self._result is None:  # it failed before it began
            self._result = self._running()
        data, now = json.loads(outcome.data), timezone.now()
        changes: dict[str, Any] = {"status": _ENDS[Kind(outcome.kind)], "finished_at": now}
        if "error" in data:
            changes["errors"] = [*self._result.errors, error_of(data["error"])]
        elif outcome.kind == Kind.SUCCEEDED:
            changes["_return_value"] = data.get("result", {}).get("value")
        for name, value in changes.items():
            object.__setattr__(self._result, name, value)
        task_finished.send_robust(type(self._backend), task_result=self._result)

    def _running(self) -> Any:
        """Return the result as it stands; a first attempt's without asking the database."""
        job, notes, now = self._job, self._notes, timezone.now()
        place = {"queue_name": job.queue}
        if "task_priority" in notes:
            place["priority"] = notes["task_priority"]
        args, kwargs = load_arguments(job.arguments)
        told: Any = None
        if job.attempt > 1 or "task_run_after" in notes or "task_backend" not in notes:
            told = self._stored()
        attempts = [LOST] * (job.attempt - 1) if told is None else told.worker_ids[:-1]
        return TaskResult(
            task=task_of_job(self._task, notes, **place),
            id=str(job.id),
            status=TaskResultStatus.RUNNING,
            # One that was enqueued to be run at once was due then.
            enqueued_at=datetime.fromtimestamp(job.due, UTC) if told is None else told.enqueued_at,
            started_at=now if told is None or not attempts else told.started_at,
            finished_at=None,
            last_attempted_at=now,
            args=args,
            kwargs=kwargs,
            backend=self._alias,
            errors=[] if told is None else told.errors,
            worker_ids=[*attempts, worker_id(job.server, self._worker)],
        )

    def _stored(self) -> Any:
        from .task_results import result_of, stored_job

        try:
            stored = stored_job(self._job.id)
        except Error as error:  # the task itself may not need the database
            logger.warning("#%d: its earlier attempts can't be read: %s", self._job.id, error)
            return None
        return None if stored is None else result_of(stored, self._task)


_ENDS = {
    Kind.SUCCEEDED: TaskResultStatus.SUCCESSFUL,
    Kind.FAILED: TaskResultStatus.FAILED,
    Kind.DELETED: TaskResultStatus.FAILED,
}


def worker_id(server: str, worker: str) -> str:
    """Return the id of a worker for a task's result."""
    return f"{server}/{worker}"


def error_of(entry: Mapping[str, str]) -> Any:
    """Return an attempt's error as the history keeps it in the form of Django's."""
    path = entry.get("type") or f"{JobsError.__module__}.{JobsError.__qualname__}"
    return TaskError(
        exception_class_path=path if "." in path else f"builtins.{path}",
        traceback=entry.get("traceback", ""),
    )
