"""Jobs that kill what runs them are set aside; jobs beside them are not."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import jobs
from jobs.models import Job
from jobs.states import State
from tests.cluster import Server, until

from . import checks, functions
from .figures import Record, at_most, exactly, quantile, shown
from .journal import starts

Cluster = Callable[..., Server]


def state(job: Job) -> str:
    job.refresh_from_db()
    return job.state


@pytest.mark.alone
@pytest.mark.parametrize(
    ("fault", "how"),
    [
        ("a job that calls os._exit(9)", "exit"),
        ("a job killed as the kernel does when memory is short", "kill"),
    ],
)
def test_a_job_that_kills_its_worker(
    cluster: Cluster,
    journal: Path,
    scale: Callable[..., Any],
    figure: Record,
    fault: str,
    how: str,
) -> None:
    cluster()
    poison: list[Job] = []
    enqueued: dict[int, float] = {}
    for number in range(scale(60, 300)):
        if number % 20 == 10:
            poison.append(jobs.enqueue(functions.end_worker, how))
        now = time.time()
        enqueued[jobs.enqueue(functions.note_start, str(journal)).pk] = now
        time.sleep(0.02)
    until(lambda: not checks.unfinished())
    delays = [start.at - enqueued[start.job] for start in starts(journal)]
    assert {state(job) for job in poison} == {State.FAILED}
    assert all(job.reason.startswith("poisoned") for job in poison)
    others = Job.objects.filter(pk__in=enqueued)
    figure(4, fault, "attempts until failed", max(job.attempt for job in poison), "", exactly(3))
    figure(4, fault, "other jobs convicted", others.filter(crashes__gt=0).count(), "", exactly(0))
    figure(4, fault, "other jobs start after, p50", quantile(delays, 0.5), "s", shown)
    figure(4, fault, "other jobs start after, max", max(delays), "s", at_most(2))
    assert others.filter(state=State.SUCCEEDED).count() == len(delays) == len(enqueued)
    assert not checks.inconsistencies()


def test_a_job_that_meets_a_limit_of_memory_fails_without_harm(
    cluster: Cluster, figure: Record
) -> None:
    fault = "a job that allocates beyond RLIMIT_AS"
    server = cluster("--workers", "1")
    worker = server.workers[0].pid
    job = jobs.using(functions.allocate_without_end, max_retries=1, retry_delays=[0]).enqueue()
    until(lambda: state(job) == State.FAILED)
    assert job.error_type == "MemoryError"
    follower = jobs.enqueue(functions.nothing)
    until(lambda: state(follower) == State.SUCCEEDED)
    figure(4, fault, "attempts until failed, one retry allowed", job.attempt, "", exactly(2))
    figure(4, fault, "workers lost", int(server.workers[0].pid != worker), "", exactly(0))


@pytest.mark.alone
def test_a_job_that_kills_the_whole_group_at_each_attempt(
    cluster: Cluster, journal: Path, scale: Callable[..., Any], figure: Record
) -> None:
    """Beside it run an innocent job that takes longer than any server lives, and short ones."""
    fault = "a job that kills the whole group at each attempt"
    innocent = jobs.enqueue(functions.first_time_slow, str(journal), 1.5, 1.5)
    poison = jobs.enqueue(functions.end_group, str(journal), 0.3)
    short = jobs.enqueue_many(functions.nothing, [(i,) for i in range(scale(20, 200))])
    deaths = 0
    server = cluster(wait=False)
    for _ in range(10):
        until(
            lambda s=server: s.process.poll() is not None or not checks.unfinished(),
            30,
            message=server.text,
        )
        if server.process.poll() is None:
            break
        deaths += 1
        server = cluster(wait=False)
    until(lambda: not checks.unfinished(), message=server.text)
    assert state(poison) == State.FAILED
    assert poison.reason.startswith("poisoned")
    succeeded = Job.objects.filter(state=State.SUCCEEDED).count()
    failed = Job.objects.filter(state=State.FAILED).exclude(pk=poison.pk).count()
    innocent.refresh_from_db()
    # Two deaths are nobody's: the first, when no start had been written ahead, and the second,
    # when both jobs had been recovered and either could have been the cause.
    figure(4, fault, "crashes counted until failed", poison.crashes, "", exactly(3))
    figure(4, fault, "deaths until failed", deaths, "", at_most(5))
    figure(4, fault, "crashes counted on a job beside it", innocent.crashes, "", exactly(0))
    figure(4, fault, "other jobs failed", failed, "", exactly(0))
    assert succeeded == short + 1
    assert not checks.inconsistencies()
