"""The backend for Django's Tasks framework: `TASKS = {"default": {"BACKEND": "….JobsBackend"}}`.

Imported while Django loads the apps, by whichever module declares the first task; so what needs
models is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from django.core.checks import CheckMessage, Error
from django.utils import timezone

from .checks import LABEL
from .conf import Problem, queue_name, shown
from .decorators import JobFunction
from .djangotasks import (
    DEFAULT_TASK_PRIORITY,
    DEFAULT_TASK_QUEUE_NAME,
    BaseTaskBackend,
    InvalidTask,
    Task,
    TaskResult,
    TaskResultDoesNotExist,
    TaskResultStatus,
    normalize_json,
    task_enqueued,
)
from .exceptions import InvalidArguments, InvalidFunction, InvalidOption
from .functions import parameter_names, path_of, resolve
from .options import NOTHING_SAID, STORED, ErrorTypes, Options, RunAfter
from .retry import Delays

#: What `@task` takes beside Django's own; of these STORED can be said for one call, too, and in
#: OPTIONS for all tasks that say nothing.
OWN_OPTIONS = (*STORED, "retry_on", "give_up_on", "atomic")

LARGEST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsTask(Task):
    """A task with the options of a job; see `Options` for their units.

    From Django 6.1 on (and in the back-port) they can stand in `@task(…)`; everywhere, `@job(…)`
    around `@task` gives them, and `using` for one call.
    """

    run_after: RunAfter = None
    max_retries: int | None = None
    retry_delays: Delays | None = None
    retry_on: ErrorTypes | None = None
    give_up_on: ErrorTypes | None = None
    when_exhausted: str | None = None
    expires_after: timedelta | float | None = None
    timeout: timedelta | float | None = None
    keep_log: bool | None = None
    atomic: bool | None = None

    def __post_init__(self) -> None:
        if isinstance(self.func, JobFunction):  # @task around @job
            self._take_over(self.func)
        for name in STORED:  # tasks are hashed, and compared with what was stored
            value = getattr(self, name)
            if isinstance(value, list):
                value = tuple(value)
            elif isinstance(value, timedelta):
                value = value.total_seconds()
            object.__setattr__(self, name, value)
        Task.__post_init__(self)
        if self.atomic:
            from .task_functions import function_of

            function_of(self)  # for the system check of atomic jobs

    def _take_over(self, function: JobFunction[Any, Any]) -> None:
        object.__setattr__(self, "func", function.func)
        options = function.options
        for name in OWN_OPTIONS:
            if getattr(self, name) is None:
                object.__setattr__(self, name, getattr(options, name))
        if options.queue is not None and self.queue_name == DEFAULT_TASK_QUEUE_NAME:
            object.__setattr__(self, "queue_name", options.queue)
        if options.priority is not None and self.priority == DEFAULT_TASK_PRIORITY:
            object.__setattr__(self, "priority", options.priority)

    def using(self, *, run_after: RunAfter = None, **changes: Any) -> Any:
        """Return a task with other values; what is None stays as it is.

        Beside Django's own (priority, queue_name, run_after as datetime or timedelta, backend):
        max_retries, retry_delays (a list), when_exhausted, expires_after, timeout
        and keep_log.
        """
        changes = {name: value for name, value in changes.items() if value is not None}
        own = {name: value for name, value in changes.items() if name in OWN_OPTIONS}
        try:
            Options.build(own)
        except InvalidOption as error:
            raise InvalidTask(str(error)) from None
        if run_after is not None:
            changes["run_after"] = run_after
        return replace(self, **changes)


class JobsBackend(BaseTaskBackend):
    """Tasks as jobs: durable, retried, with their history; see docs/django-tasks.md."""

    task_class = JobsTask
    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: Mapping[str, Any]) -> None:
        # What is wrong is for the system check to say, not for the first import of a task.
        problems = list(_problems(alias, params))
        bad = {problem.key for problem in problems}
        given = {key: value for key, value in params.items() if key not in bad}
        if "QUEUES" in params:
            given["QUEUES"] = [q for q in given.get("QUEUES", ()) if not queue_name(q)]
        super().__init__(alias, given)
        self._problems = problems
        options = {k: v for k, v in self.options.items() if f"OPTIONS[{k!r}]" not in bad}
        #: What OPTIONS say for tasks that say nothing themselves.
        self.job_options = Options.build(options) if options else NOTHING_SAID

    def validate_task(self, task: Any) -> None:
        """Raise InvalidTask for a task that can't be a job here."""
        func, run_after = task.func, task.run_after
        if not isinstance(run_after, datetime | timedelta | None):
            raise InvalidTask(
                f"run_after={shown(run_after)} must be a timedelta or an aware datetime."
            )
        super().validate_task(
            SimpleNamespace(
                func=func.func if isinstance(func, JobFunction) else func,
                takes_context=task.takes_context,
                priority=task.priority,
                queue_name=task.queue_name,
                # Django's test of it takes no timedelta.
                run_after=None if isinstance(run_after, timedelta) else run_after,
            )
        )
        own = {name: getattr(task, name, None) for name in OWN_OPTIONS}
        said = {name: value for name, value in own.items() if value is not None}
        try:
            Options.build({"queue": task.queue_name, **said}, declared=True)
            if run_after is not None:
                Options.build({"run_after": run_after})
        except InvalidOption as error:
            raise InvalidTask(str(error)) from None

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Enqueue a call in the caller's transaction, by one INSERT, and return its result.

        Raises InvalidTask, and InvalidArguments (a TypeError) for arguments that do not fit the
        function or are not JSON; then nothing was written.
        """
        from .client import create
        from .task_functions import altered

        self.validate_task(task)
        path, declared = _declared(task)
        if isinstance(task.run_after, timedelta):
            task = altered(task, run_after=timezone.now() + task.run_after)
        args, kwargs = _normalised(path, declared, args, kwargs)
        notes: dict[str, Any] = {"task_backend": self.alias}
        if task.run_after is not None:
            notes["task_run_after"] = task.run_after.isoformat()
        if task.priority != declared.task.priority:
            notes["task_priority"] = int(task.priority)
        job = create(path, tuple(args), kwargs, _options_of_call(task, declared.task), notes)
        result = TaskResult(
            task=task,
            id=str(job.pk),
            status=TaskResultStatus.READY,
            enqueued_at=job.created_at,
            started_at=None,
            finished_at=None,
            last_attempted_at=None,
            args=args,
            kwargs=kwargs,
            backend=self.alias,
            errors=[],
            worker_ids=[],
        )
        # The job is written: a receiver that raises is logged and does not undo it.
        task_enqueued.send_robust(type(self), task_result=result)
        return result

    def get_result(self, result_id: Any) -> Any:
        """Return the result of a job that came through this backend, or of a task bound to it.

        Raises TaskResultDoesNotExist for every other id, and for a job that has expired or whose
        task is no longer there.
        """
        from .task_functions import TaskFunction
        from .task_results import result_of, stored_job

        text = str(result_id)
        known = text.isascii() and text.isdecimal() and len(text) <= 19 and text[0] != "0"
        job = stored_job(int(text)) if known and int(text) <= LARGEST_ID else None
        if job is None:
            raise TaskResultDoesNotExist(text)
        try:
            function = resolve(job.func)
        except (Exception, SystemExit) as error:  # importing runs foreign code
            raise TaskResultDoesNotExist(
                f"{text}: {job.func} can't be imported ({type(error).__name__}: {error})"
            ) from error
        if not isinstance(function, TaskFunction):
            raise TaskResultDoesNotExist(f"{text}: {job.func} is no task")
        if job.options.get("task_backend", function.task.backend) != self.alias:
            raise TaskResultDoesNotExist(text)
        return result_of(job, function.task)

    def check(self, **kwargs: Any) -> Iterator[CheckMessage]:
        """E008: TASKS."""
        for problem in self._problems:
            yield Error(problem.message, hint=problem.hint, id=f"{LABEL}.E008")


def _declared(task: Any) -> tuple[str, Any]:
    """Return the path of `task` and the function of the task declared there."""
    from .task_functions import TaskFunction

    func = task.func.func if isinstance(task.func, JobFunction) else task.func
    try:
        path = path_of(func)
    except InvalidFunction as error:
        raise InvalidTask(str(error)) from None
    declared = resolve(path)
    if not isinstance(declared, TaskFunction):
        raise InvalidTask(
            f"{path!r} leads to {declared!r}, not to a task, and there workers look for it; "
            "keep the task under its function's name."
        )
    return path, declared


def _options_of_call(task: Any, declared: Any) -> Options:
    """Return what `task` says otherwise than the one declared, and its place."""
    said = {
        name: value
        for name in STORED
        if (value := getattr(task, name, None)) is not None
        and value != getattr(declared, name, None)
    }
    place = {"queue": task.queue_name, "priority": int(task.priority), "run_after": task.run_after}
    try:
        return Options.build({**place, **said})
    except InvalidOption as error:
        raise InvalidTask(str(error)) from None


def _normalised(
    path: str, function: Any, args: Any, kwargs: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Return arguments as Django's tasks take them; what remains is checked as for all jobs."""
    names = parameter_names(function)

    def plain(name: str, value: Any) -> Any:
        try:
            return normalize_json(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidArguments(f"{path}: argument {name!r}: {error}") from None

    return (
        [plain(names.get(i, f"#{i + 1}"), value) for i, value in enumerate(args)],
        {name: plain(name, value) for name, value in kwargs.items()},
    )


def _problems(alias: str, params: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong in TASKS[alias]; the key is the one to leave out."""
    queues = params.get("QUEUES", ())
    where = f"TASKS[{alias!r}]"
    if isinstance(queues, str) or not isinstance(queues, Collection):
        yield Problem(
            where,
            "QUEUES",
            f"{where}['QUEUES'] is {shown(queues)}, but it must be a list of queue names.",
            "Write a list; an empty one allows every queue.",
        )
    else:
        for name in queues:
            if problem := queue_name(name):
                yield Problem(
                    where,
                    "",
                    f"{where}['QUEUES'] names the queue {shown(name)}, which {problem}.",
                    "Correct it or leave it out.",
                )
    options = params.get("OPTIONS", {})
    if not isinstance(options, Mapping):
        yield Problem(
            where,
            "OPTIONS",
            f"{where}['OPTIONS'] is {shown(options)}, but it must be a dict.",
            f"Known keys: {', '.join(STORED)}.",
        )
        return
    for key, value in options.items():
        if key not in STORED:
            message = f"{where}['OPTIONS'] has the unknown key {key!r}."
            yield Problem(where, f"OPTIONS[{key!r}]", message, f"Known: {', '.join(STORED)}.")
            continue
        try:
            Options.build({key: value})
        except InvalidOption as error:
            message = f"{where}['OPTIONS'][{key!r}]: {error}"
            yield Problem(where, f"OPTIONS[{key!r}]", message, "Correct it or leave it out.")
