"""Nobody hoards, and nothing is written without end."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import transaction

import jobs
from jobs.models import HistoryEntry, Job
from jobs.states import State
from tests import functions
from tests.cluster import Server as Cluster
from tests.cluster import until

Start = Callable[..., Cluster]


def left() -> int:
    return Job.objects.exclude(state=State.SUCCEEDED).count()


def test_jobs_behind_a_long_one_are_not_claimed_and_given_back_again_and_again(
    cluster: Start, journal: Path
) -> None:
    jobs.enqueue_many(functions.nothing, [(i,) for i in range(300)])
    cluster(jobs={"WORKERS": 1})
    until(lambda: left() == 0, 20)
    with transaction.atomic():
        jobs.enqueue(functions.slow, str(journal), 6)
        jobs.enqueue_many(functions.nothing, [(i,) for i in range(100)])
    until(lambda: journal.read_text())
    # What was claimed before the job turned out to be long goes back once, and stays.
    until(lambda: Job.objects.filter(state=State.ENQUEUED).count() == 100, 4)
    entries, deadline = HistoryEntry.objects.count(), time.monotonic() + 2
    until(lambda: time.monotonic() > deadline)
    assert HistoryEntry.objects.count() == entries
    until(lambda: left() == 0, 15)


def test_jobs_claimed_by_a_busy_server_go_to_an_idle_one(cluster: Start, journal: Path) -> None:
    jobs.enqueue_many(functions.nothing, [(i,) for i in range(300)])
    cluster(jobs={"WORKERS": 1})
    until(lambda: left() == 0, 20)
    with transaction.atomic():
        jobs.enqueue(functions.slow, str(journal), 0.6)
        long = jobs.enqueue(functions.slow, str(journal), 12)
        jobs.enqueue_many(functions.nothing, [(i,) for i in range(60)])
    until(lambda: journal.read_text().count("began") == 2)
    cluster(jobs={"WORKERS": 1})
    until(lambda: left() == 1, 6)
    assert Job.objects.exclude(state=State.SUCCEEDED).get() == long
    jobs.delete(long)  # or the test would have to wait for its end


def test_a_dispatcher_killed_with_jobs_taken_back_loses_none(cluster: Start, journal: Path) -> None:
    jobs.enqueue_many(functions.nothing, [(i,) for i in range(300)])
    server = cluster(jobs={"WORKERS": 1})
    until(lambda: left() == 0, 20)
    with transaction.atomic():
        jobs.enqueue(functions.slow, str(journal), 2)
        jobs.enqueue_many(functions.nothing, [(i,) for i in range(60)])
    until(lambda: journal.read_text())
    server.dispatcher.kill()
    until(lambda: left() == 0, 15)


def test_large_results_and_many_of_them_stop_nobody(cluster: Start) -> None:
    big = jobs.enqueue(functions.repeat, 17_000_000)
    jobs.enqueue_many(functions.repeat, [(60_000,) for _ in range(400)])
    small = jobs.enqueue(functions.add, 1)
    cluster()
    until(lambda: left() == 0, 40)
    for job in (big, small):
        job.refresh_from_db()
    assert small.result == 2
    assert len(big.result) == 4096
    entry = big.history.get(state=State.PROCESSING)
    assert "the result has 17000002 characters" in entry.data["result"]["note"]


@pytest.mark.parametrize("recycle", [1, 2])
def test_a_thread_that_a_job_leaves_behind_holds_nobody_up(cluster: Start, recycle: int) -> None:
    cluster(jobs={"WORKERS": 1, "RECYCLE_JOBS": recycle})
    jobs.enqueue_many(functions.leave_thread, [(30,) for _ in range(4)])
    until(lambda: left() == 0, 15)
    assert set(Job.objects.values_list("attempt", flat=True)) == {1}


@pytest.mark.parametrize("signal", ["pre_execute", "post_execute_in_worker"])
def test_a_receiver_of_django_q2_s_signals_that_raises_kills_no_job(
    cluster: Start, signal: str
) -> None:
    server = cluster(jobs={"WORKERS": 1}, env={"TEST_BAD_RECEIVER": signal})
    first = jobs.enqueue(functions.nothing)  # imports the module that connects the receiver
    until(lambda: left() == 0)
    jobs.enqueue_many(functions.add, [(1,), (2,)])
    wanted = State.FAILED if signal == "pre_execute" else State.SUCCEEDED
    until(lambda: Job.objects.filter(state=wanted).exclude(pk=first.pk).count() == 2)
    assert set(Job.objects.values_list("attempt", "crashes")) == {(1, 0)}, server.text
