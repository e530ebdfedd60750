"""`@job`: a function that can be called, and enqueued."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload
from weakref import WeakSet

from .exceptions import InvalidFunction
from .options import NOTHING_SAID, Options

if TYPE_CHECKING:
    from .models import Job

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


class JobFunction(Generic[P, R]):
    """A function declared with `@job`. Calling it runs it here and now, queueing nothing."""

    def __init__(self, func: Callable[P, R], options: Options) -> None:
        if not callable(func) or isinstance(func, (type, staticmethod, classmethod)):
            raise InvalidFunction(f"@job goes on a function, not on {func!r}.")
        update_wrapper(self, func)
        self.func = func
        self.options = options
        if options.atomic:
            _atomic.add(self)

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


@overload
def job(func: Callable[P, R], /) -> JobFunction[P, R]: ...
@overload
def job(**options: Any) -> Callable[[Callable[P, R]], JobFunction[P, R]]: ...
def job(func: Callable[P, R] | None = None, /, **options: Any) -> Any:
    """Declare a function as a job, with or without options.

    >>> @job(queue="mail", max_retries=5)
    ... def send_welcome_email(user_id): ...

    The options are those of Options but `run_after`. Raises InvalidOption for unknown names and
    wrong values, at import.
    """
    checked = Options.build(options, declared=True)
    if func is not None:
        return JobFunction(func, checked)
    return lambda function: JobFunction(function, checked)


def declared_options(target: Any) -> Options:
    """Return what the decorator of `target` says; nothing for an undecorated function."""
    return target.options if isinstance(target, JobFunction) else NOTHING_SAID


def declared_atomic() -> list[JobFunction[Any, Any]]:
    """Return the functions declared with `atomic=True` so far."""
    return sorted(_atomic, key=repr)
