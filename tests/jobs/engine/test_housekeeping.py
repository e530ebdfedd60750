"""Housekeeping looks after what dead servers leave behind."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

import jobs
from jobs import transitions
from jobs.engine import identity
from jobs.engine.arena import Arena
from jobs.engine.housekeeping import Housekeeping
from jobs.models import Job, Server
from jobs.states import State
from tests import functions

pytestmark = pytest.mark.django_db


@pytest.fixture
def housekeeping() -> Iterator[Housekeeping]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Housekeeping("me", None, Arena(1), ours, identity.own())


def claim(server: str, count: int = 1) -> list[int]:
    """Enqueue jobs and claim them for `server`; return their ids."""
    jobs.enqueue_many(functions.nothing, [(n,) for n in range(count)])
    token = server.ljust(32, "-")
    found = transitions.claim("default", count, server=server, token=token, idle=count)
    return [job.id for job in found]


def test_jobs_of_a_server_without_a_row_come_back(housekeeping: Housekeeping) -> None:
    [pk] = claim("ghost")

    housekeeping._look_after_orphans()

    job = Job.objects.get(pk=pk)
    assert (job.state, job.server, job.recovered) == (State.ENQUEUED, "", True)


def test_jobs_of_a_living_server_are_left_alone(housekeeping: Housekeeping) -> None:
    claim("alive")
    Server.objects.create(name="alive", host="h", pid=1, heartbeat_at="2026-01-01T00:00Z")

    housekeeping._look_after_orphans()

    assert Job.objects.get().state == State.PROCESSING


def test_a_job_deleted_while_it_ran_on_a_server_given_up_can_be_requeued(
    housekeeping: Housekeeping,
) -> None:
    [pk] = claim("ghost")
    jobs.delete(pk)
    with pytest.raises(jobs.StillStopping):
        jobs.requeue(pk)

    housekeeping._look_after_orphans()

    assert jobs.requeue(pk)


def test_looking_for_orphans_costs_by_servers_not_by_jobs(housekeeping: Housekeeping) -> None:
    for name in ("a", "b"):
        claim(name, 20)
        Server.objects.create(name=name, host="h", pid=1, heartbeat_at="2026-01-01T00:00Z")

    with CaptureQueriesContext(
        connection,
    ) as queries:
        housekeeping._look_after_orphans()

    assert len(queries) == 4, "a, b, nobody else; and the living"


# What is asked of it


def row(**values: object) -> Server:
    return Server.objects.create(
        name="me", host="h", pid=1, heartbeat_at="2026-01-01T00:00Z", **values
    )


def test_it_reads_what_is_asked_of_it_with_the_rows_of_the_others(
    housekeeping: Housekeeping,
) -> None:
    row()
    jobs.quiet_server("me")

    with CaptureQueriesContext(connection) as queries:
        housekeeping._look_after_servers()
    assert len(queries) == 1
    assert housekeeping.arena.quiet.get()

    jobs.resume_server("me")
    housekeeping._look_after_servers()
    assert not housekeeping.arena.quiet.get()


def test_a_successor_of_housekeeping_sees_that_the_server_was_resumed(
    housekeeping: Housekeeping,
) -> None:
    row()
    housekeeping.arena.quiet.touch()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        successor = Housekeeping("me", None, housekeeping.arena, ours, identity.own())
        successor._look_after_servers()
    assert not housekeeping.arena.quiet.get()


def test_what_was_asked_of_an_earlier_server_of_its_name_is_not_for_it(
    housekeeping: Housekeeping,
) -> None:
    row(order="stop")
    housekeeping.arena.sentinel_pulse.touch()

    housekeeping._beat()

    assert Server.objects.get().order == ""


def test_cpu_is_told_from_the_second_beat_on(housekeeping: Housekeeping) -> None:
    assert "cpu_percent" not in housekeeping._load()
    assert housekeeping._load()["cpu_percent"] >= 0
