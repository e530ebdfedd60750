"""How runs end: the outcomes that workers report, and whether one has been written."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from .. import signals
from ..clock import DatabaseLater
from ..conf import conf
from ..models import HistoryEntry, Job
from ..outcomes import Kind, Outcome
from ..serialization import JSONText
from ..states import State
from .rows import (
    HELD_NO_MORE,
    REASON_LENGTH,
    Row,
    change_all,
    expiry,
    let_go,
    read_held,
    read_ids,
    tell,
    write_history,
)


def record(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Write how executions ended; return the outcomes that were refused.

    Refused is what comes with a token that is not its job's any more: the job was given up and
    another execution owns it. The end of a run whose job was deleted meanwhile only lets go of
    the row. Call it in a transaction of your own to write more with it; raises Raced when the
    whole is to be done again, Locked when others have some of the rows for now.
    """
    with transaction.atomic(using=conf.DATABASE, savepoint=False):
        unique = {(o.id, o.token): o for o in outcomes if not o.recorded}
        rows = {row.id: row for row in read_held(unique.keys())}
        accepted: list[tuple[Outcome, Row]] = []
        released: list[int] = []
        refused: list[Outcome] = []
        for outcome in unique.values():
            row = rows.get(outcome.id)
            if row is None or row.claim_token != outcome.token:
                refused.append(outcome)
            elif row.state == State.PROCESSING:
                accepted.append((outcome, row))
            else:
                released.append(outcome.id)
        now = timezone.now()
        _record_final(accepted, now)
        for outcome, row in accepted:
            if outcome.kind in (Kind.RETRY, Kind.MISSING):
                _record_later(outcome, row, now)
        write_history(
            (o.id, State.PROCESSING, row.reason, JSONText(o.data), row.state_changed_at, now)
            for o, row in accepted
        )
        let_go(released)
        if told := [outcome for outcome, _row in accepted if outcome.extra]:
            signals.outcomes_recorded.send(sender=Job, outcomes=told)
    return refused


_FINAL = {Kind.SUCCEEDED: State.SUCCEEDED, Kind.FAILED: State.FAILED, Kind.DELETED: State.DELETED}


def _record_final(accepted: list[tuple[Outcome, Row]], now: datetime) -> None:
    """Update the finished jobs, those that get the same values in one statement."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for o, _row in accepted:
        if o.kind in _FINAL:
            key = (_FINAL[Kind(o.kind)], o.reason, o.expires, o.error_type, o.error_key)
            groups.setdefault(key, []).append(o.id)
    for (state, reason, expires, error_type, error_key), ids in groups.items():
        error = {"error_type": error_type, "error_key": error_key} if error_type else {}
        change_all(
            ids,
            State.PROCESSING,
            state=state,
            reason=reason[:REASON_LENGTH],
            state_changed_at=now,
            finished_at=now,
            expires_at=expiry(state, expires, now),
            missing_since=None,
            **error,
            **HELD_NO_MORE,
        )
        tell(ids, State.PROCESSING, state, reason)


def _record_later(outcome: Outcome, row: Row, now: datetime) -> None:
    counted: dict[str, Any] = {"retries": F("retries") + 1, "missing_since": None}
    if outcome.kind == Kind.MISSING:
        since = outcome.missing_since
        counted = {
            "attempt": F("attempt") - 1,
            "missing_since": datetime.fromtimestamp(since, UTC) if since else now,
        }
    change_all(
        [row.id],
        State.PROCESSING,
        state=State.SCHEDULED,
        reason=outcome.reason[:REASON_LENGTH],
        state_changed_at=now,
        # By the database's clock, which also judges what is due.
        run_at=DatabaseLater(timedelta(seconds=outcome.delay or 0)),
        error_type=outcome.error_type,
        error_key=outcome.error_key,
        **counted,
        **HELD_NO_MORE,
    )
    tell([row.id], State.PROCESSING, State.SCHEDULED, outcome.reason)


def hold(pk: int, token: str) -> str | None:
    """Lock the row of a run in the caller's transaction; return its state.

    None when `token` is not the row's any more.
    """
    row = next(iter(read_ids([pk])), None)
    return row.state if row is not None and row.claim_token == token else None


def has_ended(pk: int, token: str) -> bool:
    """Whether the run with this token has been recorded; waits for a transaction that does it."""
    with transaction.atomic(using=conf.DATABASE):
        read_ids([pk])
        entries = HistoryEntry.objects.using(conf.DATABASE).filter(job=pk, state=State.PROCESSING)
        return entries.filter(data__contains=token).exists()
