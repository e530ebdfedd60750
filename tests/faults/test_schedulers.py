"""Schedulers as real processes: each occurrence one job, in time, whoever is killed."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

import jobs
from jobs import wakeup
from jobs.models import HistoryEntry, Job, RecurringJob, Server
from jobs.states import State
from tests import functions
from tests.cluster import Server as Cluster
from tests.cluster import until

Start = Callable[..., Cluster]
SECOND = timedelta(seconds=1)
NEVER_SOON = "0 0 29 2 *"


def occurrences(name: str) -> list[datetime]:
    made = Job.objects.filter(recurring_job__name=name).order_by("occurrence")
    return list(made.values_list("occurrence", flat=True))


def gapless(found: list[datetime]) -> bool:
    return found == [found[0] + n * SECOND for n in range(len(found))]


def lateness() -> list[float]:
    """Seconds from each occurrence to the start of its job."""
    attempts = HistoryEntry.objects.filter(state=State.PROCESSING).select_related("job")
    return sorted(
        (datetime.fromisoformat(entry.data["started"]) - entry.job.occurrence).total_seconds()
        for entry in attempts
    )


@pytest.mark.alone
def test_two_hundred_at_one_second_and_three_servers(cluster: Start) -> None:
    for n in range(200):
        jobs.recurring(f"r{n}", functions.nothing, cron=NEVER_SOON, args=(n,))
    for _ in range(3):
        cluster()
    until(lambda: Server.objects.filter(beat__gte=1).count() == 3, 20)
    p95 = []
    while not p95 or (min(p95) >= 1 and len(p95) < 3):  # others may be using this machine
        p95.append(one_round())
    assert min(p95) < 1, "the floor; the goal is 0.5 s"


def one_round() -> float:
    """Let all 200 be due at one second; return by how many seconds 95 % had started."""
    Job.objects.all().delete()
    due = timezone.now().replace(microsecond=0) + 2 * SECOND
    RecurringJob.objects.update(next_run=due)
    wakeup.announce_due()

    until(lambda: Job.objects.filter(state=State.SUCCEEDED).count() >= 200, 20)

    time.sleep(1)
    made = Job.objects.values_list("recurring_job", "occurrence")
    assert len(made) == len(set(made)) == 200
    assert set(Job.objects.values_list("occurrence", flat=True)) == {due}
    late = lateness()
    created = (Job.objects.latest("created_at").created_at - due).total_seconds()
    told = f"created {created:.3f} s late, started: p50 {late[100]:.3f} s, p95 {late[190]:.3f} s"
    print(told)  # noqa: T201
    assert late[0] >= 0
    return late[190]


def test_killing_schedulers_again_and_again_loses_and_doubles_nothing(cluster: Start) -> None:
    names = [f"each-second-{n}" for n in range(5)]
    for name in names:
        jobs.recurring(name, functions.nothing, cron="* * * * * *", misfire="all")
    servers = [cluster() for _ in range(2)]
    until(lambda: Job.objects.exists(), 10)

    for _ in range(5):
        now = datetime.now(UTC)
        # Around the second, when they are at work.
        time.sleep((1_010_000 - now.microsecond) % 1_000_000 / 1e6)
        for server in servers:
            for helper in server.helpers:
                helper.kill()
        until(lambda: all(len(server.helpers) == 2 for server in servers))
    seen = Job.objects.count()
    until(lambda: Job.objects.count() >= seen + 10, 10)

    for name in names:
        assert gapless(occurrences(name)), servers[0].text


@pytest.mark.smoke
def test_a_killed_server_s_schedules_go_on_at_another(cluster: Start) -> None:
    jobs.recurring("each-second", functions.nothing, cron="* * * * * *")
    first, _second = cluster(), cluster()
    until(lambda: Job.objects.exists(), 10)
    first.signal_all(9)
    seen = Job.objects.count()

    until(lambda: Job.objects.filter(state=State.SUCCEEDED).count() >= seen + 3, 10)

    assert gapless(occurrences("each-second"))


@pytest.mark.alone
def test_a_paused_one_stops_and_a_resumed_one_goes_on_while_servers_run(cluster: Start) -> None:
    jobs.recurring("each-second", functions.nothing, cron="* * * * * *")
    cluster()
    until(lambda: Job.objects.exists(), 10)

    jobs.pause("each-second")
    paused_at = timezone.now()
    time.sleep(1.5)
    assert Job.objects.filter(created_at__gt=paused_at).count() == 0

    jobs.resume("each-second")
    resumed_at = timezone.now()
    until(lambda: Job.objects.filter(created_at__gt=resumed_at).exists(), 3)
    assert Job.objects.filter(occurrence__range=(paused_at, resumed_at)).count() == 0
