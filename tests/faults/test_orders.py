"""Servers that are told to be quiet, to go on, to stop: real ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

import jobs
from jobs.models import Job, Server
from jobs.states import State
from tests import functions
from tests.cluster import Server as Cluster
from tests.cluster import until

Start = Callable[..., Cluster]


def began(journal: Path) -> int:
    return sum(line.startswith("began") for line in journal.read_text().splitlines())


def name() -> str:
    return until(lambda: Server.objects.values_list("name", flat=True).first())


def succeeded() -> int:
    return Job.objects.filter(state=State.SUCCEEDED).count()


@pytest.mark.alone
def test_a_quiet_server_ends_what_runs_and_starts_nothing_until_it_is_resumed(
    cluster: Start, journal: Path
) -> None:
    jobs.enqueue_many(functions.slow, [(str(journal), 0.5)] * 40)
    cluster()
    until(lambda: began(journal) >= 2)

    assert jobs.quiet_server(name(), by="ann", reason="test")

    until(lambda: not Job.objects.filter(state=State.PROCESSING).exists(), 5)
    started = began(journal)
    assert succeeded() == started < 40, "what ran went on, and the rest was given back"
    assert not Job.objects.filter(attempt__gt=1).exists(), "given back uncounted"
    jobs.enqueue(functions.slow, str(journal), 0.01)
    time.sleep(1.5)
    assert began(journal) == started

    assert jobs.resume_server(name())

    until(lambda: succeeded() == 41, 30)


@pytest.mark.alone
def test_a_server_told_to_stop_ends_in_good_order(cluster: Start, journal: Path) -> None:
    jobs.enqueue_many(functions.slow, [(str(journal), 1.5)] * 2)
    server = cluster()
    until(lambda: began(journal) >= 1)
    family = server.family

    assert jobs.stop_server(name())

    assert server.process.wait(10) == 0
    assert not [process for process in family if process.is_running()], "no orphan"
    assert not Server.objects.exists()
    assert succeeded() >= 1
    assert not Job.objects.filter(state=State.PROCESSING).exists()


@pytest.mark.alone
def test_a_successor_is_not_quiet(cluster: Start, journal: Path) -> None:
    first = cluster()
    jobs.quiet_server(name())
    first.stop()
    cluster()
    jobs.enqueue(functions.slow, str(journal), 0.01)
    until(lambda: succeeded() == 1)
