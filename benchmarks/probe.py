"""The steps of a measurement that need Django; each prints one line of JSON."""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

import django
from django.db.backends.base.base import BaseDatabaseWrapper

django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402

from . import functions  # noqa: E402


def reset() -> dict:
    """Empty the database."""
    database: BaseDatabaseWrapper = connection
    if database.vendor == "sqlite":
        for suffix in ("", "-wal", "-shm"):
            Path(f"{database.settings_dict['NAME']}{suffix}").unlink(missing_ok=True)
    else:
        name = database.settings_dict["NAME"]
        with database._nodb_cursor() as cursor:
            cursor.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            cursor.execute(f'CREATE DATABASE "{name}"')
    call_command("migrate", verbosity=0)
    return {}


def enqueue(count: str, kind: str) -> dict:
    function = getattr(functions, kind)
    if settings.SYSTEM == "stock":
        from django_q.tasks import async_task

        for number in range(int(count)):
            async_task(function, number)
    else:
        import jobs

        target = jobs.using(function, retry_delays=[0])
        target.enqueue_many((number,) for number in range(int(count)))
    return {}


def settled(count: str) -> dict:
    """Wait until `count` outcomes are stored; jobs/s from the first one seen to the last."""
    if settings.SYSTEM == "stock":
        from django_q.models import Success

        rows = Success.objects.all()
    else:
        from jobs.models import Job

        rows = Job.objects.filter(state="succeeded")
    first, began = 0, 0.0
    while (done := rows.count()) < int(count):
        if done and not first:
            first, began = done, time.monotonic()
        time.sleep(0.02)
    return {"rate": (done - first) / (time.monotonic() - began)}


def enqueue_cost(count: str) -> dict:
    """Time of enqueue() against a bare ORM INSERT of the same row; medians, interleaved."""
    import jobs
    from jobs.models import Job

    ours, bare = [], []
    for number in range(int(count)):
        start = time.perf_counter()
        jobs.enqueue(functions.nothing, number)
        middle = time.perf_counter()
        Job.objects.create(
            func="benchmarks.functions.nothing",
            arguments={"args": [number], "kwargs": {}},
            queue="default",
            state="enqueued",
        )
        bare.append(time.perf_counter() - middle)
        ours.append(middle - start)
    a, b = statistics.median(ours), statistics.median(bare)
    return {"enqueue_us": round(a * 1e6), "insert_us": round(b * 1e6), "ratio": round(a / b, 2)}


def enqueue_killers(count: str) -> dict:
    """Enqueue atomic jobs that kill their worker at the first attempt, at changing points."""
    import jobs

    points = ("before", "in", "after")
    calls = [(number, points[number % 3]) for number in range(int(count))]
    jobs.enqueue_many(functions.effect, calls)
    return {}


def effects() -> dict:
    """Count the effects of atomic jobs, those that happened twice, and the workers that died."""
    from django.contrib.auth.models import Group

    from jobs.models import Job

    numbers = [name.split()[0] for name in Group.objects.values_list("name", flat=True)]
    return {
        "jobs": Job.objects.count(),
        "effects": len(numbers),
        "distinct": len(set(numbers)),
        "crashes": sum(Job.objects.values_list("crashes", flat=True)),
        "second_attempts": Job.objects.filter(attempt=2).count(),
    }


def lateness(count: str, seconds: str) -> dict:
    """Put jobs off by up to `seconds`; ms from the due time to the start, by the history."""
    from datetime import datetime, timedelta

    from django.utils import timezone

    import jobs
    from jobs.models import HistoryEntry, Job

    begin = timezone.now() + timedelta(seconds=1)
    due = {}
    for number in range(int(count)):
        at = begin + timedelta(seconds=float(seconds) * number / int(count))
        due[jobs.schedule(functions.nothing, number, run_after=at).pk] = at
    while Job.objects.filter(pk__in=list(due), state="succeeded").count() < int(count):
        time.sleep(0.1)
    late = []
    for entry in HistoryEntry.objects.filter(state="processing", job__in=list(due)):
        began = datetime.fromisoformat(entry.data["started"])
        late.append(1000 * (began - due[entry.job_id]).total_seconds())
    late.sort()
    return {"p50_ms": round(statistics.median(late), 1), "max_ms": round(late[-1], 1)}


def declare(count: str) -> dict:
    """Declare recurring jobs that are all due every 15 seconds."""
    import jobs

    for number in range(int(count)):
        jobs.recurring(
            f"r{number}", functions.nothing, args=[number], cron="*/15 * * * * *", timezone="UTC"
        )
    return {}


def occurrences(count: str, rounds: str) -> dict:
    """Wait for so many rounds, and tell of each how complete, double and late it was."""
    from collections import Counter
    from datetime import datetime

    from jobs.models import HistoryEntry, Job

    def complete() -> list:
        rows = Job.objects.filter(state="succeeded").values_list("occurrence", flat=True)
        return [o for o, n in sorted(Counter(rows).items()) if n >= int(count)]

    # The first one may have come while they were being declared.
    while len(complete()) < int(rounds) + 1:
        time.sleep(0.2)
    found = complete()[-int(rounds) :]
    jobs_of = Job.objects.filter(occurrence__in=found)
    pairs = Counter(jobs_of.values_list("recurring_job", "occurrence"))
    due = dict(jobs_of.values_list("pk", "occurrence"))
    late = sorted(
        1000 * (datetime.fromisoformat(e.data["started"]) - due[e.job_id]).total_seconds()
        for e in HistoryEntry.objects.filter(state="processing", job__in=list(due))
    )
    return {
        "rounds": len(found),
        "jobs": len(pairs),
        "double": sum(n - 1 for n in pairs.values()),
        "late_ms_p50": round(statistics.median(late)),
        "late_ms_p95": round(late[int(0.95 * len(late))]),
        "late_ms_max": round(late[-1]),
    }


def paced(count: str, path: str) -> dict:
    """Enqueue one job each 100 ms on an idle system; ms from enqueue's return to the start."""
    import jobs

    returned = []
    for number in range(int(count)):
        time.sleep(0.1)
        jobs.enqueue(functions.stamp, path, number)
        returned.append(time.monotonic())
    time.sleep(0.5)
    lines = [line.split() for line in Path(path).read_text().splitlines()]
    return {"ms": sorted(1000 * (float(at) - returned[int(n)]) for n, at in lines)}


if __name__ == "__main__":
    step, *arguments = sys.argv[1:]
    print(json.dumps(globals()[step](*arguments)))
