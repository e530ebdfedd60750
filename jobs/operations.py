"""Operations: an action on all jobs that match a filter, as a job of our own.

It goes through them by id, 500 in a transaction, up to the newest that there was when it was asked
for, so that it ends although others come. It waits for no other job, so one worker is enough.
"""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256
from itertools import islice
from typing import Any, NamedTuple

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from . import transitions
from .conf import conf
from .dashboard import matching
from .decorators import job
from .models import Job, Operation
from .models.job import JobQuerySet
from .races import repeat_when_raced
from .states import FINAL, State
from .steering import ACTIONS, BATCH, Action, steer

#: Before whatever waits: the backlog may be what the operation is about.
PRIORITY = 100
#: Not the time limit of other jobs; one that was cut off goes on with its next retry.
TIMEOUT = timedelta(hours=12)
#: A search finds no more.
SEARCHED = 10_000
#: So long the results are kept.
KEPT = timedelta(days=90)


class Started(NamedTuple):
    """The operation that does what was asked for, and whether that had been asked for before."""

    operation: Operation
    is_new: bool


def start(action: Action, seen: State, query: str, *, by: str, reason: str = "") -> Started:
    """Let a worker apply `action` to all jobs in state `seen` that match `query`.

    While the same goes on already, nothing is started: both who asked get the one operation.
    """
    rows, db = Operation.objects.using(conf.DATABASE), conf.DATABASE
    rows.filter(finished_at__lt=timezone.now() - KEPT).delete()
    key = sha256("\n".join((action.name, seen, query)).encode()).hexdigest()
    for old in rows.filter(open_key=key).select_related("job"):
        if not is_abandoned(old):
            return Started(old, False)
        _end(old)
    ids = ""
    if matching.is_search(query):
        found = matching.jobs(query, seen).order_by("pk").values_list("pk", flat=True)
        ids = ",".join(map(str, found[:SEARCHED])) or "0"  # none: not all others
    newest = Job.objects.using(db).order_by("-id").values_list("id", flat=True).first()
    try:
        with transaction.atomic(using=db):
            operation = rows.create(
                action=action.name,
                seen=seen,
                query=query,
                ids=ids,
                by=by[:150],
                reason=reason[:200],
                until=newest or 0,
                open_key=key,
            )
            # Its id is above `until`: an operation never acts on the job that it is.
            operation.job = work.using(queue=conf.DEFAULT_QUEUE).enqueue(operation.pk)
            operation.save(update_fields=["job"])
    except IntegrityError:  # somebody else was faster by a moment
        return Started(rows.get(open_key=key), False)
    return Started(operation, True)


def stop(operation: Operation, *, by: str) -> bool:
    """Let an operation end after the batch it is at; return False if it had ended before."""
    rows = Operation.objects.using(conf.DATABASE).filter(pk=operation.pk, finished_at=None)
    stopped = rows.update(stopped_by=by[:150], finished_at=timezone.now(), open_key=None)
    if stopped and operation.job_id:
        # One that has not begun, or waits for a retry, need not begin.
        for waiting in (State.ENQUEUED, State.SCHEDULED):
            transitions.delete([operation.job_id], f"stopped by {by}", expected=waiting)
    return bool(stopped)


def is_abandoned(operation: Operation) -> bool:
    """Whether nobody works on an operation any more, although it is not through."""
    if operation.finished_at is not None:
        return False
    return operation.job is None or operation.job.state in FINAL


@job(priority=PRIORITY, timeout=TIMEOUT, max_retries=8, retry_delays=[1, 5, 15, 60, 300])
def work(operation_id: int) -> dict[str, int]:
    """Work through an operation, from where it stopped, and return its numbers."""
    rows = Operation.objects.using(conf.DATABASE)
    operation = rows.filter(pk=operation_id).first()
    if operation is None:
        return {}
    if operation.of is None:
        of = _count(operation)
        rows.filter(pk=operation_id, of=None).update(of=of, working_since=timezone.now())
    while _next(operation_id):
        pass
    operation.refresh_from_db()
    return {name: getattr(operation, name) or 0 for name in ("moved", "skipped", "failed", "of")}


@repeat_when_raced
def _next(operation_id: int) -> bool:
    """Do one batch and note it, both or neither; return whether to go on."""
    rows = Operation.objects.using(conf.DATABASE)
    with transaction.atomic(using=conf.DATABASE):
        # A change first: it locks the row on every database, so that whoever was taken for dead
        # and is not can't do the same batch.
        if not rows.filter(pk=operation_id, finished_at=None).update(moved=F("moved")):
            return False
        operation = rows.get(pk=operation_id)
        seen, action = State(operation.seen), ACTIONS[operation.action]
        ids = _ids_after(operation)
        if not ids:
            # What matched at the start and not at its turn had moved on by itself.
            operation.skipped += max(0, (operation.of or 0) - operation.done)
            _end(operation)
            return False
        result = steer(action, ids, by=operation.by, reason=operation.reason, seen=seen)
        operation.last_id = ids[-1]
        operation.moved += len(result.moved)
        operation.failed += len(result.failed)
        operation.skipped += len(ids) - len(result.moved) - len(result.failed)
        operation.save(update_fields=["last_id", "moved", "skipped", "failed"])
    return True


def _count(operation: Operation) -> int:
    if operation.ids:
        return operation.ids.count(",") + 1
    return _matching(operation).count()


def _ids_after(operation: Operation) -> list[int]:
    """Return the next ones to try, in the order of ids."""
    if operation.ids:
        left = (pk for pk in map(int, operation.ids.split(",")) if pk > operation.last_id)
        return list(islice(left, BATCH))
    left_by_key = _matching(operation).filter(pk__gt=operation.last_id).order_by("pk")
    return list(left_by_key.values_list("pk", flat=True)[:BATCH])


def _matching(operation: Operation) -> JobQuerySet:
    found: Any = matching.jobs(operation.query, State(operation.seen))
    return found.filter(pk__lte=operation.until)


def _end(operation: Operation) -> None:
    operation.finished_at, operation.open_key = timezone.now(), None
    operation.save(update_fields=["skipped", "finished_at", "open_key"])
