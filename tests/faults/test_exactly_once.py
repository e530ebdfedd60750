"""`@job(atomic=True)`: the effects of a job happen once, whatever happens to its worker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group
from django.db import connection

import jobs
from jobs import transitions
from jobs.models import Job
from jobs.states import State
from tests import functions
from tests.cluster import Server as Cluster
from tests.cluster import until

Start = Callable[..., Cluster]

FAULTS = [
    "killed before the commit",
    "killed in the commit",
    "killed after the commit",
    "answer to COMMIT lost",
    "COMMIT lost",
    "hook raises",
    "function raises",
]


def effects() -> Counter[int]:
    names = Group.objects.filter(name__startswith="effect").values_list("name", flat=True)
    return Counter(int(name.split()[1]) for name in names)


@pytest.mark.parametrize("fault", FAULTS)
def test_effects_happen_once(cluster: Start, fault: str) -> None:
    server = cluster()
    count = 4
    jobs.enqueue_many(functions.effect, [(i, fault) for i in range(count)])
    until(lambda: Job.objects.filter(state=State.SUCCEEDED).count() == count, 20)
    assert effects() == dict.fromkeys(range(count), 1), server.text
    committed_first = {"killed after the commit", "answer to COMMIT lost", "hook raises"}
    if fault in committed_first:
        assert set(Job.objects.values_list("attempt", "crashes")) == {(1, 0)}
    elif fault != "killed in the commit":
        assert set(Job.objects.values_list("attempt", flat=True)) == {2}


one_writer = pytest.mark.skipif(
    connection.vendor == "sqlite",
    reason="SQLite has one writer: while an atomic job runs nobody can give it up or delete it",
)


@one_writer
def test_a_run_that_was_given_up_commits_nothing(cluster: Start, journal) -> None:
    """The job was requeued by others while it ran; only the other run's effect counts."""
    cluster(jobs={"WORKERS": 2})
    job = jobs.enqueue(functions.slow_effect, str(journal), 1.0)
    until(lambda: journal.read_text())
    row = Job.objects.get()
    assert row.state == State.PROCESSING
    transitions.give_back([(row.pk, row.claim_token)], "taken from it by a test", started=True)
    until(lambda: Job.objects.filter(pk=job.pk, state=State.SUCCEEDED).exists())
    until(lambda: journal.read_text().count("end") == 2)
    until(lambda: Group.objects.filter(name="slow effect").count() == 1)
    assert Job.objects.get().attempt == 2


@one_writer
def test_a_job_deleted_while_it_runs_commits_nothing(cluster: Start, journal) -> None:
    cluster()
    job = jobs.enqueue(functions.slow_effect, str(journal), 8)
    until(lambda: journal.read_text())
    jobs.delete(job)
    until(lambda: job.refresh_from_db() or not job.is_stopping, 5)
    assert not Group.objects.exists()
