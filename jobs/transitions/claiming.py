"""Claiming: which enqueued jobs come next, which must wait, and how they become a server's."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import ExpressionWrapper, F, QuerySet, TextField
from django.utils import timezone

from ..conf import conf
from ..models import Job, compiled
from ..outcomes import Claimed
from ..races import repeat_when_raced
from ..states import State
from .rows import EMPTY, change, locked, tell, write_history


class Claims(list[Claimed]):
    """Jobs just claimed.

    `skipped`: recovered jobs that were left for when a worker is idle; `apart`: those that must
    wait until others have ended.
    """

    skipped = apart = 0


_raw = {
    "arguments_text": ExpressionWrapper(F("arguments"), output_field=TextField()),
    "options_text": ExpressionWrapper(F("options"), output_field=TextField()),
}

_ONE_MORE = {"attempt": F("attempt") + 1}


@repeat_when_raced
def claim(queue: str, limit: int, *, server: str, token: str, idle: int) -> Claims:
    """Move up to `limit` jobs of `queue` from enqueued to processing and return them.

    `token` must be fresh: it fences every later write about these jobs. `idle`: workers that
    could start at once; no more recovered jobs than that are taken, and their start is written
    with the claim, so that the server's death convicts exactly the job that caused it; for which
    a suspect runs alone among them.
    """
    db = conf.DATABASE
    with transaction.atomic(using=db):
        found = _candidates(queue, limit)
        claims = Claims()
        if recovered := sum(row[9] for row in found):
            found = _apart(found, queue, limit, server)
            claims.apart = recovered - sum(row[9] for row in found)
        rows: list[tuple[Any, ...]] = []
        wary: list[int] = []
        for row in found:
            if not row[9]:
                rows.append(row)
            elif len(wary) < idle:
                rows.append(row)
                wary.append(row[0])
        claims.skipped = len(found) - len(rows)
        if not rows:
            return claims
        now = timezone.now()
        ids = [row[0] for row in rows]
        taken = change(
            ids,
            State.ENQUEUED,
            state=State.PROCESSING,
            reason="",
            state_changed_at=now,
            claim_token=token,
            server=server,
            fixed=_ONE_MORE,
        )
        if taken != len(ids):  # a database that ignores locks: somebody else took some
            mine = set(
                Job.objects.using(db)
                .filter(pk__in=ids, claim_token=token)
                .values_list("pk", flat=True)
            )
            rows = [row for row in rows if row[0] in mine]
            wary = [pk for pk in wary if pk in mine]
        if wary:
            # That of a suspect stays older than its claim, which is how it is known.
            starts = Job.objects.using(db).filter(pk__in=wary, claim_token=token)
            starts.filter(started_at=None).update(started_at=now)
        write_history((row[0], State.ENQUEUED, row[10], EMPTY, row[11], now) for row in rows)
        tell([row[0] for row in rows], State.ENQUEUED, State.PROCESSING)
    claims += [
        Claimed(
            row[0],
            token,
            server,
            row[1],
            row[2],
            row[3],
            row[13],  # as it was written; some databases take "Mail" for "mail"
            row[4] + 1,
            row[5],
            row[6],
            row[7],
            row[8].timestamp() if row[8] else None,
            row[9],
            due_since(row[12], row[10], row[11]).timestamp(),
        )
        for row in rows
    ]
    return claims


@compiled.query
def _candidates(queue: str, limit: int, **only: Any) -> QuerySet[Job, tuple[Any, ...]]:
    """Read and lock the jobs of `queue` that come next."""
    return (
        locked(Job.objects.using(conf.DATABASE).claimable(queue).filter(**only), skip_locked=True)
        .annotate(**_raw)
        .values_list(  # type: ignore[misc]  # it does not see the annotations
            "id",
            "func",
            "arguments_text",
            "options_text",
            "attempt",
            "retries",
            "language",
            "time_zone",
            "missing_since",
            "recovered",
            "reason",
            "state_changed_at",
            "run_at",
            "queue",
            "started_at",
        )[:limit]
    )


def _apart(
    found: list[tuple[Any, ...]], queue: str, limit: int, server: str
) -> list[tuple[Any, ...]]:
    """Leave out recovered jobs that must wait for another, and find others in their place.

    A suspect, whose last run ended with its server as those of others did, starts only when no
    other recovered job is in the hands of `server`, and no other starts beside it.
    """
    held = Job.objects.using(conf.DATABASE).held_by(server).filter(recovered=True)
    running = list(held.values_list("started_at", "state_changed_at"))
    recovered = [row for row in found if row[9]]
    if any(started and started != claimed for started, claimed in running):
        may: list[tuple[Any, ...]] = []
    else:
        may = [row for row in recovered if not row[14]]
        if not may and not running:
            may = recovered[:1]
    if len(may) == len(recovered):
        return found
    # Or the fresh jobs behind them would wait with them.
    return may + _candidates(queue, limit - len(may), recovered=False)


def due_since(run_at: datetime, reason: str, enqueued_at: datetime) -> datetime:
    """Return since when an enqueued job could have been run.

    One that is there in the normal course of things, without a reason, was due at `run_at`
    however late it was enqueued; one that came back has not waited since its first due time.
    """
    return max(run_at, enqueued_at) if reason else run_at
