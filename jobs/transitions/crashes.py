"""Runs that did not end: given back, or lost with their worker or server, and whose fault it was."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db import transaction
from django.db.models import F

from .. import signals
from ..conf import conf
from ..models import Job, Server
from ..races import repeat_when_raced
from ..serialization import JSONText, dumps
from ..states import State
from .rows import Pair, Row, held, let_go, move, read


@repeat_when_raced
def give_back(pairs: Collection[Pair], reason: str, *, started: bool) -> list[str]:
    """Put claimed jobs back on their queues, uncounted; return their queues.

    `pairs`: (id, claim token); pairs that no longer hold are left alone. `started`: whether
    their functions may have begun, so that the attempt stays counted as an attempt.
    """
    # Being given back exonerates nobody: a suspect stays one.
    changes: dict[str, Any] = {"recovered": F("recovered")}
    if not started:
        changes["attempt"] = F("attempt") - 1
    with transaction.atomic(using=conf.DATABASE):
        rows = held(pairs)
        suspects = [r for r in rows if r.started_at and r.started_at < r.state_changed_at]
        others = [r for r in rows if r not in suspects]
        move(others, State.ENQUEUED, reason=reason, data=_note(reason), **changes)
        changes["started_at"] = F("started_at")
        move(suspects, State.ENQUEUED, reason=reason, data=_note(reason), **changes)
    return [row.queue for row in rows]


@repeat_when_raced
def crash(pairs: Collection[Pair], cause: str) -> list[Pair]:
    """Count a crash against jobs whose worker died under them; return the pairs convicted.

    They run again at once, without the delay of a retry; after `JOBS["MAX_CRASHES"]` crashes a
    job fails as poisoned.
    """
    with transaction.atomic(using=conf.DATABASE):
        rows = held(pairs)
        _convict(rows, cause)
    return [(row.id, row.claim_token) for row in rows]


@repeat_when_raced
def give_up(server: str, beat: int | None, cause: str) -> dict[str, int] | None:
    """Remove a dead server and free its jobs; return how many by what became of them.

    `beat`: its beat when it was found dead, None for a server without a row. Returns None when
    the server has beaten since. Its jobs come back uncounted and marked `recovered`. One whose
    start had been written ahead is convicted of a crash; of several nobody can tell which it was,
    so these are suspects from then on and run one at a time (`claiming._apart`), as a convict does.
    """
    db = conf.DATABASE
    with transaction.atomic(using=db):
        if beat is not None:
            gone, _ = Server.objects.using(db).filter(name=server, beat=beat).delete()
            if not gone:
                return None
        rows = read(Job.objects.using(db).held_by(server))
        let_go([row.id for row in rows if row.state != State.PROCESSING])
        running = [row for row in rows if row.state == State.PROCESSING]
        suspects = [row for row in running if row.started_at]
        innocent = [row for row in running if not row.started_at]
        # Kept, so that they are known as suspects.
        suspicion = {"recovered": True, "started_at": F("started_at")}
        convicts = suspects if len(suspects) == 1 else []
        _convict(convicts, cause, **suspicion)
        for rows, changes in (
            (innocent, {"recovered": True}),
            ([] if convicts else suspects, suspicion),
        ):
            move(rows, State.ENQUEUED, reason=f"recovered: {cause}", data=_note(cause), **changes)
    return {"recovered": len(running) - len(convicts), "crashed": len(convicts)}


def _convict(rows: list[Row], cause: str, **changes: Any) -> None:
    poisoned = [row for row in rows if row.crashes + 1 >= conf.MAX_CRASHES]
    reason = f"poisoned: {conf.MAX_CRASHES} workers died running it; the last: {cause}"
    move(
        poisoned,
        State.FAILED,
        reason=reason,
        data=_note(cause),
        crashes=F("crashes") + 1,
        error_type="Poisoned",
        error_key="poisoned",
    )
    if poisoned:
        ids = [row.id for row in poisoned]
        signals.jobs_poisoned.send(sender=Job, ids=ids, reason=reason)
    move(
        [row for row in rows if row.crashes + 1 < conf.MAX_CRASHES],
        State.ENQUEUED,
        reason=f"crashed: {cause}",
        data=_note(cause),
        crashes=F("crashes") + 1,
        **changes,
    )


def _note(text: str) -> JSONText:
    return dumps({"note": text})
