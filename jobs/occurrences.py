"""Occurrences of recurring jobs become jobs, each exactly once however many servers do it.

A recurring job is claimed by comparing and setting its `next_run` in the transaction that inserts
its jobs; the unique (recurring job, occurrence) stands behind that. A scheduler that dies in the
middle has done nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import Error, IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from . import signals, transitions, wakeup
from .clock import DatabaseNow
from .conf import conf
from .context import captured_language
from .models import Job, RecurringJob, compiled
from .models.recurring import RecurringJobQuerySet
from .races import Raced
from .recurrence import LIMIT, Plan, plan
from .serialization import dumps
from .states import State
from .transitions import REASON_LENGTH

#: One pass looks after so many recurring jobs, and creates about `recurrence.LIMIT` jobs.
ROWS = 200
#: What the database says is kept up to this.
ERROR_LENGTH = 1000


def create_due(as_of: datetime | None = None, *, broken: bool = False) -> int:
    """Create jobs for the occurrences that are due; return how many recurring jobs it dealt with.

    One pass: call it again until it returns 0. Due by the database's clock, or by `as_of`.
    A recurring job that can't be used gets its error written and stops no other; so does one whose
    jobs the database refuses. `broken`: look at those with an error, which are left out otherwise;
    one that is sound again goes on where it stopped. Raises django.db.Error when the database does
    not answer.
    """
    rows = RecurringJob.objects.using(conf.DATABASE).due(as_of)
    rows = rows.broken() if broken else rows.sound()
    try:
        return _create(rows, as_of)
    except (Raced, Error):
        # Another server moved some, somebody set a next run back, or the database does not take
        # what one of them holds: each for itself. If it does not answer at all, this raises too.
        return sum(_create_one(rows, pk, as_of) for pk in rows.values_list("pk", flat=True)[:ROWS])


def seconds_to_next() -> float | None:
    """Return after how many seconds an occurrence is due; None if there is none to come."""
    for next_run, now in _next():
        return None if next_run is None else (next_run - now).total_seconds()
    return None


@compiled.query
def _next() -> QuerySet[RecurringJob, tuple[datetime | None, datetime]]:
    rows = RecurringJob.objects.using(conf.DATABASE).sound().filter(next_run__isnull=False)
    return rows.order_by("next_run").values_list("next_run", DatabaseNow())[:1]


def make_job(row: RecurringJob, reason: str, run_at: datetime) -> Job:
    """Return a job of `row`, not saved, which will run under the recurring job's time zone."""
    now = timezone.now()
    return Job(
        func=row.func,
        arguments=dumps(row.arguments),
        options=row.options,
        queue=row.queue,
        priority=row.priority,
        run_at=run_at,
        state=State.ENQUEUED,
        reason=f"{reason}: {row.name}"[:REASON_LENGTH],
        state_changed_at=now,
        created_at=now,
        language=captured_language(),
        time_zone=row.time_zone,
        recurring_job_id=row.pk,
    )


def _create(due: RecurringJobQuerySet, as_of: datetime | None, *, careful: bool = False) -> int:
    with transaction.atomic(using=conf.DATABASE):
        rows = list(due.annotate(now=DatabaseNow()).locked(skip_locked=True)[:ROWS])
        moves: dict[_Move, list[int]] = {}
        errors: dict[str, list[int]] = {}
        jobs: list[Job] = []
        for row in rows:
            now = as_of or row.now  # type: ignore[attr-defined]  # it does not see annotations
            known = _known_occurrences(row) if careful else frozenset()
            try:
                # Shared fairly: who has slept for weeks must not keep the others waiting.
                chosen, following = _plan(row, now, max(1, LIMIT // len(rows)))
                jobs += [_occurrence(row, at, now) for at in chosen if at not in known]
            except Exception as error:
                if row.error != str(error):
                    errors.setdefault(str(error), []).append(row.pk)
                continue
            last_run = now if chosen else row.last_run
            moves.setdefault(_Move(row.next_run, following, last_run), []).append(row.pk)
        for move, pks in moves.items():
            _move_on(pks, move)
        for text, pks in errors.items():
            RecurringJob.objects.using(conf.DATABASE).filter(pk__in=pks).update(error=text)
        if jobs:
            signals.occurrences_due.send(sender=Job, jobs=jobs)
        if jobs:
            transitions.create_many(jobs)
        for queue in {job.queue for job in jobs}:
            wakeup.announce(queue)
    return sum(map(len, [*moves.values(), *errors.values()]))


def _create_one(due: RecurringJobQuerySet, pk: int, as_of: datetime | None) -> int:
    row, attempts = due.filter(pk=pk), 2
    while True:
        try:
            return _create(row, as_of, careful=True)
        except (Raced, IntegrityError):
            return 0
        except Error as error:
            # What a lost connection or a deadlock did passes at the second attempt. In an outage
            # this fails as the attempts did, and nobody is marked.
            attempts -= 1
            if not attempts:
                text = " ".join(f"{type(error).__name__}: {error}".split())[:ERROR_LENGTH]
                return row.exclude(error=text).update(error=text)


class _Move(NamedTuple):
    """What one UPDATE says of all recurring jobs for which it is the same."""

    next_run: datetime | None
    following: datetime | None
    last_run: datetime | None


def _move_on(pks: list[int], move: _Move) -> None:
    rows = RecurringJob.objects.using(conf.DATABASE).filter(pk__in=pks, next_run=move.next_run)
    if rows.update(next_run=move.following, last_run=move.last_run, error="") != len(pks):
        raise Raced


def _plan(row: RecurringJob, now: datetime, limit: int) -> Plan:
    if problems := dict(row.problems()):
        raise ValueError(" ".join(problems.values()))
    assert row.next_run is not None, "it is due"
    return plan(
        row.schedule,
        row.next_run,
        now,
        misfire=row.misfire,
        grace_seconds=conf.MISFIRE_GRACE_SECONDS,
        limit=limit,
    )


def _occurrence(row: RecurringJob, at: datetime, now: datetime) -> Job:
    # What was missed long ago must not overtake, in its queue, what has waited since.
    job = make_job(row, "recurring", max(at, now - timedelta(seconds=conf.MISFIRE_GRACE_SECONDS)))
    job.occurrence = at
    return job


def _known_occurrences(row: RecurringJob) -> frozenset[datetime | None]:
    """Return the occurrences from the next run on that have their job already."""
    jobs = Job.objects.using(conf.DATABASE).filter(
        recurring_job_id=row.pk, occurrence__gte=row.next_run
    )
    return frozenset(jobs.values_list("occurrence", flat=True))
