"""What jobs told of themselves, as rows: written, bounded, removed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from django.db import connections, transaction

from . import bulk
from .conf import conf
from .models import Job, JobProgress, LogLine
from .outcomes import Told
from .transitions import CHUNK

_FIELDS = ("attempt", "done", "total", "text", "dropped", "reported_at")


def write(told: Sequence[Told]) -> None:
    """Write what jobs have told, in the order in which it came; one transaction for each 500.

    What was told by a job that is gone is not written, or nobody would ever remove it. A run that
    was given up and still goes on does not change the progress of the one that followed it.
    """
    for start in range(0, len(told), CHUNK):
        _write(told[start : start + CHUNK])


def _write(told: Sequence[Told]) -> None:
    db = conf.DATABASE
    with transaction.atomic(using=db):
        jobs = Job.objects.using(db).filter(pk__in={one.id for one in told})
        there = set(jobs.values_list("pk", flat=True))
        told = [one for one in told if one.id in there]
        rows = [
            (one.id, one.attempt, _moment(at), level, text)
            for one in told
            for at, level, text in one.lines
        ]
        bulk.insert(LogLine, ("job", "attempt", "at", "level", "text"), rows, using=db)
        dropped = {pk: _shorten(pk) for pk in _too_long(told)}
        _write_progress(told, dropped)


def _too_long(told: Sequence[Told]) -> set[int]:
    """Return the jobs that may have more lines than are kept: earlier attempts logged as well."""
    return {
        one.id for one in told if one.lines and (one.attempt > 1 or one.logged > conf.LOG_LINES)
    }


def _shorten(pk: int) -> int:
    """Remove the oldest lines of a job with too many; return how many."""
    db = conf.DATABASE
    lines = LogLine.objects.using(db).filter(job=pk)
    newest = lines.order_by("-pk").values_list("pk", flat=True)
    last = list(newest[conf.LOG_LINES : conf.LOG_LINES + 1])
    return lines.filter(pk__lte=last[0]).order_by()._raw_delete(db) if last else 0


def _write_progress(told: Sequence[Told], removed: dict[int, int]) -> None:
    telling = [one for one in told if one.done is not None or one.dropped or removed.get(one.id)]
    if not telling:
        return
    stored = JobProgress.objects.using(conf.DATABASE)
    known = stored.in_bulk({one.id for one in telling})
    rows: dict[int, JobProgress] = {}
    for one in telling:
        row = known.get(one.id) or JobProgress(job_id=one.id, attempt=one.attempt)
        known[one.id] = rows[one.id] = row
        row.dropped += one.dropped + removed.pop(one.id, 0)
        row.reported_at = _moment(one.at)
        if one.attempt > row.attempt:
            row.attempt, row.done, row.total, row.text = one.attempt, None, None, ""
        if one.done is not None and one.attempt == row.attempt:
            row.done, row.total, row.text = one.done, one.total, one.text
    features = connections[conf.DATABASE].features
    if features.supports_update_conflicts:
        targeted = features.supports_update_conflicts_with_target
        stored.bulk_create(
            rows.values(),
            update_conflicts=True,
            update_fields=_FIELDS,
            unique_fields=["job"] if targeted else None,
        )
        return
    for row in rows.values():
        values = {name: getattr(row, name) for name in _FIELDS}
        if not stored.filter(pk=row.pk).update(**values):
            stored.create(pk=row.pk, **values)


def remove(ids: Collection[int]) -> None:
    """Remove what these jobs told, in the caller's transaction."""
    for model in (LogLine, JobProgress):
        rows = model._default_manager.using(conf.DATABASE).filter(job__in=ids)
        rows.order_by()._raw_delete(conf.DATABASE)


def _moment(epoch: float) -> datetime:
    return datetime.fromtimestamp(epoch, UTC)
