"""Creating jobs and steering them, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from asgiref.sync import sync_to_async
from django.db import transaction
from django.utils import timezone

from . import continuations, pruning, transitions, wakeup
from .conf import conf
from .context import captured_language, captured_time_zone
from .continuations import Condition
from .decorators import Enqueuer, declared_options
from .exceptions import IllegalTransition, InvalidArguments, InvalidOption, StillStopping
from .functions import check_call, identify, parameter_names
from .models import Job
from .options import NOTHING_SAID, Options
from .serialization import dump_arguments
from .states import MOVES, State

Target = Callable[..., Any] | str

#: `enqueue_many` inserts so many rows in one statement.
CHUNK = 500


def enqueue(func: Target, /, *args: Any, **kwargs: Any) -> Job:
    """Enqueue a call of `func` (a function or its dotted path) and return its Job.

    One INSERT in the caller's transaction: committed data has its job, rolled back data has none.
    Raises InvalidFunction or InvalidArguments; then nothing was written. Options go through
    `using(func, …)`.
    """
    return create(func, args, kwargs, NOTHING_SAID)


async def aenqueue(func: Target, /, *args: Any, **kwargs: Any) -> Job:
    """Do as `enqueue`, from async code."""
    return await acreate(func, args, kwargs, NOTHING_SAID)


def enqueue_many(func: Target, calls: Iterable[Any]) -> int:
    """Enqueue a call of `func` for each element of `calls` and return how many; all or none.

    An element is a tuple of positional arguments or a dict of keyword arguments. `calls` may be a
    generator: it is read 500 elements at a time. Raises as `enqueue` does.
    """
    return create_many(func, calls, NOTHING_SAID)


def schedule(func: Target, /, *args: Any, run_after: Any, **kwargs: Any) -> Job:
    """Enqueue a call of `func` for later and return its Job.

    `run_after`: an aware datetime, or a timedelta counted from now.
    """
    _require_moment(run_after)
    return create(func, args, kwargs, Options.build({"run_after": run_after}))


def continue_with(
    parent: Job | int,
    func: Target | Enqueuer[Any],
    /,
    *args: Any,
    on: str = "succeeded",
    **kwargs: Any,
) -> Job:
    """Enqueue a call of `func` that waits until `parent` has ended, and return its Job.

    `on`: how the parent must end: "succeeded"; "failed" (no retries left); "deleted"; "finished"
    (any of the three). When that can't happen any more, the child is deleted; a child that wants
    success waits on while its parent is failed, which may be requeued. The parent may have ended
    already. Within the child, `current().parent` is the parent's Job, with its `result`; an async
    child says `(await current().aparent()).result`, and `await job.aresult()` of any other job.
    `func` may be what `using` returns: `continue_with(parent, using(send, queue="mail"), 1)`; a
    `run_after` there counts from now, not from the parent's end.

    Raises as `enqueue` does, InvalidOption for an unknown `on`, and IllegalTransition when there
    is no such parent.
    """
    if on not in tuple(Condition):
        raise InvalidOption(f"on={on!r} must be one of {', '.join(Condition)}.")
    call = func if isinstance(func, Enqueuer) else Enqueuer(func, NOTHING_SAID)
    job = _plan(call.target, args, kwargs, call.options)
    job.parent_id = parent.pk if isinstance(parent, Job) else parent
    job.condition, job.state = on, State.AWAITING
    if not pruning.keep_for_child(job.parent_id):
        raise _no_such_job(job.parent_id)
    transitions.create(job)
    wakeup.announce(job.queue)
    # The parent may have ended before this child could be seen.
    continuations.settle_after_commit([job.parent_id])
    return job


def using(func: Target, **options: Any) -> Enqueuer[Any]:
    """Return `func` with options for one call: `using(func, queue="mail").enqueue(1)`."""
    return Enqueuer(func, Options.build(options))


def requeue(job: Job | int) -> bool:
    """Put a job back on its queue, with all its retries; return False if it has just moved on.

    Raises IllegalTransition for a job that runs, waits for a worker or does not exist any more,
    StillStopping for a deleted one whose run has not ended.
    """
    return _steer(job, State.ENQUEUED, lambda pk: transitions.requeue([pk], "requeued"))


def delete(job: Job | int) -> bool:
    """Delete a job in whatever state; return False if it has just moved on.

    The row stays, in state `deleted`, until it expires. One that runs is ended, see JobCancelled;
    one that a worker is about to begin may still run. Raises IllegalTransition for a job that
    is deleted already or does not exist any more.
    """
    return _steer(job, State.DELETED, lambda pk: transitions.delete([pk], "deleted"))


def reschedule(job: Job | int, *, run_after: Any) -> bool:
    """Put a job off until `run_after`; return False if it has just moved on.

    `run_after`: an aware datetime, or a timedelta counted from now. Raises as `requeue` does.
    """
    _require_moment(run_after)
    due = Options.build({"run_after": run_after}).due(timezone.now())
    at = due or timezone.now()
    return _steer(
        job,
        State.SCHEDULED,
        lambda pk: transitions.reschedule([pk], at, f"put off until {at:%F %T %Z}"),
    )


async def aenqueue_many(func: Target, calls: Iterable[Any]) -> int:
    """Do as `enqueue_many`, from async code."""
    return await sync_to_async(enqueue_many)(func, calls)


async def aschedule(func: Target, /, *args: Any, run_after: Any, **kwargs: Any) -> Job:
    """Do as `schedule`, from async code."""
    return await sync_to_async(schedule)(func, *args, run_after=run_after, **kwargs)


async def acontinue_with(
    parent: Job | int,
    func: Target | Enqueuer[Any],
    /,
    *args: Any,
    on: str = "succeeded",
    **kwargs: Any,
) -> Job:
    """Do as `continue_with`, from async code."""
    return await sync_to_async(continue_with)(parent, func, *args, on=on, **kwargs)


async def arequeue(job: Job | int) -> bool:
    """Do as `requeue`, from async code."""
    return await sync_to_async(requeue)(job)


async def adelete(job: Job | int) -> bool:
    """Do as `delete`, from async code."""
    return await sync_to_async(delete)(job)


async def areschedule(job: Job | int, *, run_after: Any) -> bool:
    """Do as `reschedule`, from async code."""
    return await sync_to_async(reschedule)(job, run_after=run_after)


def _require_moment(run_after: Any) -> None:
    if run_after is None:
        raise InvalidOption("run_after=None: say when, by a timedelta or an aware datetime.")


def create(
    target: Target,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    options: Options,
    notes: Mapping[str, Any] | None = None,
) -> Job:
    """Insert one job; what all the enqueue verbs come down to.

    `notes`: what is kept beside the options of the call, see `options.NOTES`.
    """
    job = _plan(target, args, kwargs, options)
    if notes:
        job.options = {**job.options, **notes}
    transitions.create(job)
    wakeup.announce(job.queue, due_changed=job.state == State.SCHEDULED)
    return job


async def acreate(
    target: Target, args: tuple[Any, ...], kwargs: Mapping[str, Any], options: Options
) -> Job:
    """Insert one job from async code."""
    return await sync_to_async(create)(target, args, kwargs, options)


def create_many(target: Target, calls: Iterable[Any], options: Options) -> int:
    """Insert a job for each of `calls`, in one transaction."""
    func, path = identify(target)
    stored, now, count = options.stored(), timezone.now(), 0
    options = options.over(declared_options(func))
    elements = iter(calls)
    with transaction.atomic(using=conf.DATABASE):
        while chunk := list(islice(elements, CHUNK)):
            rows = [_build(func, path, *_call(path, call), options, stored, now) for call in chunk]
            transitions.create_many(rows)
            count += len(rows)
            queue, state = rows[0].queue, rows[0].state
        if count:
            wakeup.announce(queue, due_changed=state == State.SCHEDULED)
    return count


def _plan(
    target: Target, args: tuple[Any, ...], kwargs: Mapping[str, Any], options: Options
) -> Job:
    """Return the job of one call, checked and not written."""
    func, path = identify(target)
    # Only what this call says is kept with the job: a changed decorator reaches queued jobs too.
    return _build(
        func,
        path,
        args,
        kwargs,
        options.over(declared_options(func)),
        options.stored(),
        timezone.now(),
    )


def _build(
    func: Callable[..., Any],
    path: str,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    options: Options,
    stored: dict[str, Any],
    now: datetime,
) -> Job:
    check_call(path, func, args, kwargs)
    due = options.due(now)
    return Job(
        func=path,
        arguments=dump_arguments(path, args, kwargs, parameter_names(func)),
        options=stored,
        queue=options.queue or conf.DEFAULT_QUEUE,
        priority=options.priority or 0,
        run_at=due or now,
        state=State.SCHEDULED if due else State.ENQUEUED,
        state_changed_at=now,
        created_at=now,
        language=captured_language(),
        time_zone=captured_time_zone(),
    )


def _call(path: str, call: Any) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    if isinstance(call, Mapping):
        return (), call
    if isinstance(call, (tuple, list)):
        return tuple(call), {}
    raise InvalidArguments(
        f"{path}: {call!r} is no call; give a tuple of positional or a dict of keyword arguments."
    )


def _no_such_job(pk: int) -> IllegalTransition:
    return IllegalTransition(f"#{pk}: there is no such job; it may have expired.")


def _steer(job: Job | int, target: State, move: Callable[[int], transitions.Moved]) -> bool:
    pk = job.pk if isinstance(job, Job) else job
    moved = move(pk)
    if moved.ids:
        if isinstance(job, Job):
            job.refresh_from_db()
        wakeup.announce(moved.queues[0], due_changed=target == State.SCHEDULED)
        if target == State.DELETED:
            continuations.settle_after_commit([pk])
        return True
    if pk not in moved.skipped:
        raise _no_such_job(pk)
    if pk in moved.stopping:
        raise StillStopping(f"#{pk} was deleted while it ran and is still stopping; try again.")
    state = moved.skipped[pk]
    if state == State.PROCESSING or target not in MOVES[state]:
        raise IllegalTransition(f"#{pk} is {state}; from there it can't become {target}.")
    return False
