"""Pauses, draining and the health check, with real servers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

import jobs
from jobs.models import HistoryEntry, Job, Queue, RecurringJob, Server
from jobs.states import State
from tests import functions
from tests.cluster import ROOT, database_url, until
from tests.cluster import Server as Cluster

Start = Callable[..., Cluster]


def began(journal: Path) -> list[float]:
    lines = journal.read_text().splitlines()
    return [float(line.split()[3]) for line in lines if line.startswith("began")]


def count(queue: str, state: State) -> int:
    return Job.objects.filter(queue=queue, state=state).count()


# Pauses


@pytest.mark.alone
def test_nothing_of_a_paused_queue_starts_while_others_go_on(
    cluster: Start, journal: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.touch()
    a, b = (jobs.using(functions.slow, queue=name) for name in "ab")
    a.enqueue_many([(str(journal), 0.01)] * 400)
    b.enqueue_many([(str(other), 0.01)] * 400)
    cluster()
    until(lambda: len(began(journal)) > 20)

    jobs.pause_queue("a", by="ann", reason="test")

    paused = time.time()
    until(lambda: count("a", State.PROCESSING) == 0, 2)
    assert time.time() - paused < 1.5, "seen within a second, and then only what ran went on"
    started, went_on = len(began(journal)), len(began(other))
    until(lambda: len(began(other)) > went_on + 50)
    assert len(began(journal)) == started < 400
    assert count("a", State.ENQUEUED) == 400 - started, "the rest waits"
    waiting = Job.objects.filter(queue="a", state=State.ENQUEUED)
    assert not waiting.filter(attempt__gt=0).exists(), "given back uncounted"
    jobs.using(functions.slow, queue="a").enqueue(str(journal), 0.0)

    jobs.resume_queue("a")

    until(lambda: count("a", State.SUCCEEDED) == 401, 30)
    until(lambda: count("b", State.SUCCEEDED) == 400, 20)
    assert len(began(journal)) == 401, "each ran once"


@pytest.mark.alone
def test_what_waits_behind_a_long_job_goes_back_when_its_queue_is_paused(
    cluster: Start, journal: Path
) -> None:
    cluster("--workers", "1", "--queues", "a,b")
    short = jobs.using(functions.nothing, queue="a")
    short.enqueue_many([(i,) for i in range(300)])
    until(lambda: count("a", State.SUCCEEDED) == 300)
    running = jobs.using(functions.slow, queue="a").enqueue(str(journal), 1.5)
    short.enqueue_many([(i,) for i in range(100)])
    until(lambda: began(journal))

    jobs.pause_queue("a")

    until(lambda: count("a", State.ENQUEUED) == 100, 1.4, message="given back while it runs")
    running.refresh_from_db()
    assert running.state == State.PROCESSING, "a running job is left alone"
    until(lambda: count("a", State.SUCCEEDED) == 301)
    assert count("a", State.ENQUEUED) == 100


@pytest.mark.alone
def test_a_resumed_queue_starts_soon(cluster: Start, journal: Path) -> None:
    jobs.using(functions.slow, queue="a").enqueue(str(journal), 0.0)
    jobs.pause_queue("a")
    done = jobs.using(functions.nothing, queue="b").enqueue()
    cluster()
    until(lambda: Job.objects.filter(pk=done.pk, state=State.SUCCEEDED).exists())
    assert not began(journal)

    jobs.resume_queue("a")

    resumed = time.time()
    until(lambda: began(journal), 3)
    assert began(journal)[0] - resumed < 1.3


# Draining


def test_drain_runs_exactly_what_is_due_and_exits_with_0(cluster: Start, journal: Path) -> None:
    jobs.enqueue_many(functions.nothing, [(i,) for i in range(700)])
    jobs.using(functions.slow, queue="b").enqueue(str(journal), 0.5)
    jobs.schedule(functions.nothing, run_after=timedelta(seconds=0.01))
    later = jobs.schedule(functions.nothing, run_after=timedelta(hours=1))
    retried = jobs.using(functions.fail, max_retries=1, retry_delays=[3600]).enqueue()
    left = jobs.using(functions.nothing, queue="paused").enqueue()
    jobs.pause_queue("paused")

    server = cluster("--drain", wait=False)

    assert server.process.wait(30) == 0, server.text
    rest = Job.objects.exclude(state=State.SUCCEEDED)
    assert dict(rest.values_list("id", "state")) == {
        later.pk: State.SCHEDULED,
        retried.pk: State.SCHEDULED,
        left.pk: State.ENQUEUED,
    }
    retried.refresh_from_db()
    assert retried.attempt == 1
    assert Job.objects.filter(state=State.SUCCEEDED).count() == 702
    assert "has worked off what was due" in server.text


def test_drain_with_queues_leaves_the_others(cluster: Start) -> None:
    for queue in "abc":
        jobs.using(functions.nothing, queue=queue).enqueue_many([(i,) for i in range(5)])

    assert cluster("--drain", "--queues", "a,c", wait=False).process.wait(20) == 0

    assert [count(queue, State.SUCCEEDED) for queue in "abc"] == [5, 0, 5]


def test_drain_of_nothing_ends_at_once(cluster: Start) -> None:
    assert cluster("--drain", wait=False).process.wait(10) == 0


def test_drain_also_runs_what_its_jobs_enqueue_and_what_a_lost_queue_row_hides(
    cluster: Start, journal: Path
) -> None:
    jobs.enqueue(functions.spawn, str(journal), 5)
    jobs.using(functions.nothing, queue="lost").enqueue()
    Queue.objects.filter(name="lost").delete()

    assert cluster("--drain", wait=False).process.wait(20) == 0

    assert len(journal.read_text().splitlines()) == 6
    assert not Job.objects.exclude(state=State.SUCCEEDED).exists()


def test_drain_runs_due_occurrences_and_children_that_were_left_behind(cluster: Start) -> None:
    jobs.recurring("yearly", functions.nothing, cron="0 0 1 1 *")
    RecurringJob.objects.update(next_run=timezone.now() - timedelta(seconds=5))
    parent = jobs.enqueue(functions.nothing)
    child = jobs.continue_with(parent, functions.nothing)
    Job.objects.filter(pk=parent.pk).update(state=State.SUCCEEDED)

    assert cluster("--drain", wait=False).process.wait(20) == 0

    assert Job.objects.get(recurring_job__name="yearly").state == State.SUCCEEDED
    child.refresh_from_db()
    assert child.state == State.SUCCEEDED


def test_drain_survives_the_death_of_its_dispatcher_and_of_a_worker(
    cluster: Start, journal: Path
) -> None:
    jobs.enqueue_many(functions.slow, [(str(journal), 0.02)] * 150)
    server = cluster("--drain")
    until(lambda: len(began(journal)) > 20)
    server.dispatcher.kill()
    until(lambda: len(began(journal)) > 60)
    server.workers[0].kill()

    assert server.process.wait(30) == 0, server.text
    assert count("default", State.SUCCEEDED) == 150


def test_drain_ends_though_another_server_still_runs_a_job(cluster: Start, journal: Path) -> None:
    cluster("--workers", "1", "--queues", "long", jobs={"SHUTDOWN_SECONDS": 0.2})
    jobs.using(functions.slow, queue="long").enqueue(str(journal), 20)
    until(lambda: began(journal))
    jobs.enqueue_many(functions.nothing, [(i,) for i in range(50)])

    assert cluster("--drain", wait=False).process.wait(15) == 0

    assert count("default", State.SUCCEEDED) == 50
    assert count("long", State.PROCESSING) == 1


# Health


def health(*args: str) -> tuple[int, dict[str, Any]]:
    """Run `manage.py jobs_health` as a watcher does; return its exit status and its line."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "manage.py", "jobs_health", *args],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "TEST_CLUSTER_DATABASE_URL": database_url(),
            "TEST_JOBS": json.dumps({"HEARTBEAT_SECONDS": 0.5, "SERVER_TIMEOUT_SECONDS": 2}),
        },
        stdout=subprocess.PIPE,
        text=True,
    )
    [line] = done.stdout.splitlines()
    return done.returncode, json.loads(line)


def test_health_sees_no_server_then_a_living_then_a_killed_one(cluster: Start) -> None:
    status, found = health()
    assert (status, found["problems"]) == (1, ["no server lives"])

    server = cluster(jobs={"HEARTBEAT_SECONDS": 0.5, "SERVER_TIMEOUT_SECONDS": 2})
    until(lambda: Server.objects.exists())
    status, found = health()
    assert (status, found["ok"], found["servers"]) == (0, True, 1), found

    server.signal_all(signal.SIGKILL)
    until(lambda: health()[0] == 1, 10)
    assert health()[1]["problems"] == ["no server lives; 1 gives no sign of life"]


def test_health_sees_a_job_that_nobody_works(cluster: Start) -> None:
    cluster("--queues", "other", jobs={"HEARTBEAT_SECONDS": 0.5, "SERVER_TIMEOUT_SECONDS": 2})
    until(lambda: Server.objects.exists())
    jobs.enqueue(functions.nothing)
    assert health()[0] == 0

    until(lambda: health("--max-age", "1")[0] == 1, 10)


# Pruning, while everything else goes on


@pytest.mark.long
def test_expired_jobs_go_while_the_server_beats_and_works(cluster: Start) -> None:
    jobs.using(functions.nothing, expires_after=0).enqueue_many([(i,) for i in range(3000)])
    kept = jobs.enqueue(functions.nothing)
    cluster(jobs={"HEARTBEAT_SECONDS": 0.3, "SERVER_TIMEOUT_SECONDS": 2})
    gaps, beats = [], {}

    def settled() -> bool:
        for beat, at in Server.objects.values_list("beat", "heartbeat_at"):
            if beats and beat not in beats:
                gaps.append((at - max(beats.values())).total_seconds())
            beats.setdefault(beat, at)
        return Job.objects.count() == 1 and not HistoryEntry.objects.exclude(job=kept).exists()

    until(settled, 30)
    assert Job.objects.get().pk == kept.pk
    assert gaps, "heartbeats were seen meanwhile"
    assert max(gaps) < 1.5
