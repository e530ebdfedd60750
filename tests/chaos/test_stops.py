"""SIGTERM with jobs of all lengths."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

import jobs
from jobs.models import Job
from jobs.models import Server as ServerRow
from jobs.states import State
from tests.cluster import Server, until

from . import checks, functions, processes
from .figures import Record, at_most, exactly
from .journal import starts

BACKLOG = 300


def test_a_stop_waits_for_jobs_as_long_as_it_may_and_leaves_nothing_behind(
    cluster: Callable[..., Server], journal: Path, scale: Callable[..., Any], figure: Record
) -> None:
    medium, allowed = scale(1, 10), scale(2, 12)
    cases = [
        ("0.1 s", 0.1, 3, State.SUCCEEDED),
        ("10 s, 12 s allowed", medium, medium + 3, State.SUCCEEDED),
        ("1,000 s, 12 s allowed", 1000, allowed + 3, State.ENQUEUED),
    ]
    for name, seconds, limit, ends_as in cases:
        fault = f"SIGTERM while jobs of {name} run"
        server = cluster(jobs={"SHUTDOWN_SECONDS": allowed})
        running = [
            jobs.enqueue(functions.with_children, str(journal), seconds) for _ in server.workers
        ]
        until(lambda those=running: all(starts(journal, job) for job in those))
        jobs.enqueue_many(functions.nothing, [(i,) for i in range(BACKLOG)])
        family = server.family
        stopped = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        status = server.process.wait(allowed + 15)
        figure(20, fault, "time to exit", time.monotonic() - stopped, "s", at_most(limit))
        _, left = psutil.wait_procs(family, 1)
        figure(20, fault, "orphans", sum(map(processes.lives, left)), "", exactly(0))
        rows = Job.objects.filter(pk__in=[job.pk for job in running])
        returned = rows.filter(state=State.ENQUEUED, crashes=0, retries=0, claim_token="").count()
        wanted = len(running) if ends_as == State.ENQUEUED else 0
        figure(20, fault, "jobs given back uncounted", returned, "", exactly(wanted))
        assert set(rows.values_list("state", flat=True)) == {ends_as}
        assert status == 0, server.text
        assert not ServerRow.objects.exists()
        assert not Job.objects.filter(state=State.PROCESSING).exists()
        assert not Job.objects.exclude(pk__in=rows).filter(state=State.ENQUEUED, attempt__gt=0)
        assert not checks.inconsistencies()
        Job.objects.all().delete()
