"""How long a claim takes, against the number of finished rows; used by `benchmarks.step`."""

from __future__ import annotations

import statistics
import time
import uuid
from contextlib import nullcontext
from typing import Any

from django.db import connection

import jobs
from jobs import testing, transitions
from jobs.models import HistoryEntry, Job
from jobs.states import State

from . import stores

BATCH = 100
CLAIMS = 60
#: The last of these are counted: by then earlier claims have left dead rows in the index.
COUNTED = 20


def claim_times(url: str, sizes: list[int]) -> list[dict[str, Any]]:
    """Return the median of a claim of 100 jobs for each number of finished rows, in ms.

    For each, once as it is, and once while an old transaction is open, which keeps the server from
    tidying up behind the claims.
    """
    rows = []
    for finished in sizes:
        _grow(finished)
        for held in (False, True):
            with stores.old_transaction(url) if held else nullcontext():
                rows.append({"finished": finished, "held": held, "ms": _claim_ms()})
    return rows


def _grow(finished: int) -> None:
    """Have so many succeeded jobs: those that ran, copied."""
    Job.objects.exclude(state=State.SUCCEEDED).delete()
    present = Job.objects.count()
    if finished and not present:
        jobs.enqueue_many("math.factorial", [(5,)] * 200)
        testing.drain()
        present = 200
    table = connection.ops.quote_name(Job._meta.db_table)
    fields = [field.column for field in Job._meta.local_concrete_fields if not field.primary_key]
    columns = ", ".join(connection.ops.quote_name(column) for column in fields)
    with connection.cursor() as cursor:
        while present < finished:
            some = min(present, finished - present, 50_000)
            cursor.execute(
                f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {table} "
                f"ORDER BY id LIMIT {some}"
            )
            present += some
    _analyze(table)


def _analyze(table: str) -> None:
    """Tell the planner what is there, as the server does by itself some time later."""
    statement = {"mysql": "ANALYZE TABLE", "sqlite": "ANALYZE", "postgresql": "VACUUM ANALYZE"}
    with connection.cursor() as cursor:
        cursor.execute(f"{statement[connection.vendor]} {table}")


def _claim_ms() -> float:
    jobs.enqueue_many("math.factorial", [(5,)] * BATCH * CLAIMS)
    took = []
    for _ in range(CLAIMS):
        began = time.perf_counter()
        claims = transitions.claim("default", BATCH, server="bench", token=uuid.uuid4().hex, idle=2)
        took.append(1000 * (time.perf_counter() - began))
        if len(claims) != BATCH:
            raise RuntimeError(f"claimed {len(claims)} of {BATCH} jobs")
    claimed = Job.objects.filter(state=State.PROCESSING)
    HistoryEntry.objects.filter(job__in=claimed.values("pk")).delete()
    claimed.delete()
    return statistics.median(took[-COUNTED:])
