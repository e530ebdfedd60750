"""Nothing is lost and nothing is wedged, whatever process is killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from django.db import transaction

import jobs
from jobs.models import Job, Server
from jobs.states import State
from tests import functions
from tests.cluster import Server as Cluster
from tests.cluster import until

Start = Callable[..., Cluster]


def began(journal: Path) -> list[str]:
    return [line for line in journal.read_text().splitlines() if line.startswith("began")]


def succeeded(count: int) -> bool:
    return Job.objects.filter(state=State.SUCCEEDED).count() == count


def times(journal: Path) -> list[float]:
    return [float(line.split()[3]) for line in began(journal)]


def test_a_job_runs_and_its_history_can_be_looked_up(cluster: Start) -> None:
    cluster()
    job = jobs.enqueue(functions.add, 1, b=2)
    until(lambda: succeeded(1))
    job.refresh_from_db()
    assert [entry.state for entry in job.history.all()] == [State.ENQUEUED, State.PROCESSING]
    assert job.result == 3


def test_a_delayed_job_runs_when_it_is_due_and_a_failing_one_is_retried(cluster: Start) -> None:
    cluster()
    jobs.schedule(functions.add, 1, run_after=timedelta(seconds=0.5))
    failing = jobs.using(functions.fail, max_retries=1, retry_delays=[0.1]).enqueue()
    until(lambda: succeeded(1) and Job.objects.filter(state=State.FAILED).exists())
    failing.refresh_from_db()
    assert (failing.attempt, failing.retries, failing.error_type) == (2, 1, "ValueError")


@pytest.mark.alone
@pytest.mark.smoke
def test_a_killed_worker_s_job_runs_again_within_two_seconds(cluster: Start, journal: Path) -> None:
    server = cluster()
    job = jobs.enqueue(functions.slow, str(journal), 2)
    until(lambda: began(journal))
    psutil.Process(int(began(journal)[0].split()[2])).kill()
    killed = time.time()
    until(lambda: len(began(journal)) == 2)
    assert times(journal)[1] - killed < 2
    until(lambda: succeeded(1))
    job.refresh_from_db()
    assert (job.crashes, job.attempt) == (1, 2), server.text


@pytest.mark.parametrize("victim", ["dispatcher", "housekeeping"])
def test_a_killed_helper_is_replaced_and_its_jobs_go_on(
    cluster: Start, journal: Path, victim: str
) -> None:
    server = cluster()
    jobs.enqueue(functions.slow, str(journal), 1)
    until(lambda: began(journal))
    jobs.enqueue_many(functions.nothing, [(i,) for i in range(500)])
    getattr(server, victim).kill()
    jobs.enqueue(functions.add, 1)
    until(lambda: succeeded(502), 20)
    assert len(began(journal)) == 1, "the running job was not disturbed"
    assert not Job.objects.filter(crashes__gt=0).exists()


def test_killing_the_dispatcher_again_and_again_loses_nothing(cluster: Start) -> None:
    server = cluster()
    for i in range(5):
        jobs.enqueue_many(functions.nothing, [(n,) for n in range(300)])
        until(lambda n=i: Job.objects.filter(state=State.SUCCEEDED).count() > n * 250, 30)
        helpers = server.helpers
        for process in helpers[1:]:
            process.kill()
    until(lambda: succeeded(1500), 40)


@pytest.mark.alone
def test_a_killed_sentinel_is_replaced_and_its_jobs_run_again(
    cluster: Start, journal: Path
) -> None:
    server = cluster()
    jobs.enqueue(functions.slow, str(journal), 1.5)
    until(lambda: began(journal))
    old = server.family[1:]
    assert server.sentinel is not None
    server.sentinel.kill()
    killed = time.time()
    until(lambda: len(began(journal)) == 2)
    assert times(journal)[1] - killed < 2
    until(lambda: succeeded(1))
    _, alive = psutil.wait_procs(old, 5)
    assert not alive
    job = Job.objects.get()
    assert job.crashes == 0, "nobody knows which job, if any, killed the server"


@pytest.mark.alone
@pytest.mark.smoke
def test_a_killed_group_s_job_runs_again_within_two_seconds_on_the_same_host(
    cluster: Start, journal: Path
) -> None:
    first, second = cluster(), cluster()
    jobs.enqueue(functions.slow, str(journal), 1.5)
    until(lambda: began(journal))
    worker = int(began(journal)[0].split()[2])
    victim = first if worker in {p.pid for p in first.family} else second
    victim.signal_all(signal.SIGKILL)
    killed = time.time()
    until(lambda: len(began(journal)) == 2)
    assert times(journal)[1] - killed < 2
    until(lambda: succeeded(1))


def test_a_job_that_kills_its_worker_is_set_aside_and_others_are_undisturbed(
    cluster: Start,
) -> None:
    cluster()
    poison = jobs.enqueue(functions.die)
    jobs.enqueue_many(functions.nothing, [(i,) for i in range(200)])
    until(lambda: Job.objects.filter(state=State.FAILED).exists() and succeeded(200), 20)
    poison.refresh_from_db()
    assert (poison.crashes, poison.attempt) == (3, 3)
    assert poison.reason.startswith("poisoned")
    assert Job.objects.filter(crashes__gt=0).count() == 1


def test_a_server_stopped_beyond_its_timeout_is_given_up_and_its_late_outcome_refused(
    cluster: Start, journal: Path
) -> None:
    first = cluster("--name", "first")
    job = jobs.enqueue(functions.slow, str(journal), 1)
    until(lambda: began(journal))
    # As from another host: nobody here may see that its process lives.
    Server.objects.update(boot_id="elsewhere")
    first.signal_all(signal.SIGSTOP)
    cluster("--name", "second")
    until(lambda: succeeded(1), 25)
    job.refresh_from_db()
    assert job.history.filter(state=State.PROCESSING).last().data["server"].startswith("second")
    first.signal_all(signal.SIGCONT)
    until(lambda: "is refused" in first.text or "given up by others" in first.text, 20)
    until(lambda: Server.objects.filter(name__startswith="first").exists(), 20)
    job.refresh_from_db()
    assert job.state == State.SUCCEEDED
    assert job.history.filter(state=State.PROCESSING).count() == 2


@pytest.mark.alone
def test_many_recovered_jobs_are_worked_off_without_pause(cluster: Start) -> None:
    """Each is claimed for an idle worker alone; that must not make a poll of each."""
    jobs.enqueue_many(functions.nothing, [(i,) for i in range(150)])
    Job.objects.update(recovered=True)
    cluster()
    until(lambda: succeeded(150), 6)
    assert not Job.objects.filter(recovered=True).exists()


@pytest.mark.smoke
def test_sigterm_gives_back_what_has_not_started_and_waits_for_what_runs(
    cluster: Start, journal: Path
) -> None:
    server = cluster("--workers", "1")
    # Short so far, so jobs are claimed ahead of the only worker; then one of them takes long.
    jobs.enqueue_many(functions.nothing, [(i,) for i in range(300)])
    until(lambda: succeeded(300))
    with transaction.atomic():
        running = jobs.enqueue(functions.slow, str(journal), 2)
        jobs.enqueue_many(functions.nothing, [(i,) for i in range(245)])
    until(lambda: began(journal))
    ahead = list(Job.objects.filter(state=State.PROCESSING).exclude(pk=running.pk))
    # Two messages are with the worker, the rest with the dispatcher.
    assert len(ahead) > 2, "nothing was claimed ahead"
    assert server.stop() == 0
    running.refresh_from_db()
    assert running.state == State.SUCCEEDED
    for job in ahead:
        job.refresh_from_db()
        assert (job.state, job.reason) == (State.ENQUEUED, "its server was stopped")
        assert (job.attempt, job.claim_token, job.server) == (0, "", "")
    assert not Server.objects.exists()


def test_a_second_signal_stops_at_once_and_gives_the_running_job_back_uncounted(
    cluster: Start, journal: Path
) -> None:
    server = cluster("--workers", "1")
    job = jobs.enqueue(functions.slow, str(journal), 60)
    until(lambda: began(journal))
    server.process.send_signal(signal.SIGTERM)
    until(lambda: "stops" in server.text)
    assert server.stop(10) == 0
    job.refresh_from_db()
    assert (job.state, job.crashes, job.retries) == (State.ENQUEUED, 0, 0)


def test_a_stop_gives_running_jobs_back_after_the_time_allowed(
    cluster: Start, journal: Path
) -> None:
    server = cluster(jobs={"SHUTDOWN_SECONDS": 0.5})
    job = jobs.enqueue(functions.slow, str(journal), 60)
    until(lambda: began(journal))
    assert server.stop(10) == 0
    job.refresh_from_db()
    assert (job.state, job.crashes) == (State.ENQUEUED, 0)


@pytest.mark.alone
def test_jobs_behind_a_long_one_are_taken_back(cluster: Start, journal: Path) -> None:
    cluster("--workers", "2")
    jobs.enqueue_many(functions.nothing, [(i,) for i in range(300)])
    until(lambda: succeeded(300))
    # Short so far, so several travel in one message; then one of them takes long.
    long = jobs.enqueue(functions.slow, str(journal), 4)
    jobs.enqueue_many(functions.nothing, [(i,) for i in range(300)])
    until(lambda: succeeded(600), 3.5)
    jobs.delete(long)  # or the test would have to wait for its end


def test_a_server_works_only_its_queues_in_their_order(cluster: Start, journal: Path) -> None:
    def enqueue(queue: str) -> list[str]:
        slow = jobs.using(functions.slow, queue=queue)
        return [str(slow.enqueue(str(journal), 0.01).pk) for _ in range(3)]

    late, other, first = enqueue("b"), enqueue("c"), enqueue("a")
    cluster("--queues", "a,b", "--workers", "1")
    until(lambda: succeeded(6))
    assert [line.split()[1] for line in began(journal)] == first + late
    assert set(Job.objects.filter(pk__in=other).values_list("state", flat=True)) == {"enqueued"}


def test_nothing_stays_behind_after_a_stop(cluster: Start) -> None:
    server = cluster()
    family = server.family
    assert server.stop() == 0
    _, alive = psutil.wait_procs(family, 5)
    assert not alive
    assert os.getpid() not in {p.pid for p in family}
