"""Hosts whose clock is wrong or is set while a cluster runs (libfaketime on its processes)."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

import jobs
from jobs.models import Job, RecurringJob, Server
from jobs.states import State
from tests import functions
from tests.cluster import Server as Cluster
from tests.cluster import until

Start = Callable[..., Cluster]

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)

pytestmark = [
    pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed"),
    pytest.mark.skipif(
        connection.vendor == "sqlite", reason="SQLite has no clock but the host's, which is faked"
    ),
    pytest.mark.skipif(sys.platform != "linux", reason="libfaketime is preloaded"),
]


class Clock:
    """The clock that a cluster's processes see; its monotonic clock is the real one."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / f"clock-{time.monotonic_ns()}"
        self.set(0)

    def set(self, seconds: int) -> None:
        """Put it so many seconds ahead of the real clock."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{seconds:+d}s\n")
        new.replace(self.file)

    @property
    def env(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


def states(*wanted: Job) -> set[str]:
    return set(Job.objects.filter(pk__in=[j.pk for j in wanted]).values_list("state", flat=True))


@pytest.mark.parametrize("ahead", [300, -300])
def test_a_host_five_minutes_off_delays_nothing_and_gives_nobody_up(
    cluster: Start, clock: Clock, tmp_path: Path, ahead: int
) -> None:
    clock.set(ahead)
    wrong, right = cluster(env=clock.env), cluster(env=Clock(tmp_path).env)
    until(lambda: Server.objects.count() == 2)
    names = set(Server.objects.values_list("name", flat=True))
    began = time.monotonic()
    now = jobs.enqueue(functions.add, 1)
    soon = jobs.schedule(functions.add, 1, run_after=timedelta(seconds=1))
    again = jobs.using(functions.fail_once, retry_delays=[1]).enqueue()
    until(lambda: states(now, soon, again) == {State.SUCCEEDED}, 4)
    until(lambda: time.monotonic() - began > 5)  # longer than SERVER_TIMEOUT_SECONDS, which is 4
    assert set(Server.objects.values_list("name", flat=True)) == names
    assert "given up" not in wrong.text + right.text


@pytest.mark.alone
def test_a_clock_that_jumps_an_hour_neither_loses_nor_doubles_an_occurrence(
    cluster: Start, clock: Clock, tmp_path: Path
) -> None:
    jobs.recurring("each-second", functions.nothing, cron="* * * * * *", timezone="UTC")
    servers = [cluster(env=clock.env), cluster(env=clock.env)]
    until(lambda: Job.objects.filter(recurring_job__isnull=False).count() >= 2)
    for hour in (3600, 0, -3600, 0):
        clock.set(hour)
        job = jobs.enqueue(functions.add, 1)
        until(lambda job=job: states(job) == {State.SUCCEEDED}, 2)
        seen = Job.objects.count()
        until(lambda seen=seen: Job.objects.count() >= seen + 2, 4)
    jobs.pause("each-second")
    until(lambda: not Job.objects.exclude(state=State.SUCCEEDED).exists())
    found = sorted(
        Job.objects.filter(recurring_job=RecurringJob.objects.get()).values_list(
            "occurrence", flat=True
        )
    )
    steps: set[float] = {(b - a).total_seconds() for a, b in zip(found, found[1:], strict=False)}
    assert steps == {1.0}, "each second once"
    assert found[-1] <= _now() + timedelta(seconds=1)
    assert "given up" not in "".join(server.text for server in servers)


def _now() -> datetime:
    return timezone.now()
