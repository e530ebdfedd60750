"""What people ask for: to requeue, to delete, to reschedule."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from ..conf import conf
from ..races import repeat_when_raced
from ..states import MOVES, State
from .rows import Moved, Row, move, read_ids

ANY = frozenset(State)
#: What waits for a time or for a parent, and can be told not to.
WAITING = frozenset({State.SCHEDULED, State.AWAITING})


def requeue(ids: Collection[int], reason: str, *, expected: State | None = None) -> Moved:
    """Put jobs back on their queues with all retries; see Moved for what it returns.

    `expected`: leave alone those that are in another state by now.
    """
    fresh = {"retries": 0, "crashes": 0, "recovered": False, "missing_since": None}
    sources = _only(expected)
    return _ask(ids, State.ENQUEUED, reason, sources, run_at=timezone.now(), **fresh)


def enqueue_now(ids: Collection[int], reason: str, *, expected: State | None = None) -> Moved:
    """End the waiting of jobs, for a time or for a parent; the retries used so far stay used."""
    sources = _only(expected, WAITING)
    return _ask(ids, State.ENQUEUED, reason, sources, run_at=timezone.now())


def delete(ids: Collection[int], reason: str, *, expected: State | None = None) -> Moved:
    """Delete jobs in any state. One that runs keeps its token until that run has ended."""
    return _ask(ids, State.DELETED, reason, _only(expected))


def reschedule(ids: Collection[int], run_at: datetime, reason: str) -> Moved:
    """Put jobs off until `run_at`."""
    return _ask(ids, State.SCHEDULED, reason, run_at=run_at)


def _only(expected: State | None, among: frozenset[State] = ANY) -> frozenset[State]:
    return among if expected is None else among & {expected}


@repeat_when_raced
def _ask(
    ids: Collection[int],
    target: State,
    reason: str,
    sources: frozenset[State] = ANY,
    **changes: Any,
) -> Moved:
    result = Moved()
    with transaction.atomic(using=conf.DATABASE):
        free: list[Row] = []
        for row in read_ids(ids):
            running = row.state == State.PROCESSING and target != State.DELETED
            if row.state != State.PROCESSING and row.claim_token:
                result.stopping.add(row.id)
                result.skipped[row.id] = State(row.state)
            elif running or row.state not in sources or target not in MOVES[State(row.state)]:
                result.skipped[row.id] = State(row.state)
            else:
                free.append(row)
        for state in {row.state for row in free}:
            keep = state == State.PROCESSING  # deleted while it runs: the run still owns the row
            rows = [row for row in free if row.state == state]
            move(rows, target, reason=reason, keep_hold=keep, **changes)
        result.ids = [row.id for row in free]
        result.queues = [row.queue for row in free]
    return result
