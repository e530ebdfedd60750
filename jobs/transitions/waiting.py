"""The end of waiting, for a time or for a parent."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from ..conf import conf
from ..models import Job
from ..races import repeat_when_raced
from ..states import State
from .rows import Moved, Row, move, read, read_ids


@repeat_when_raced
def promote_due(limit: int, as_of: datetime | None = None) -> list[str]:
    """Move up to `limit` due jobs from scheduled to enqueued; return their queues.

    Due by the database's clock, or by `as_of`.
    """
    with transaction.atomic(using=conf.DATABASE):
        due = Job.objects.using(conf.DATABASE).due(as_of).order_by("run_at", "id")
        rows = read(due, skip_locked=True, limit=limit)
        move(rows, State.ENQUEUED)
    return [row.queue for row in rows]


@repeat_when_raced
def release(ids: Collection[int], reason: str) -> Moved:
    """Enqueue those of these jobs that still wait for their parent, or put them off until due."""
    with transaction.atomic(using=conf.DATABASE):
        rows, moved = _waiting(ids)
        now = timezone.now()
        move([r for r in rows if r.run_at > now], State.SCHEDULED, reason=reason)
        due = [r for r in rows if r.run_at <= now]
        move(due, State.ENQUEUED, reason=reason, run_at=now)
    return moved


@repeat_when_raced
def give_up_waiting(ids: Collection[int], reason: str) -> Moved:
    """Delete those of these jobs that still wait for their parent, which they do in vain."""
    with transaction.atomic(using=conf.DATABASE):
        rows, moved = _waiting(ids)
        move(rows, State.DELETED, reason=reason)
    return moved


def _waiting(ids: Collection[int]) -> tuple[list[Row], Moved]:
    rows = [row for row in read_ids(ids) if row.state == State.AWAITING]
    return rows, Moved(ids=[row.id for row in rows], queues=[row.queue for row in rows])
