"""The only module that changes a job's state.

Each change locks the rows it is about (where the database can), compares their state and claim
token with what is expected, updates them under that same expectation, and writes the history in
the same transaction. The expectation in the UPDATE is the correctness; the lock only spares
wasted tries. A batch costs a constant number of statements, but for retries and failures, whose
times and reasons differ.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial, wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar

from django.db import transaction
from django.db.models import ExpressionWrapper, F, TextField
from django.utils import timezone

from . import signals
from .clock import DatabaseNow
from .conf import conf
from .exceptions import IllegalTransition
from .models import HistoryEntry, Job, Server
from .models.job import JobQuerySet
from .outcomes import Claimed, Kind, Outcome
from .serialization import JSONText, dumps
from .states import FINAL, INITIAL, MOVES, State

#: SQL Server gives wrong rows without an error for long lists of values.
CHUNK = 500
#: One INSERT carries so much text; a character is up to four bytes, and a server takes 16 MB at
#: once (MySQL) or less.
CHUNK_CHARACTERS = 1_000_000
REASON_LENGTH = 255
EMPTY = JSONText("{}")

P = ParamSpec("P")
R = TypeVar("R")


class Raced(Exception):
    """Rows changed between being read and being updated; the transaction starts over."""


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


class _Row(NamedTuple):
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


def repeat_when_raced(function: Callable[P, R]) -> Callable[P, R]:
    """Run `function`, a whole transaction, again when it raises Raced."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        for attempt in range(1, 6):
            try:
                return function(*args, **kwargs)
            except Raced:
                if attempt == 5:
                    raise
                time.sleep(random.uniform(0, 0.01 * attempt))  # noqa: S311
        raise AssertionError("unreachable")

    return wrapper


# Creating ------------------------------------------------------------------------------------


def create(job: Job) -> None:
    """Insert `job`: one statement."""
    _check_initial(job)
    job.save(force_insert=True, using=conf.DATABASE)
    signals.job_enqueued.send_robust(sender=Job, jobs=[job])


def create_many(jobs: Sequence[Job]) -> None:
    """Insert `jobs`: one statement for each few hundred of them, or each megabyte of arguments."""
    for job in jobs:
        _check_initial(job)
    with transaction.atomic(using=conf.DATABASE, savepoint=False):
        for batch in _batches(jobs, lambda job: len(str(job.arguments)) + len(str(job.options))):
            Job.objects.using(conf.DATABASE).bulk_create(batch)
    signals.job_enqueued.send_robust(sender=Job, jobs=list(jobs))


def _check_initial(job: Job) -> None:
    if job.state not in INITIAL:
        raise IllegalTransition(f"a job can't be created in state {job.state}.")


# Claiming ------------------------------------------------------------------------------------


class Claims(list[Claimed]):
    """Jobs just claimed. `skipped`: recovered jobs that were left for when a worker is idle."""

    skipped = 0


_raw = {
    "arguments_text": ExpressionWrapper(F("arguments"), output_field=TextField()),
    "options_text": ExpressionWrapper(F("options"), output_field=TextField()),
}


def claim(queue: str, limit: int, *, server: str, token: str, idle: int) -> Claims:
    """Move up to `limit` jobs of `queue` from enqueued to processing and return them.

    `token` must be fresh: it fences every later write about these jobs. `idle`: workers that
    could start at once; no more recovered jobs than that are taken, and their start is written
    with the claim, so that the server's death convicts exactly the job that caused it.
    """
    db = conf.DATABASE
    with transaction.atomic(using=db):
        found = list(
            _locked(Job.objects.using(db).claimable(queue), skip_locked=True)
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
            )[:limit]
        )
        rows: list[tuple[Any, ...]] = []
        wary: list[int] = []
        for row in found:
            if not row[9]:
                rows.append(row)
            elif len(wary) < idle:
                rows.append(row)
                wary.append(row[0])
        claims = Claims()
        claims.skipped = len(found) - len(rows)
        if not rows:
            return claims
        now = timezone.now()
        ids = [row[0] for row in rows]
        taken = _set(
            ids,
            State.ENQUEUED,
            state=State.PROCESSING,
            reason="",
            state_changed_at=now,
            claim_token=token,
            server=server,
            attempt=F("attempt") + 1,
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
            Job.objects.using(db).filter(pk__in=wary, claim_token=token).update(started_at=now)
        _write_history((row[0], State.ENQUEUED, row[10], EMPTY, row[11], now) for row in rows)
        _tell([row[0] for row in rows], State.ENQUEUED, State.PROCESSING)
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


def due_since(run_at: datetime, reason: str, enqueued_at: datetime) -> datetime:
    """Return since when an enqueued job could have been run.

    One that is there in the normal course of things, without a reason, was due at `run_at`
    however late it was enqueued; one that came back has not waited since its first due time.
    """
    return max(run_at, enqueued_at) if reason else run_at


@repeat_when_raced
def promote_due(limit: int, as_of: datetime | None = None) -> list[str]:
    """Move up to `limit` due jobs from scheduled to enqueued; return their queues.

    Due by the database's clock, or by `as_of`.
    """
    with transaction.atomic(using=conf.DATABASE):
        due = Job.objects.using(conf.DATABASE).due(as_of).order_by("run_at", "id")
        rows = _read(due, skip_locked=True, limit=limit)
        _move(rows, State.ENQUEUED)
    return [row.queue for row in rows]


# Ending an execution ---------------------------------------------------------------------------


def record(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Write how executions ended; return the outcomes that were refused.

    Refused is what comes with a token that is not its job's any more: the job was given up and
    another execution owns it. The end of a run whose job was deleted meanwhile only lets go of
    the row. Call it in a transaction of your own to write more with it; raises Raced when the
    whole is to be done again.
    """
    with transaction.atomic(using=conf.DATABASE, savepoint=False):
        unique = {(o.id, o.token): o for o in outcomes if not o.recorded}
        rows = {row.id: row for row in _read_ids(pk for pk, _ in unique)}
        accepted: list[tuple[Outcome, _Row]] = []
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
        _write_history(
            (o.id, State.PROCESSING, row.reason, JSONText(o.data), row.state_changed_at, now)
            for o, row in accepted
        )
        _let_go(released)
    return refused


_FINAL = {Kind.SUCCEEDED: State.SUCCEEDED, Kind.FAILED: State.FAILED, Kind.DELETED: State.DELETED}


def _record_final(accepted: list[tuple[Outcome, _Row]], now: datetime) -> None:
    """Update the finished jobs, those that get the same values in one statement."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for o, _row in accepted:
        if o.kind in _FINAL:
            key = (_FINAL[Kind(o.kind)], o.reason, o.expires, o.error_type, o.error_key)
            groups.setdefault(key, []).append(o.id)
    for (state, reason, expires, error_type, error_key), ids in groups.items():
        error = {"error_type": error_type, "error_key": error_key} if error_type else {}
        _set_all(
            ids,
            State.PROCESSING,
            state=state,
            reason=reason[:REASON_LENGTH],
            state_changed_at=now,
            finished_at=now,
            expires_at=_expiry(state, expires, now),
            missing_since=None,
            **error,
            **_HELD_NO_MORE,
        )
        _tell(ids, State.PROCESSING, state, reason)


def _record_later(outcome: Outcome, row: _Row, now: datetime) -> None:
    counted: dict[str, Any] = {"retries": F("retries") + 1, "missing_since": None}
    if outcome.kind == Kind.MISSING:
        since = outcome.missing_since
        counted = {
            "attempt": F("attempt") - 1,
            "missing_since": datetime.fromtimestamp(since, UTC) if since else now,
        }
    _set_all(
        [row.id],
        State.PROCESSING,
        state=State.SCHEDULED,
        reason=outcome.reason[:REASON_LENGTH],
        state_changed_at=now,
        # By the database's clock, which also judges what is due.
        run_at=DatabaseNow() + timedelta(seconds=outcome.delay or 0),
        error_type=outcome.error_type,
        error_key=outcome.error_key,
        **counted,
        **_HELD_NO_MORE,
    )
    _tell([row.id], State.PROCESSING, State.SCHEDULED, outcome.reason)


def _expiry(state: State, seconds: float | None, now: datetime) -> datetime:
    if seconds is None:
        seconds = getattr(conf, f"{state.name}_EXPIRES_SECONDS")
    return now + timedelta(seconds=seconds)


def hold(pk: int, token: str) -> str | None:
    """Lock the row of a run in the caller's transaction; return its state.

    None when `token` is not the row's any more.
    """
    row = next(iter(_read_ids([pk])), None)
    return row.state if row is not None and row.claim_token == token else None


def has_ended(pk: int, token: str) -> bool:
    """Whether the run with this token has been recorded; waits for a transaction that does it."""
    with transaction.atomic(using=conf.DATABASE):
        _read_ids([pk])
        entries = HistoryEntry.objects.using(conf.DATABASE).filter(job=pk, state=State.PROCESSING)
        return entries.filter(data__contains=token).exists()


# Giving back -----------------------------------------------------------------------------------

Pair = tuple[int, str]


@repeat_when_raced
def give_back(pairs: Iterable[Pair], reason: str, *, started: bool) -> list[str]:
    """Put claimed jobs back on their queues, uncounted; return their queues.

    `pairs`: (id, claim token); pairs that no longer hold are left alone. `started`: whether
    their functions may have begun, so that the attempt stays counted as an attempt.
    """
    # Being given back exonerates nobody.
    changes: dict[str, Any] = {"recovered": F("recovered")}
    if not started:
        changes["attempt"] = F("attempt") - 1
    with transaction.atomic(using=conf.DATABASE):
        rows = _held(pairs)
        _move(rows, State.ENQUEUED, reason=reason, data=_note(reason), **changes)
    return [row.queue for row in rows]


@repeat_when_raced
def crash(pairs: Iterable[Pair], cause: str) -> list[Pair]:
    """Count a crash against jobs whose worker died under them; return the pairs convicted.

    They run again at once, without the delay of a retry; after `JOBS["MAX_CRASHES"]` crashes a
    job fails as poisoned.
    """
    with transaction.atomic(using=conf.DATABASE):
        rows = _held(pairs)
        _convict(rows, cause)
    return [(row.id, row.claim_token) for row in rows]


@repeat_when_raced
def give_up(server: str, beat: int | None, cause: str) -> dict[str, int] | None:
    """Remove a dead server and free its jobs; return how many by what became of them.

    `beat`: its beat when it was found dead, None for a server without a row. Returns None when
    the server has beaten since. Its jobs come back uncounted and marked `recovered`, but for
    those whose start had been written ahead: these are convicted of a crash.
    """
    db = conf.DATABASE
    with transaction.atomic(using=db):
        if beat is not None:
            gone, _ = Server.objects.using(db).filter(name=server, beat=beat).delete()
            if not gone:
                return None
        rows = _read(Job.objects.using(db).held_by(server))
        _let_go([row.id for row in rows if row.state != State.PROCESSING])
        running = [row for row in rows if row.state == State.PROCESSING]
        suspects = [row for row in running if row.started_at]
        innocent = [row for row in running if not row.started_at]
        _convict(suspects, cause)
        _move(
            innocent,
            State.ENQUEUED,
            reason=f"recovered: {cause}",
            data=_note(cause),
            recovered=True,
        )
    return {"recovered": len(innocent), "crashed": len(suspects)}


def _convict(rows: list[_Row], cause: str) -> None:
    poisoned = [row for row in rows if row.crashes + 1 >= conf.MAX_CRASHES]
    _move(
        poisoned,
        State.FAILED,
        reason=f"poisoned: {conf.MAX_CRASHES} workers died running it; the last: {cause}",
        data=_note(cause),
        crashes=F("crashes") + 1,
        error_type="Poisoned",
        error_key="poisoned",
    )
    _move(
        [row for row in rows if row.crashes + 1 < conf.MAX_CRASHES],
        State.ENQUEUED,
        reason=f"crashed: {cause}",
        data=_note(cause),
        crashes=F("crashes") + 1,
    )


def _note(text: str) -> JSONText:
    return dumps({"note": text})


# Waiting for a parent --------------------------------------------------------------------------


@repeat_when_raced
def release(ids: Iterable[int], reason: str) -> Moved:
    """Enqueue those of these jobs that still wait for their parent, or put them off until due."""
    with transaction.atomic(using=conf.DATABASE):
        rows, moved = _waiting(ids)
        now = timezone.now()
        _move([r for r in rows if r.run_at > now], State.SCHEDULED, reason=reason)
        due = [r for r in rows if r.run_at <= now]
        _move(due, State.ENQUEUED, reason=reason, run_at=now)
    return moved


@repeat_when_raced
def give_up_waiting(ids: Iterable[int], reason: str) -> Moved:
    """Delete those of these jobs that still wait for their parent, which they do in vain."""
    with transaction.atomic(using=conf.DATABASE):
        rows, moved = _waiting(ids)
        _move(rows, State.DELETED, reason=reason)
    return moved


def _waiting(ids: Iterable[int]) -> tuple[list[_Row], Moved]:
    rows = [row for row in _read_ids(ids) if row.state == State.AWAITING]
    return rows, Moved(ids=[row.id for row in rows], queues=[row.queue for row in rows])


# What people ask for ---------------------------------------------------------------------------


def requeue(ids: Iterable[int], reason: str) -> Moved:
    """Put jobs back on their queues with all retries; see Moved for what it returns."""
    fresh = {"retries": 0, "crashes": 0, "recovered": False, "missing_since": None}
    return _ask(ids, State.ENQUEUED, reason, run_at=timezone.now(), **fresh)


def delete(ids: Iterable[int], reason: str) -> Moved:
    """Delete jobs in any state. One that runs keeps its token until that run has ended."""
    return _ask(ids, State.DELETED, reason)


def reschedule(ids: Iterable[int], run_at: datetime, reason: str) -> Moved:
    """Put jobs off until `run_at`."""
    return _ask(ids, State.SCHEDULED, reason, run_at=run_at)


@repeat_when_raced
def _ask(ids: Iterable[int], target: State, reason: str, **changes: Any) -> Moved:
    result = Moved()
    with transaction.atomic(using=conf.DATABASE):
        free: list[_Row] = []
        for row in _read_ids(ids):
            running = row.state == State.PROCESSING and target != State.DELETED
            if row.state != State.PROCESSING and row.claim_token:
                result.stopping.add(row.id)
                result.skipped[row.id] = State(row.state)
            elif running or target not in MOVES[State(row.state)]:
                result.skipped[row.id] = State(row.state)
            else:
                free.append(row)
        for state in {row.state for row in free}:
            keep = state == State.PROCESSING  # deleted while it runs: the run still owns the row
            rows = [row for row in free if row.state == state]
            _move(rows, target, reason=reason, keep_hold=keep, **changes)
        result.ids = [row.id for row in free]
        result.queues = [row.queue for row in free]
    return result


# Reading and writing rows ----------------------------------------------------------------------

_HELD_NO_MORE = {"claim_token": "", "server": "", "started_at": None, "recovered": False}


def _locked(query: JobQuerySet, *, skip_locked: bool = False) -> JobQuerySet:
    return query.locked(skip_locked=skip_locked)


def _read(query: JobQuerySet, *, skip_locked: bool = False, limit: int | None = None) -> list[_Row]:
    return [
        _Row(*values)
        for values in _locked(query, skip_locked=skip_locked).values_list(*_Row._fields)[:limit]
    ]


def _read_ids(ids: Iterable[int]) -> list[_Row]:
    """Read and lock rows by id, in the order of ids so that two batches can't deadlock."""
    rows: list[_Row] = []
    for chunk in _chunks(sorted(set(ids))):
        rows += _read(Job.objects.using(conf.DATABASE).filter(pk__in=chunk).order_by("id"))
    return rows


def _held(pairs: Iterable[Pair]) -> list[_Row]:
    """Return the rows of those (id, token) pairs that still hold; let go of deleted ones."""
    wanted = set(pairs)
    rows = [row for row in _read_ids(pk for pk, _ in wanted) if (row.id, row.claim_token) in wanted]
    _let_go([row.id for row in rows if row.state != State.PROCESSING])
    return [row for row in rows if row.state == State.PROCESSING]


def _move(
    rows: Sequence[_Row],
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
        changes.update(finished_at=now, expires_at=_expiry(target, None, now))
    elif source in FINAL:
        changes.update(finished_at=None, expires_at=None)
    if not keep_hold:
        changes = {**_HELD_NO_MORE, **changes}
    _set_all(
        [row.id for row in rows],
        source,
        state=target,
        reason=reason[:REASON_LENGTH],
        state_changed_at=now,
        **changes,
    )
    _tell([row.id for row in rows], source, target, reason)
    _write_history(
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


def _tell(ids: Sequence[int], source: str, target: State, reason: str = "") -> None:
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


def _set(ids: Sequence[int], expected: State, **values: Any) -> int:
    jobs = Job.objects.using(conf.DATABASE)
    return sum(jobs.filter(pk__in=chunk, state=expected).update(**values) for chunk in _chunks(ids))


def _set_all(ids: Sequence[int], expected: State, **values: Any) -> None:
    if _set(ids, expected, **values) != len(ids):
        raise Raced


def _let_go(ids: Sequence[int]) -> None:
    """Clear the hold on deleted jobs whose run has ended."""
    if ids:
        _set(ids, State.DELETED, **_HELD_NO_MORE)


def _write_history(
    entries: Iterable[tuple[int, str, str, JSONText, datetime, datetime]],
) -> None:
    # By position, in the order of the fields: names would cost twice as much.
    rows = (
        HistoryEntry(None, pk, state, reason, data, entered, left)  # type: ignore[misc]  # an id
        for pk, state, reason, data, entered, left in entries
    )
    for batch in _batches(rows, lambda row: len(row.data)):
        HistoryEntry.objects.using(conf.DATABASE).bulk_create(batch)


def _batches(rows: Iterable[R], size: Callable[[R], int]) -> Iterator[list[R]]:
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
