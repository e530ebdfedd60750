"""`@job`: a function that can be called, and enqueued."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import partial, update_wrapper
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, overload
from weakref import WeakSet

from .exceptions import InvalidFunction
from .functions import adapted, adapters
from .options import NOTHING_SAID, Options

if TYPE_CHECKING:
    from .models import Job
    from .outcomes import Claimed, Outcome

P = ParamSpec("P")
R = TypeVar("R")


class Enqueuer(Generic[P]):
    """A function together with options for the next call of `enqueue`."""

    def __init__(self, target: Callable[P, Any] | str, options: Options) -> None:
        self.target = target
        self.options = options

    def using(self, **options: Any) -> Enqueuer[P]:
        """Return the same function with further options; see Options for their names and units."""
        return Enqueuer(self.target, Options.build(options).over(self.options))

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Enqueue a call in the caller's transaction and return its Job.

        Raises InvalidFunction or InvalidArguments; then nothing was written.
        """
        from .client import create

        return create(self.target, args, kwargs, self.options)

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Do as `enqueue`, from async code."""
        from .client import acreate

        return await acreate(self.target, args, kwargs, self.options)

    def enqueue_many(self, calls: Iterable[Any]) -> int:
        """Enqueue a call for each element of `calls` and return how many; all or none.

        An element is a tuple of positional arguments or a dict of keyword arguments.
        """
        from .client import create_many

        return create_many(self.target, calls, self.options)


#: For the system check: which functions were declared atomic, as far as they are imported.
_atomic: WeakSet[JobFunction[Any, Any]] = WeakSet()


#: For forms that offer functions: all that were declared, as far as they are imported.
_declared: WeakSet[JobFunction[Any, Any]] = WeakSet()


class JobFunction(Generic[P, R]):
    """A function declared with `@job`. Calling it runs it here and now, queueing nothing."""

    def __init__(self, func: Callable[P, R], options: Options) -> None:
        if not callable(func) or isinstance(func, (type, staticmethod, classmethod)):
            raise InvalidFunction(f"@job goes on a function, not on {func!r}.")
        update_wrapper(self, func)
        self.func = func
        self.options = options
        _declared.add(self)
        if options.atomic:
            remember_atomic(self)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.func(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<job {self.func.__module__}.{self.func.__qualname__}>"

    def using(self, **options: Any) -> Enqueuer[P]:
        """Return this function with options for one call; see Options for their names and units."""
        return Enqueuer(self, Options.build(options))

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Enqueue a call in the caller's transaction and return its Job.

        Raises InvalidFunction or InvalidArguments; then nothing was written.
        """
        return Enqueuer[P](self, NOTHING_SAID).enqueue(*args, **kwargs)

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Do as `enqueue`, from async code."""
        return await Enqueuer[P](self, NOTHING_SAID).aenqueue(*args, **kwargs)

    def enqueue_many(self, calls: Iterable[Any]) -> int:
        """Enqueue a call for each element of `calls` and return how many; all or none."""
        return Enqueuer[P](self, NOTHING_SAID).enqueue_many(calls)


class Listener(Protocol):
    """One execution of a ForeignFunction, which it prepares and hears of."""

    options: Options

    def started(self) -> None:
        """Hear that it is about to begin; what is raised here, the job has raised."""

    def arguments(self, args: list[Any]) -> list[Any]:
        """Return the function's positional arguments, given those that the job keeps."""

    def returned(self, value: Any) -> Any:
        """Return what is kept as the result; what is raised here fails the job for good."""

    def finished(self, outcome: Outcome, error: BaseException | None) -> None:
        """Hear how it ended; what it raised is the current exception. Must not raise."""


class ForeignFunction(JobFunction[P, R]):
    """A function declared through another API than `@job`, such as a task of Django's."""

    def listener(self, job: Claimed, worker: str) -> Listener:
        """Return what prepares and hears of an execution."""
        raise NotImplementedError

    def declared_with(self, options: Options) -> Any:
        """Return what to put in the module in place of what that API made, with these options."""
        raise NotImplementedError


@overload
def job(func: Callable[P, R], /) -> JobFunction[P, R]: ...
@overload
def job(**options: Any) -> Callable[[Callable[P, R]], JobFunction[P, R]]: ...
def job(func: Callable[P, R] | None = None, /, **options: Any) -> Any:
    """Declare a function as a job, with or without options.

    >>> @job(queue="mail", max_retries=5)
    ... def send_welcome_email(user_id): ...

    The options are those of Options but `run_after`. Put outside of `@task`, it gives them to the
    task, and leaves it one. Raises InvalidOption for unknown names and
    wrong values, at import.
    """
    checked = Options.build(options, declared=True)
    return _declare(checked, func) if func is not None else partial(_declare, checked)


def _declare(options: Options, func: Any) -> Any:
    if not callable(func) and isinstance(found := adapted(func), ForeignFunction):
        return found.declared_with(options)
    return JobFunction(func, options)


def _function_of_task(target: Any) -> Callable[..., Any] | None:
    """Return the function of a task of Django's; that framework is imported only if in use."""
    if "django.tasks" not in sys.modules and "django_tasks" not in sys.modules:
        return None
    from .task_functions import function_of

    return function_of(target)


adapters.append(_function_of_task)


def declared_options(target: Any) -> Options:
    """Return what the decorator of `target` says; nothing for an undecorated function."""
    return target.options if isinstance(target, JobFunction) else NOTHING_SAID


def remember_atomic(function: JobFunction[Any, Any]) -> None:
    """Have `function` looked at by the system check of atomic jobs."""
    _atomic.add(function)


def declared_atomic() -> list[JobFunction[Any, Any]]:
    """Return the functions declared with `atomic=True` so far."""
    return sorted(_atomic, key=repr)


def declared() -> list[JobFunction[Any, Any]]:
    """Return the functions declared as jobs so far."""
    return list(_declared)
