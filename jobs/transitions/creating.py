"""Creating jobs: the only place where their rows come into being."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

from django.db import transaction

from .. import bulk, signals
from ..conf import conf
from ..exceptions import IllegalTransition
from ..models import Job
from ..models.fields import JSONTextField
from ..serialization import JSONText
from ..states import INITIAL, State
from .rows import REASON_LENGTH, batches, expiry, write_history


def create(job: Job) -> None:
    """Insert `job`: one statement."""
    _check_initial(job)
    job.save(force_insert=True, using=conf.DATABASE)
    signals.job_enqueued.send_robust(sender=Job, jobs=[job])


def create_many(jobs: Sequence[Job]) -> None:
    """Insert `jobs`: one statement for each few hundred of them, or each megabyte of arguments.

    They get no ids: not every database returns those, and none promises to in the rows' order.
    """
    for job in jobs:
        _check_initial(job)
    with transaction.atomic(using=conf.DATABASE, savepoint=False):
        for batch in batches(jobs, lambda job: len(str(job.arguments)) + len(str(job.options))):
            bulk.insert(Job, _COLUMNS, [_values(job) for job in batch], using=conf.DATABASE)
    signals.job_enqueued.send_robust(sender=Job, jobs=list(jobs))


def create_failed(job: Job, reason: str, data: JSONText, *, at: datetime) -> None:
    """Insert a job that has failed elsewhere, with its one run.

    `data`: the history entry of that. `at`: when it failed.
    """
    job.state, job.reason = State.FAILED, reason[:REASON_LENGTH]
    job.state_changed_at = job.finished_at = at
    job.expires_at = expiry(State.FAILED, None, at)
    with transaction.atomic(using=conf.DATABASE):
        job.save(force_insert=True, using=conf.DATABASE)
        write_history([(job.pk, State.PROCESSING, "", data, job.created_at, at)])


_COLUMNS = tuple(field.name for field in Job._meta.concrete_fields[1:])  # but the id
_ATTRIBUTES = attrgetter(*(field.attname for field in Job._meta.concrete_fields[1:]))
_AS_JSON = [
    (index, field.get_prep_value)
    for index, field in enumerate(Job._meta.concrete_fields[1:])
    if isinstance(field, JSONTextField)
]


def _values(job: Job) -> list[Any]:
    """Return what stands in the columns of a job that is not inserted yet."""
    values = list(_ATTRIBUTES(job))
    for index, prepare in _AS_JSON:
        values[index] = prepare(values[index])
    return values


def _check_initial(job: Job) -> None:
    if job.state not in INITIAL:
        raise IllegalTransition(f"a job can't be created in state {job.state}.")
