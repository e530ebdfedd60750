"""How a job's row is read, changed and remembered: what all other modules here are made of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple, TypeVar

from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import Coalesce
from django.db.models.lookups import Exact
from django.utils import timezone

from .. import bulk, signals
from ..conf import conf
from ..exceptions import IllegalTransition
from ..models import HistoryEntry, Job, compiled
from ..models.ids import AmongIds
from ..models.job import JobQuerySet
from ..races import Locked, Raced
from ..serialization import JSONText, dumps
from ..states import FINAL, MOVES, State

#: SQL Server gives wrong rows without an error for long lists of values.
CHUNK = 500
#: One INSERT carries so much text; a character is up to four bytes, and a server takes 16 MB at
#: once (MySQL) or less.
CHUNK_CHARACTERS = 1_000_000
REASON_LENGTH = 255
EMPTY = JSONText("{}")
HELD_NO_MORE: dict[str, Any] = {
    "claim_token": "",
    "server": "",
    "started_at": None,
    "recovered": False,
}

R = TypeVar("R")
Pair = tuple[int, str]


@dataclass
class Moved:
    """What a batch of moves came to.

    `ids` were moved, `skipped` were in that other state, `stopping` are deleted but still
    running; ids in neither do not exist.
    """

    ids: list[int] = field(default_factory=list)
    skipped: dict[int, State] = field(default_factory=dict)
    stopping: set[int] = field(default_factory=set)
    queues: list[str] = field(default_factory=list)


class Row(NamedTuple):
    """A job's row as it was read in this transaction."""

    id: int
    state: str
    reason: str
    state_changed_at: datetime
    claim_token: str
    run_at: datetime
    queue: str
    crashes: int
    started_at: datetime | None


def locked(query: JobQuerySet, *, skip_locked: bool = False) -> JobQuerySet:
    return query.locked(skip_locked=skip_locked)


def read(query: JobQuerySet, *, skip_locked: bool = False, limit: int | None = None) -> list[Row]:
    return [
        Row(*values)
        for values in locked(query, skip_locked=skip_locked).values_list(*Row._fields)[:limit]
    ]


def read_ids(ids: Iterable[int]) -> list[Row]:
    """Read and lock rows by id, in the order of ids so that two batches can't deadlock."""
    return _read_ids(ids, skip_locked=False)


def read_held(pairs: Collection[Pair]) -> list[Row]:
    """Read and lock the rows of these (id, token) pairs, whoever holds them by now.

    Raises Locked when one of them can't be had at once: a server does not wait for a user's open
    transaction, in which a job was deleted for example, with all that it has to do.
    """
    rows = _read_ids((pk for pk, _ in pairs), skip_locked=True)
    found = {row.id for row in rows}
    missing = {pair for pair in pairs if pair[0] not in found}
    for chunk in _chunks(sorted(pk for pk, _ in missing)):
        there = Job.objects.using(conf.DATABASE).filter(AmongIds(chunk))
        if taken := missing.intersection(there.values_list("pk", "claim_token")):
            raise Locked(f"{len(taken)} jobs are locked, #{min(taken)[0]} is one")
    return rows


def _read_ids(ids: Iterable[int], *, skip_locked: bool) -> list[Row]:
    rows: list[Row] = []
    for chunk in _chunks(sorted(set(ids))):
        jobs = Job.objects.using(conf.DATABASE).filter(AmongIds(chunk)).order_by("id")
        rows += read(jobs, skip_locked=skip_locked)
    return rows


def held(pairs: Collection[Pair]) -> list[Row]:
    """Return the rows of those (id, token) pairs that still hold; let go of deleted ones.

    Raises Locked as `read_held`.
    """
    wanted = set(pairs)
    rows = [row for row in read_held(wanted) if (row.id, row.claim_token) in wanted]
    let_go([row.id for row in rows if row.state != State.PROCESSING])
    return [row for row in rows if row.state == State.PROCESSING]


def move(
    rows: Sequence[Row],
    target: State,
    *,
    reason: str = "",
    data: JSONText | None = None,
    keep_hold: bool = False,
    **changes: Any,
) -> None:
    """Move locked rows, all in one source state, to `target` and write their history."""
    if not rows:
        return
    source = State(rows[0].state)
    if target not in MOVES[source]:
        raise IllegalTransition(f"#{rows[0].id} is {source}; it can't become {target}.")
    now = timezone.now()
    if target in FINAL:
        changes.update(finished_at=now, expires_at=expiry(target, None, now))
    elif source in FINAL:
        changes.update(finished_at=None, expires_at=None)
    if not keep_hold:
        changes = {**HELD_NO_MORE, **changes}
    change_all(
        [row.id for row in rows],
        source,
        state=target,
        reason=reason[:REASON_LENGTH],
        state_changed_at=now,
        **changes,
    )
    tell([row.id for row in rows], source, target, reason)
    write_history(
        (
            row.id,
            row.state,
            row.reason,
            data
            or (dumps({"due": row.run_at.isoformat()}) if source == State.SCHEDULED else EMPTY),
            row.state_changed_at,
            now,
        )
        for row in rows
    )


def expiry(state: State, seconds: float | None, now: datetime) -> datetime:
    if seconds is None:
        seconds = getattr(conf, f"{state.name}_EXPIRES_SECONDS")
    return now + timedelta(seconds=seconds)


def tell(ids: Sequence[int], source: str, target: State, reason: str = "") -> None:
    """Send `state_changed` once the caller's transaction has committed, if anybody listens."""
    if ids and signals.state_changed.has_listeners(Job):
        send = partial(
            signals.state_changed.send_robust,
            sender=Job,
            ids=list(ids),
            source=State(source),
            target=target,
            reason=reason,
        )
        transaction.on_commit(send, using=conf.DATABASE, robust=True)


def _in_state(state: State) -> JobQuerySet:
    # Hidden in an expression from the planner, which without statistics would rather read all rows
    # of that state by their index than some hundred by their ids.
    return Job.objects.using(conf.DATABASE).filter(Exact(Coalesce(F("state"), Value("")), state))


def change(
    ids: Sequence[int], expected: State, fixed: Mapping[str, Any] | None = None, **values: Any
) -> int:
    """Update jobs in that state. `fixed`: expressions that are the same wherever they are named."""
    chunks = _chunks(ids)
    if any(hasattr(value, "resolve_expression") for value in values.values()):
        jobs = _in_state(expected)
        return sum(jobs.filter(AmongIds(chunk)).update(**values) for chunk in chunks)
    return sum(compiled.update(_in_state, expected, chunk, values, fixed or {}) for chunk in chunks)


def change_all(ids: Sequence[int], expected: State, **values: Any) -> None:
    if change(ids, expected, **values) != len(ids):
        raise Raced


def let_go(ids: Sequence[int]) -> None:
    """Clear the hold on deleted jobs whose run has ended."""
    if ids:
        change(ids, State.DELETED, **HELD_NO_MORE)


_ENTRY = ("job", "state", "reason", "data", "entered_at", "left_at")


def write_history(
    entries: Iterable[tuple[int, str, str, JSONText, datetime, datetime]],
) -> None:
    for batch in batches(entries, lambda entry: len(entry[3])):
        bulk.insert(HistoryEntry, _ENTRY, batch, using=conf.DATABASE)


def batches(rows: Iterable[R], size: Callable[[R], int]) -> Iterator[list[R]]:
    """Cut `rows` into what one statement may carry. `size`: how much text of any length is in one.

    A row that alone is larger makes a batch of its own.
    """
    batch: list[R] = []
    total = 0
    for row in rows:
        more = size(row)
        if batch and (len(batch) == CHUNK or total + more > CHUNK_CHARACTERS):
            yield batch
            batch, total = [], 0
        total += more
        batch.append(row)
    if batch:
        yield batch


def _chunks(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), CHUNK):
        yield ids[start : start + CHUNK]
