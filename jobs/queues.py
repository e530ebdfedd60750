"""Queues: which there are, and pausing and resuming them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import cast

from asgiref.sync import sync_to_async
from django.db.models import CharField, QuerySet
from django.utils import timezone

from . import wakeup
from .conf import conf
from .exceptions import InvalidOption, UnknownQueue
from .models import Job, Queue


def pause_queue(name: str, by: str = "", reason: str = "") -> bool:
    """Let no job of queue `name` start until it is resumed; return False if it was paused already.

    Every server sees it within a second after the caller's commit: it claims nothing more from
    the queue and puts back what it has claimed but not started, uncounted. Jobs that run go on,
    and enqueueing goes on. `by`: who pauses it (at most 150 characters), `reason`: why (255);
    those of a pause already in force stay. Raises UnknownQueue for a queue that no job and no
    setting has named so far, InvalidOption for a text that is too long.
    """
    _check_length("by", by)
    _check_length("reason", reason)
    _require(name)
    return _change(name, paused=False, paused_at=timezone.now(), paused_by=by, paused_reason=reason)


def resume_queue(name: str) -> bool:
    """Let the jobs of queue `name` start again; return False if it was not paused.

    Raises UnknownQueue as `pause_queue` does.
    """
    _require(name)
    return _change(name, paused=True, paused_at=None, paused_by="", paused_reason="")


async def apause_queue(name: str, by: str = "", reason: str = "") -> bool:
    """Do as `pause_queue`, from async code."""
    return await sync_to_async(pause_queue)(name, by, reason)


async def aresume_queue(name: str) -> bool:
    """Do as `resume_queue`, from async code."""
    return await sync_to_async(resume_queue)(name)


def _change(name: str, *, paused: bool, **values: object) -> bool:
    rows = Queue.objects.using(conf.DATABASE).filter(name=name, paused_at__isnull=not paused)
    changed = bool(rows.update(**values))
    if changed:
        wakeup.announce_queues()
    return changed


def _check_length(field: str, text: str) -> None:
    column = cast("CharField[str, str]", Queue._meta.get_field(f"paused_{field}"))
    if (limit := column.max_length) and len(text) > limit:
        raise InvalidOption(f"{field} has {len(text)} characters; at most {limit} are kept.")


def _require(name: str) -> None:
    """Raise UnknownQueue unless there is a row for `name`, which is made where one should be."""
    queues = Queue.objects.using(conf.DATABASE)
    if queues.filter(name=name).exists():
        return
    declared = {conf.DEFAULT_QUEUE, *(conf.QUEUES or ())}
    if name in declared or Job.objects.using(conf.DATABASE).filter(queue=name).exists():
        queues.get_or_create(name=name)
        return
    known = sorted({*queues.values_list("name", flat=True), *declared})
    close = difflib.get_close_matches(name, known, 3)
    hint = (
        f"did you mean {' or '.join(map(repr, close))}?"
        if close
        else f"known: {', '.join(known[:20])}."
    )
    raise UnknownQueue(f"there is no queue {name!r}; {hint}")


def names_in_use() -> Iterator[str]:
    """Yield the queues that jobs of any state name, hopping from name to name along an index."""
    jobs, name = Job.objects.using(conf.DATABASE).order_by("queue"), ""
    while True:
        found = jobs.filter(queue__gt=name).values_list("queue", flat=True).first()
        if found is None:
            return
        yield (name := found)


def add_missing() -> None:
    """Make the Queue rows that a client died before making."""
    queues = Queue.objects.using(conf.DATABASE)
    known = set(queues.values_list("name", flat=True))
    for name in names_in_use():
        if name not in known:
            queues.get_or_create(name=name)


def has_due(own: list[str] | None, as_of: datetime | None = None) -> bool:
    """Whether a server of these queues (None: all) has jobs to start, enqueued or past due.

    Paused queues don't count. `as_of`: the moment to judge by, default: the database's clock.
    Each statement reads one row of an index, but for jobs that are past due and not yet enqueued.
    """
    jobs = Job.objects.using(conf.DATABASE)
    for name in not_paused(names_in_use() if own is None else own):
        if jobs.claimable(name).exists():
            return True
    due = jobs.due(as_of).exclude(queue__in=paused())
    return (due if own is None else due.filter(queue__in=own)).exists()


def paused() -> set[str]:
    """Return the names of the queues that are paused, as their rows spell them."""
    return set(_paused().values_list("name", flat=True))


def not_paused(names: Iterable[str]) -> Iterator[str]:
    """Yield those of `names` that are no paused queue; the database says what is the same name."""
    pauses = paused()
    for name in names:
        if not pauses or not (name in pauses or _paused().filter(name=name).exists()):
            yield name


def _paused() -> QuerySet[Queue]:
    return Queue.objects.using(conf.DATABASE).filter(paused_at__isnull=False)
