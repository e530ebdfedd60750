"""SQLite: somebody holds the only write lock for a long time."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection

import jobs
from jobs.models import Job, Server
from jobs.states import State
from tests import functions
from tests.cluster import Server as Cluster
from tests.cluster import until

Start = Callable[..., Cluster]

pytestmark = pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite has one writer")


@pytest.mark.long
def test_a_job_that_holds_the_write_lock_for_20_seconds_gives_no_server_up(
    cluster: Start, journal: Path
) -> None:
    # As a project has them, not the short ones of the other tests.
    usual = {"HEARTBEAT_SECONDS": 5, "SERVER_TIMEOUT_SECONDS": 30}
    servers = [cluster(jobs=usual), cluster(jobs=usual)]
    until(lambda: Server.objects.count() == 2)
    names = set(Server.objects.values_list("name", flat=True))
    pids = [p.pid for server in servers for p in server.family]
    job = jobs.enqueue(functions.hold_write_lock, str(journal), 20)
    until(lambda: journal.read_text())
    began = time.monotonic()
    until(lambda: Job.objects.get(pk=job.pk).state == State.SUCCEEDED, 40)
    assert time.monotonic() - began > 19
    after = jobs.enqueue(functions.add, 1)
    until(lambda: Job.objects.get(pk=after.pk).state == State.SUCCEEDED, 10)
    assert set(Server.objects.values_list("name", flat=True)) == names
    assert [p.pid for server in servers for p in server.family] == pids, "no process was replaced"
    assert set(Job.objects.values_list("attempt", "crashes")) == {(1, 0)}
