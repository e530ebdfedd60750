"""The database answers, but refuses what it is asked: a migration is missing, or a trigger says no."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection

import jobs
from jobs.models import HistoryEntry, Job
from jobs.states import State
from tests import functions
from tests.cluster import Server as Cluster
from tests.cluster import until
from tests.database import refusing, without_column

Start = Callable[..., Cluster]
#: As long as it is watched how much CPU it costs, once the pauses have grown,
WATCHED_SECONDS = 15
#: and as long as it may take until the next try after a repair.
REPAIRED_SECONDS = 35


def load(server: Cluster) -> float:
    """Return how much of a core the cluster needs."""
    began, spent = time.monotonic(), cpu_seconds(server)
    time.sleep(WATCHED_SECONDS)
    return (cpu_seconds(server) - spent) / (time.monotonic() - began)


def cpu_seconds(server: Cluster) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in server.family)


def ended() -> bool:
    return not Job.objects.exclude(state=State.SUCCEEDED).exists()


# What a claim writes, what an outcome writes, and what a heartbeat writes.
@pytest.mark.parametrize(
    ("table", "column"),
    [("jobs_job", "claim_token"), ("jobs_historyentry", "data"), ("jobs_server", "load")],
)
@pytest.mark.timeout(180)
def test_a_missing_migration_costs_next_to_nothing_and_no_restart(
    cluster: Start, table: str, column: str
) -> None:
    server = cluster("--workers", "2")
    jobs.enqueue(functions.nothing)
    until(ended)
    pids, idle = {process.pid for process in server.family}, load(server)
    with without_column(table, column):
        if table != "jobs_job":  # its own new columns are missing here, too
            jobs.enqueue_many(functions.nothing, [(n,) for n in range(50)])
        until(lambda: "refuses" in server.text, 30, message=server.text)
        time.sleep(5)
        refused = load(server)
        said = [line for line in server.text.splitlines() if "refuses" in line]
    until(ended, REPAIRED_SECONDS, message=server.text)
    jobs.enqueue(functions.nothing)
    until(ended)
    assert pids == {process.pid for process in server.family}, server.text
    assert f"{column}" in said[0]
    assert "manage.py migrate" in said[0]
    whats = [line.partition("refuses ")[2].partition(" (")[0] for line in said]
    assert len(whats) == len(set(whats)), "once a minute"
    assert "does not answer" not in server.text
    assert refused < idle + 0.01, f"{refused:.2%} of a core, idle {idle:.2%}"


@pytest.mark.timeout(120)
def test_one_outcome_that_is_refused_keeps_no_other_from_being_recorded(
    cluster: Start, journal: Path
) -> None:
    server = cluster("--workers", "2")
    bad = jobs.enqueue(functions.slow, str(journal), 0.5)
    until(lambda: "began" in journal.read_text())
    with refusing(bad.pk):
        until(lambda: "ended" in journal.read_text())
        for _ in range(10):
            jobs.enqueue_many(functions.nothing, [(n,) for n in range(50)])
            until(
                lambda: not Job.objects.exclude(pk=bad.pk).exclude(state=State.SUCCEEDED).exists()
            )
        bad.refresh_from_db()
        assert bad.state == State.PROCESSING
        assert (
            f"the outcomes of #{bad.pk} can't be stored for now, not even as failed" in server.text
        )
        assert "not this one" in server.text
    until(ended, REPAIRED_SECONDS, message=server.text)
    assert journal.read_text().count("began") == 1, "it did not run again"
    assert HistoryEntry.objects.filter(job_id=bad.pk, state=State.PROCESSING).count() == 1


@pytest.mark.timeout(60)
def test_text_that_the_database_refuses_fails_its_job_alone(cluster: Start) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("a NUL is a character like others elsewhere")
    cluster("--workers", "2")
    with_nul = jobs.enqueue(functions.fail, "no \0 here")
    jobs.enqueue_many(functions.nothing, [(n,) for n in range(50)])
    until(lambda: Job.objects.filter(state=State.SUCCEEDED).count() == 50)
    until(lambda: Job.objects.get(pk=with_nul.pk).state != State.PROCESSING)
