"""What a job tells is seen while it runs, and outlives its worker."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from django.db import connection

import jobs
from jobs.models import Job, JobProgress, LogLine
from jobs.states import State
from tests import functions
from tests.cluster import Server as Cluster
from tests.cluster import until

from .test_kills import began

Start = Callable[..., Cluster]


def texts() -> list[str]:
    return list(LogLine.objects.values_list("text", flat=True))


def ended(job: Job) -> bool:
    job.refresh_from_db()
    return job.state in (State.SUCCEEDED, State.FAILED)


def test_it_is_seen_while_the_job_runs_and_complete_when_it_ended(
    cluster: Start, journal: Path
) -> None:
    cluster()
    job = jobs.enqueue(functions.tell, str(journal), 2)
    until(lambda: texts() == ["began"])
    row = until(lambda: JobProgress.objects.filter(job=job).first())
    assert (row.done, row.total, row.text) == (1, 4, "first part")
    assert not ended(job)

    until(lambda: ended(job))
    until(lambda: texts() == ["began", "ended"])
    until(lambda: JobProgress.objects.get(job=job).done == 4)


def test_it_is_seen_while_the_job_s_transaction_is_open_and_stays_when_that_is_taken_back(
    cluster: Start, journal: Path
) -> None:
    cluster()
    job = jobs.using(functions.tell_in_transaction, max_retries=0).enqueue(str(journal), 1.5)
    if connection.vendor != "sqlite":  # there, nobody else writes meanwhile
        until(lambda: texts() == ["began"])
        assert not ended(job)
    until(lambda: ended(job) and texts() == ["began", "ended"])


def test_what_was_told_outlives_the_worker(cluster: Start, journal: Path) -> None:
    cluster(jobs={"MAX_CRASHES": 1})
    job = jobs.enqueue(functions.tell, str(journal), 60)
    until(lambda: began(journal))
    time.sleep(0.1)  # it is on its way; nothing in the worker waits for that
    psutil.Process(int(began(journal)[0].split()[2])).kill()
    until(lambda: ended(job))
    until(lambda: texts() == ["began"])
    assert JobProgress.objects.get(job=job).done == 1


def test_a_new_dispatcher_hears_of_a_job_that_goes_on(cluster: Start, journal: Path) -> None:
    server = cluster()
    job = jobs.enqueue(functions.tell_twice, str(journal))
    until(lambda: "began" in texts())
    server.dispatcher.kill()
    functions.note(str(journal), "go on")
    until(lambda: "still there" in texts(), 20)
    assert not ended(job)
    functions.note(str(journal), "end")
    until(lambda: ended(job))
    assert job.state == State.SUCCEEDED
    jobs.enqueue(functions.nothing)
    until(lambda: Job.objects.filter(state=State.SUCCEEDED).count() == 2)


def test_many_lines_of_many_jobs_hold_up_none(cluster: Start) -> None:
    cluster()
    jobs.enqueue_many(functions.tell_at_once, [(3,)] * 500)
    until(lambda: Job.objects.filter(state=State.SUCCEEDED).count() == 500, 30)
    until(lambda: LogLine.objects.count() == 1500)


@pytest.mark.parametrize("kept", [True, False])
def test_the_setting_reaches_the_workers(cluster: Start, kept: bool) -> None:
    cluster(jobs={"KEEP_LOG": kept})
    jobs.enqueue(functions.warn)
    until(lambda: Job.objects.filter(state=State.SUCCEEDED).exists())
    if kept:
        until(lambda: texts() == ["mind the gap"])
    else:
        assert texts() == []
