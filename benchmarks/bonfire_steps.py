"""Steps that only Bonfire can do; see step.py."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from datetime import datetime
from typing import Any

import jobs
from jobs.models import HistoryEntry, Job

from . import killing, workload
from .claiming import claim_times


def claims(url: str, sizes: list[int]) -> dict:
    """Measure claims against numbers of finished rows."""
    return {"rows": claim_times(url, sizes)}


def enqueue_killers(count: int) -> dict:
    """Enqueue atomic jobs that kill their worker at the first attempt, at changing points."""
    points = ("before", "in", "after")
    jobs.enqueue_many(killing.effect, [(number, points[number % 3]) for number in range(count)])
    return {}


def ended() -> dict:
    """Count the jobs that have succeeded."""
    return {"jobs": Job.objects.filter(state="succeeded").count()}


def effects() -> dict:
    """Count the effects of atomic jobs, those that happened twice, and the workers that died."""
    from django.contrib.auth.models import Group

    numbers = [name.split()[0] for name in Group.objects.values_list("name", flat=True)]
    return {
        "jobs": Job.objects.count(),
        "effects": len(numbers),
        "distinct": len(set(numbers)),
        "crashes": sum(Job.objects.values_list("crashes", flat=True)),
        "second_attempts": Job.objects.filter(attempt=2).count(),
    }


def declare(count: int) -> dict:
    """Declare recurring jobs that are all due every 15 seconds."""
    for number in range(count):
        jobs.recurring(
            f"r{number}",
            workload.nothing,
            args=[number],
            cron="*/15 * * * * *",
            timezone="UTC",
        )
    return {}


def occurrences(count: int, rounds: int) -> dict:
    """Wait for so many rounds, and tell of each how complete, double and late it was."""

    def complete() -> list[Any]:
        rows = Job.objects.filter(state="succeeded").values_list("occurrence", flat=True)
        return [o for o, n in sorted(Counter(rows).items()) if n >= count]

    # The first one may have come while they were being declared.
    while len(complete()) < rounds + 1:
        time.sleep(0.2)
    found = complete()[-rounds:]
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
