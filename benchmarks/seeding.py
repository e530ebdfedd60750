"""A database as it is after months of work, for `benchmarks.pages`: made once, then gone on with.

Whatever is missing is added, so an interrupted run is continued by the next one. Django must be
set up.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Max
from django.utils import timezone

from jobs import bulk
from jobs.models import Counter, HistoryEntry, Job, Queue, RecurringJob, Server, Span
from jobs.states import State
from jobs.statistics import BUCKETS

#: Rows in a transaction.
CHUNK = 5_000
#: Different errors among the failures.
KINDS = 40
RECURRING = 2_000
QUEUES = ("default", "critical", "mail", "reports", "imports", "images", "search", "billing")
SERVERS = tuple(f"web-{number}" for number in range(1, 5))
FUNCTIONS = tuple(f"{app}.jobs.work_{n}" for app in ("billing", "mail", "search") for n in range(8))
#: Of 1,000 jobs that did not fail, so many are in these states; the others succeeded.
SHARES = {State.ENQUEUED: 30, State.SCHEDULED: 15, State.DELETED: 5, State.AWAITING: 2}
PROCESSING = 60
#: Jobs lie so far back.
DAYS = 30

JOB = (
    *("func", "arguments", "options", "queue", "priority", "run_at", "condition"),
    *("recurring_job", "occurrence", "state", "reason", "state_changed_at", "attempt", "retries"),
    *("crashes", "claim_token", "server", "recovered", "created_at", "finished_at"),
    *("error_type", "error_key", "language", "time_zone"),
)
ENTRY = ("job", "state", "reason", "data", "entered_at", "left_at")


def seed(jobs: int, failures: int, say: Callable[[str], None] = print) -> None:
    """Have at least so many jobs, `failures` of them failed, with all that belongs to them."""
    random.seed(jobs)
    _surroundings()
    for state, wanted in _wanted(jobs, failures).items():
        present = Job.objects.filter(state=state).count()
        if present < wanted:
            say(f"{wanted - present} jobs {state} …")
        while present < wanted:
            some = min(CHUNK, wanted - present)
            rows = [_job(state, present + number) for number in range(some)]
            with transaction.atomic():
                bulk.insert(Job, JOB, rows, using="default")
            present += some
    say("history …")
    _history()
    _analyze()


def _wanted(jobs: int, failures: int) -> dict[State, int]:
    rest = jobs - failures - PROCESSING
    wanted = {State.FAILED: failures, State.PROCESSING: PROCESSING}
    wanted |= {state: rest * share // 1000 for state, share in SHARES.items()}
    return wanted | {State.SUCCEEDED: jobs - sum(wanted.values())}


def _surroundings() -> None:
    """Queues, servers, recurring jobs and counters; servers beat anew each time."""
    now = timezone.now()
    for name in QUEUES:
        Queue.objects.get_or_create(name=name)
    for number, name in enumerate(SERVERS):
        values: dict[str, Any] = {"host": f"{name}.example", "pid": 100 + number}
        values |= {"heartbeat_at": now, "queues": list(QUEUES)}
        Server.objects.update_or_create(name=name, defaults=values)
    present = RecurringJob.objects.count()
    RecurringJob.objects.bulk_create(
        [_recurring(number, now) for number in range(present, RECURRING)], batch_size=500
    )
    if not Counter.objects.exists():
        rows = list(_counters(now))
        with transaction.atomic():
            for start in range(0, len(rows), CHUNK):
                names = ("span", "minute", "server", "name", "value")
                bulk.insert(Counter, names, rows[start : start + CHUNK], using="default")


def _recurring(number: int, now: datetime) -> RecurringJob:
    return RecurringJob(
        name=f"recurring-{number:04}",
        func=FUNCTIONS[number % len(FUNCTIONS)],
        arguments={"args": [number], "kwargs": {}},
        queue=QUEUES[number % len(QUEUES)],
        cron=f"{number % 60} * * * *",
        next_run=now + timedelta(minutes=number % 60 + 1),
        last_run=now - timedelta(minutes=number % 60),
    )


def _counters(now: datetime) -> Iterator[tuple[Any, ...]]:
    """Two days by minute for each server, before that thirty days by hour."""
    minute = now.astimezone(UTC).replace(second=0, microsecond=0)
    names = ("succeeded", "failed", "retry", BUCKETS["wait"][4], BUCKETS["run"][6])
    for back in range(2 * 24 * 60):
        for server in SERVERS:
            for name in names:
                value = random.randint(1, 400) if name != "failed" else random.randint(0, 4)
                yield Span.MINUTE, minute - timedelta(minutes=back), server, name, value
    hour = minute.replace(minute=0)
    for back in range(49, DAYS * 24):
        for name in names:
            value = random.randint(1_000, 90_000)
            yield Span.HOUR, hour - timedelta(hours=back), "", name, value


def _job(state: State, number: int) -> tuple[Any, ...]:
    now = timezone.now()
    changed = now - timedelta(seconds=random.random() ** 3 * DAYS * 86_400)
    ran = state in (State.SUCCEEDED, State.FAILED, State.PROCESSING)
    due = now + timedelta(seconds=random.random() * 86_400)
    error, key, reason = _error(number) if state == State.FAILED else ("", "", "")
    recurring = number % RECURRING + 1 if state == State.SUCCEEDED and not number % 20 else None
    return (
        FUNCTIONS[number % len(FUNCTIONS)],
        json.dumps({"args": [number], "kwargs": {"customer": f"c{number}"}}),
        "{}",
        QUEUES[number % 7 % len(QUEUES)],
        0,
        due if state == State.SCHEDULED else changed,
        "",
        _ids()[recurring - 1] if recurring else None,
        None,
        str(state),
        reason,
        changed,
        int(ran),
        number % 3 if state == State.SCHEDULED else 0,
        0,
        f"{number:032x}" if state == State.PROCESSING else "",
        SERVERS[number % len(SERVERS)] if state == State.PROCESSING else "",
        False,
        changed - timedelta(seconds=5),
        changed if ran and state != State.PROCESSING else None,
        error,
        key,
        "",
        "",
    )


_recurring_ids: list[int] = []


def _ids() -> list[int]:
    if not _recurring_ids:
        _recurring_ids.extend(RecurringJob.objects.order_by("id").values_list("id", flat=True))
    return _recurring_ids


def _error(number: int) -> tuple[str, str, str]:
    # The first kinds are the most frequent ones, as they are in life.
    kind = int(random.random() ** 2 * KINDS) if number >= KINDS else number
    name = f"Seeded{kind}Error"
    return name, f"{kind:032x}", f"{name}: call {number} was not answered"


def _history() -> None:
    """Give each job that has run the attempt that it had, by id, from where the last run stopped."""
    done = HistoryEntry.objects.aggregate(last=Max("job"))["last"] or 0
    fields = ("id", "state", "error_type", "reason", "server", "created_at", "state_changed_at")
    ran = Job.objects.filter(state__in=(State.SUCCEEDED, State.FAILED)).order_by("id")
    while rows := list(ran.filter(id__gt=done).values_list(*fields)[:CHUNK]):
        with transaction.atomic():
            bulk.insert(HistoryEntry, ENTRY, list(_entries(rows)), using="default")
        done = rows[-1][0]


def _entries(rows: list[Any]) -> Iterator[tuple[Any, ...]]:
    for pk, state, error, reason, server, created, ended in rows:
        started = created + (ended - created) / 2
        data: dict[str, Any] = {"server": server or SERVERS[pk % 4], "worker": 1, "attempt": 1}
        data |= {"started": started.isoformat(), "ended": ended.isoformat()}
        if state == State.FAILED:
            message = reason.removeprefix(f"{error}: ")
            data["error"] = {"type": error, "message": message, "traceback": _traceback(reason)}
        else:
            data["result"] = {"value": pk}
        yield pk, str(State.ENQUEUED), "", "{}", created, started
        yield pk, str(State.PROCESSING), "", json.dumps(data), started, ended


def _traceback(reason: str) -> str:
    calls = "".join(
        f'  File "/srv/app/billing/part{depth}.py", line {depth * 7 + 3}, in step_{depth}\n'
        f"    return step_{depth + 1}(call)\n"
        for depth in range(12)
    )
    return f"Traceback (most recent call last):\n{calls}{reason}\n"


def _analyze() -> None:
    """Tell the planner what is there, as the server does by itself some time later."""
    statement = {"sqlite": "ANALYZE", "postgresql": "VACUUM ANALYZE"}.get(connection.vendor)
    tables = [model._meta.db_table for model in (Job, HistoryEntry, Counter, RecurringJob)]
    with connection.cursor() as cursor:
        for table in tables:
            name = connection.ops.quote_name(table)
            cursor.execute(f"{statement or 'ANALYZE TABLE'} {name}")
