"""Jobs that must be ended, in real workers."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from django.db import transaction

import jobs
from jobs.models import Job
from jobs.states import State
from tests import functions
from tests.cluster import Server as Cluster
from tests.cluster import until

Start = Callable[..., Cluster]
LIMITS = {"WORKERS": 1, "GRACE_SECONDS": 0.5, "MAX_CRASHES": 1}


def pids(journal: Path, word: str) -> list[int]:
    lines = [line.split() for line in journal.read_text().splitlines()]
    return [int(line[2 if word == "began" else 1]) for line in lines if line[0] == word]


def state(job: Job) -> str:
    job.refresh_from_db()
    return job.state


@pytest.mark.alone
@pytest.mark.parametrize("how", ["in C", "ignores SIGTERM", "swallows", "forks"])
def test_a_job_that_will_not_end_is_killed_with_all_that_it_started(
    cluster: Start, journal: Path, how: str
) -> None:
    server = cluster(jobs=LIMITS)
    job = jobs.using(functions.stubborn, timeout=0.5).enqueue(str(journal), how, 30)
    until(lambda: pids(journal, "began"))
    began = time.monotonic()
    follower = jobs.enqueue(functions.add, 1)
    until(lambda: state(follower) == State.SUCCEEDED)
    # The hard limit is timeout + grace; the slot must be back within 2 s after it.
    assert time.monotonic() - began < 0.5 + 0.5 + 2
    until(lambda: state(job) == State.FAILED)
    assert f"#{job.pk} was killed: its time was up and it went on for 0.5 s" in job.reason
    gone = [*pids(journal, "began"), *pids(journal, "child")]
    until(lambda: not any(psutil.pid_exists(pid) for pid in gone), 2)
    assert len(gone) == (3 if how == "forks" else 1), server.text


def test_an_async_job_that_swallows_its_cancellation_is_killed(
    cluster: Start, journal: Path
) -> None:
    cluster(jobs=LIMITS)
    job = jobs.using(functions.swallow_async, timeout=0.3).enqueue(str(journal), 30)
    until(lambda: state(job) == State.FAILED, 5)
    assert "was killed: its time was up" in job.reason


@pytest.mark.alone
def test_a_time_limit_of_half_a_second_is_kept_and_the_worker_lives_on(
    cluster: Start, journal: Path
) -> None:
    server = cluster(jobs={"WORKERS": 1})
    job = jobs.using(functions.slow, timeout=0.5, max_retries=0).enqueue(str(journal), 30)
    until(lambda: state(job) == State.FAILED, 5)
    entry = job.history.get(state=State.PROCESSING)
    assert job.error_type == "jobs.exceptions.JobTimeout"
    spent = (entry.left_at - entry.entered_at).total_seconds()
    assert 0.5 <= spent < 1.5
    assert [p.pid for p in server.workers] == pids(journal, "began")


@pytest.mark.alone
@pytest.mark.smoke
def test_a_deleted_job_is_ended_within_a_second_and_can_then_be_requeued(
    cluster: Start, journal: Path
) -> None:
    server = cluster(jobs={"WORKERS": 1})
    job = jobs.enqueue(functions.slow, str(journal), 30)
    until(lambda: pids(journal, "began"))
    jobs.delete(job)
    deleted = time.monotonic()
    assert job.is_stopping
    with pytest.raises(jobs.StillStopping):
        jobs.requeue(job)
    until(lambda: job.refresh_from_db() or not job.is_stopping, 5)
    assert time.monotonic() - deleted < 1.5, "a second, and the time to write it down"
    assert [p.pid for p in server.workers] == pids(journal, "began"), "by a signal, not a kill"
    jobs.requeue(job)
    until(lambda: len(pids(journal, "began")) == 2)
    jobs.delete(job)


@pytest.mark.alone
def test_a_deleted_job_that_will_not_end_is_killed(cluster: Start, journal: Path) -> None:
    cluster(jobs=LIMITS)
    job = jobs.enqueue(functions.stubborn, str(journal), "in C", 30)
    until(lambda: pids(journal, "began"))
    jobs.delete(job)
    deleted = time.monotonic()
    follower = jobs.enqueue(functions.add, 1)
    until(lambda: state(follower) == State.SUCCEEDED)
    assert time.monotonic() - deleted < 1 + 0.5 + 2
    until(lambda: state(job) == State.DELETED and not job.is_stopping)
    assert job.crashes == 0


@pytest.mark.smoke
def test_a_chain_of_continuations_runs_in_real_workers(cluster: Start) -> None:
    cluster()
    first = jobs.using(functions.add, run_after=timedelta(seconds=0.2)).enqueue(1)
    second = jobs.continue_with(first, functions.add_to_parent, 10)
    third = jobs.continue_with(second, functions.add_to_parent, 100)
    until(lambda: state(third) == State.SUCCEEDED, 5)
    assert third.result == 112


def test_many_jobs_that_run_out_of_time_in_transactions_leave_workers_fit_for_others(
    cluster: Start,
) -> None:
    server = cluster(jobs={"MAX_RETRIES": 0})
    jobs.enqueue_many(functions.transactions_without_end, [()] * 150)
    until(lambda: not Job.objects.filter(state__in=("enqueued", "processing")).exists(), 60)
    others = 50
    jobs.enqueue_many(functions.in_transaction, [()] * others)
    until(lambda: Job.objects.filter(state=State.SUCCEEDED).count() == others, 20)
    assert "Traceback" not in server.text.rpartition("transactions_without_end")[2]


def test_a_job_deleted_while_it_waits_behind_another_does_not_run(
    cluster: Start, journal: Path
) -> None:
    jobs.enqueue_many(functions.nothing, [(i,) for i in range(300)])
    cluster(jobs={"WORKERS": 1})
    until(lambda: Job.objects.filter(state=State.SUCCEEDED).count() == 300, 20)
    with transaction.atomic():
        jobs.enqueue(functions.slow, str(journal), 2)
        waiting = [jobs.enqueue(functions.note, str(journal), "ran") for _ in range(20)]
    until(lambda: pids(journal, "began"))
    for job in waiting:
        jobs.delete(job)
    until(lambda: "ended" in journal.read_text())
    last = jobs.enqueue(functions.add, 1)
    until(lambda: state(last) == State.SUCCEEDED)
    assert "ran" not in journal.read_text()
    assert not Job.objects.exclude(claim_token="").exists()


def test_an_option_of_a_strange_kind_of_number_costs_nothing(cluster: Start) -> None:
    cluster()
    job = jobs.enqueue(functions.kept_for_a_day)
    until(lambda: state(job) == State.SUCCEEDED)
    assert job.expires_at is not None


@pytest.mark.alone
def test_a_parent_of_very_many_children_wedges_nobody(cluster: Start) -> None:
    parent = jobs.schedule(functions.nothing, run_after=timedelta(hours=1))
    child = jobs.continue_with(parent, functions.nothing)
    count = 6000
    Job.objects.bulk_create(
        [
            Job(
                func=child.func,
                arguments={"args": [], "kwargs": {}},
                queue=child.queue,
                state=State.AWAITING,
                parent=parent,
                condition="succeeded",
            )
            for _ in range(count - 1)
        ],
        batch_size=500,
    )
    server = cluster(jobs={"PULSE_TIMEOUT_SECONDS": 1})
    jobs.requeue(parent)
    until(lambda: Job.objects.filter(state=State.SUCCEEDED).count() == count + 1, 60)
    assert "hangs" not in server.text
