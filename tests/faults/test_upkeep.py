"""Pauses, draining and the health check, with real servers."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import jobs
from jobs.models import HistoryEntry, Job
from jobs.states import State
from tests import functions
from tests.cluster import Server as Cluster
from tests.cluster import until

Start = Callable[..., Cluster]


def began(journal: Path) -> list[float]:
    lines = journal.read_text().splitlines()
    return [float(line.split()[3]) for line in lines if line.startswith("began")]


def count(queue: str, state: State) -> int:
    return Job.objects.filter(queue=queue, state=state).count()


# Pauses


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
    back = HistoryEntry.objects.filter(reason="its queue was paused")
    assert not Job.objects.filter(queue="a", state=State.ENQUEUED, attempt__gt=0).exists()
    jobs.using(functions.slow, queue="a").enqueue(str(journal), 0.0)

    jobs.resume_queue("a")

    until(lambda: count("a", State.SUCCEEDED) == 401, 30)
    assert count("b", State.SUCCEEDED) == 400 or until(
        lambda: count("b", State.SUCCEEDED) == 400, 20
    )
    assert len(began(journal)) == 401, "each ran once"
    assert not back.exclude(state=State.ENQUEUED).exists()


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
    jobs.models.Queue.objects.filter(name="lost").delete()

    assert cluster("--drain", wait=False).process.wait(20) == 0

    assert len(journal.read_text().splitlines()) == 6
    assert not Job.objects.exclude(state=State.SUCCEEDED).exists()


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
