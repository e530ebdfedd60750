"""The queries of the hot paths among a million finished jobs: which index, how long."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from jobs import pruning, transitions
from jobs.engine import outlook
from jobs.models import HistoryEntry, Job, Server
from jobs.serialization import dumps
from jobs.states import State

from .figures import Record, at_most, exactly, quantile, shown

Scale = Callable[[Any, Any], Any]
pytestmark = [pytest.mark.timeout(900), pytest.mark.django_db(transaction=True)]

BASE = 1000


@pytest.fixture
def table() -> Iterator[str]:
    """The table of jobs, emptied quickly after the test."""
    name = Job._meta.db_table
    yield name
    with connection.cursor() as cursor:
        if connection.vendor == "mysql":  # there pytest-django deletes row by row
            cursor.execute(f"TRUNCATE TABLE {name}")


def fill(table: str, state: State, rows: int) -> None:
    """Insert so many jobs in this state: some, then copies of them."""
    now = timezone.now()
    final = {"finished_at": now, "expires_at": now + timedelta(days=1)}
    some = [
        Job(
            func="tests.functions.nothing",
            arguments=dumps({"args": [n], "kwargs": {}}),
            queue="default",
            state=state,
            priority=n % 3,
            run_at=now - timedelta(seconds=n % 977),
            **(final if state == State.SUCCEEDED else {}),
        )
        for n in range(min(BASE, rows))
    ]
    Job.objects.bulk_create(some)
    fields = Job._meta.local_concrete_fields[1:]  # the id makes itself
    columns = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    there = len(some)
    with connection.cursor() as cursor:
        while there < rows:
            more = min(there, rows - there)
            cursor.execute(
                f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {table}"
                f" WHERE state = %s LIMIT {more}",
                [state],
            )
            there += more


def analyze(table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {'TABLE ' if connection.vendor == 'mysql' else ''}{table}")
        if connection.vendor == "mysql":
            cursor.fetchall()


def claim() -> None:
    token = uuid.uuid4().hex
    claims = transitions.claim("default", 10, server="s", token=token, idle=10)
    assert len(claims) == 10


def held() -> None:
    assert list(Job.objects.held_by("s").values_list("id", "claim_token"))


def asked_by_a_server() -> None:
    values = {"host": "h", "pid": 1, "heartbeat_at": timezone.now()}
    Server.objects.get_or_create(name="s", defaults=values)
    assert outlook.of("s").claimable


#: What is asked, and the index that must answer.
QUERIES: dict[str, tuple[Callable[[], Any], str]] = {
    "claim": (claim, "claim_idx"),
    "due jobs": (lambda: transitions.promote_due(250), "due_idx"),
    "next due time": (asked_by_a_server, "due_idx"),
    "expired jobs": (lambda: pruning.prune_jobs(500), "expiry_idx"),
    "jobs held by a server": (held, "server_idx"),
}


#: It finds so few that they may be sorted.
FEW = f"{Job._meta.db_table}_server_idx"


def indexes(table: str, ask: Callable[[], Any]) -> set[str]:
    """Return the indexes that the SELECTs of `ask` use on the table of jobs.

    For one that reads or sorts more than it must, its plan.
    """
    with CaptureQueriesContext(connection) as queries:
        ask()
    found: set[str] = set()
    for query in queries:
        sql = query["sql"]
        if not sql.startswith("SELECT") or f"FROM {connection.ops.quote_name(table)}" not in sql:
            continue
        with connection.cursor() as cursor:
            prefix = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
            cursor.execute(f"{prefix} {sql}")
            plan = "\n".join(" ".join(map(str, row)) for row in cursor.fetchall())
        # MariaDB names the possible ones first, then the one it takes.
        names = re.findall(rf"{table}_\w+_idx", plan)
        slow = re.search(rf"Seq Scan on {table}|SCAN {table}(?! USING)|\bALL\b", plan)
        sorts = re.search("Sort|filesort|B-TREE", plan) and names[-1:] != [FEW]
        found |= {plan} if slow or sorts or not names else {names[-1]}
    return found


@pytest.mark.alone
def test_the_hot_paths_among_finished_jobs(table: str, figure: Record, scale: Scale) -> None:
    finished, ready = scale((20_000, 1_000), (1_000_000, 50_000))
    fill(table, State.ENQUEUED, ready)
    analyze(table)
    before = claim_seconds(scale(5, 10))
    fill(table, State.SUCCEEDED, finished)
    analyze(table)
    fault = "many finished jobs"
    figure(17, fault, "finished jobs", finished, "", shown)
    figure(17, fault, "ready jobs", ready, "", shown)
    for name, (ask, index) in QUERIES.items():
        used = indexes(table, ask)
        other = len(used - {f"{table}_{index}"}) + (not used)
        figure(17, fault, f"{name}: queries not by {table}_{index}", other, "", exactly(0))
    seconds = claim_seconds(scale(40, 200))
    figure(17, fault, "claim of 10, p50", 1000 * quantile(seconds, 0.5), "ms", shown)
    figure(
        17,
        fault,
        "claim of 10, p95",
        1000 * quantile(seconds, 0.95),
        "ms",
        at_most(scale(1000, 50)),
    )
    figure(
        17,
        fault,
        "claim of 10 without the finished ones, p50",
        1000 * quantile(before, 0.5),
        "ms",
        shown,
    )
    HistoryEntry.objects.all().delete()


def claim_seconds(repetitions: int) -> list[float]:
    found = []
    for _ in range(repetitions):
        began = time.perf_counter()
        claim()
        found.append(time.perf_counter() - began)
    return found
