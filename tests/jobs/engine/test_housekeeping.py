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
