"""SIGKILL of exactly the process that is blocked, in each wait that it can block in."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

import jobs
from jobs.engine.sentinel import SHORT_LIFE_SECONDS
from jobs.models import Job
from jobs.models import Server as ServerRow
from jobs.states import State
from tests.cluster import Server, until

from . import checks, functions, locks, processes
from .figures import Record, at_most, exactly
from .journal import nth_start

Cluster = Callable[..., Server]
Blocked = Iterator[tuple[psutil.Process, Job | None]]
#: An outcome larger than a socket holds, and smaller than what is cut: whoever sends it waits for
#: the other end to read.
LARGE = 255_000


def succeeds(job: Job, seconds: float = 20) -> None:
    until(
        lambda: Job.objects.filter(pk=job.pk, state=State.SUCCEEDED).exists(),
        seconds,
        message=f"#{job.pk} is {Job.objects.get(pk=job.pk).state}",
    )


def sleeps(process: psutil.Process) -> bool:
    """Whether a process has been waiting for something for a while."""
    for _ in range(20):
        try:
            if process.status() != psutil.STATUS_SLEEPING:
                return False
        except psutil.NoSuchProcess:
            return False
        time.sleep(0.005)
    return True


def idle(kind: str) -> Callable[[Server, Path], Any]:
    @contextmanager
    def block(server: Server, journal: Path) -> Blocked:
        process = processes.one(server, kind)
        until(lambda: sleeps(process))
        yield process, None

    return block


def in_job(kind: str) -> Callable[[Server, Path], Any]:
    """While a job runs, which takes long when it runs for the first time."""

    @contextmanager
    def block(server: Server, journal: Path) -> Blocked:
        seconds = 1 if kind == "dispatcher" else 60  # who is not disturbed has to end by himself
        job = jobs.enqueue(functions.first_time_slow, str(journal), seconds)
        nth_start(journal, job, 1)
        yield processes.one(server, kind), job

    return block


@contextmanager
def sending(server: Server, journal: Path) -> Blocked:
    """The worker waits for the dispatcher to take an outcome."""
    worker, dispatcher = processes.one(server, "worker"), processes.one(server, "dispatcher")
    job = jobs.enqueue(functions.large_result, str(journal), LARGE, 0.3)
    nth_start(journal, job, 1)
    dispatcher.send_signal(signal.SIGSTOP)
    try:
        until(lambda: processes.is_blocked_in(worker, processes.SEND))
        yield worker, job
    finally:
        dispatcher.send_signal(signal.SIGCONT)


@contextmanager
def claiming(server: Server, journal: Path) -> Blocked:
    """The dispatcher waits in the transaction of a claim."""
    dispatcher = processes.one(server, "dispatcher")
    dispatcher.send_signal(signal.SIGSTOP)
    job = jobs.enqueue(functions.first_time_slow, str(journal), 0)
    with locks.history_held():
        dispatcher.send_signal(signal.SIGCONT)
        until(lambda: locks.somebody_waits(dispatcher))
        yield dispatcher, job


@contextmanager
def recording(server: Server, journal: Path) -> Blocked:
    """The dispatcher waits in the transaction that stores an outcome."""
    dispatcher = processes.one(server, "dispatcher")
    job = jobs.enqueue(functions.first_time_slow, str(journal), 0.3)
    nth_start(journal, job, 1)
    with locks.history_held():
        until(lambda: locks.somebody_waits(dispatcher))
        yield dispatcher, None


@contextmanager
def beating(server: Server, journal: Path) -> Blocked:
    """Housekeeping waits in the transaction of its heartbeat."""
    housekeeping = processes.one(server, "housekeeping")
    with locks.servers_held():
        until(lambda: locks.somebody_waits(housekeeping))
        yield housekeeping, None


CASES: list[tuple[str, str, Any]] = [
    ("an idle worker", "worker", idle("worker")),
    ("a worker in a job", "worker", in_job("worker")),
    ("a worker that sends an outcome", "worker", sending),
    ("the idle dispatcher", "dispatcher", idle("dispatcher")),
    ("the dispatcher while a job runs", "dispatcher", in_job("dispatcher")),
    ("the dispatcher in a claim", "dispatcher", claiming),
    ("the dispatcher in storing an outcome", "dispatcher", recording),
    ("idle housekeeping", "housekeeping", idle("housekeeping")),
    ("housekeeping in its heartbeat", "housekeeping", beating),
    ("the idle sentinel", "sentinel", idle("sentinel")),
    ("the sentinel while a job runs", "sentinel", in_job("sentinel")),
]
#: Whose death ends the run of a job, and whose death is that job's fault.
INTERRUPTS = {
    "a worker in a job",
    "a worker that sends an outcome",
    "the sentinel while a job runs",
}
CONVICTS = INTERRUPTS - {"the sentinel while a job runs"}


def workers_for(kind: str) -> str:
    """Return how many workers to have: where one of them is killed, no other may help out."""
    return "1" if kind == "worker" else "2"


@pytest.mark.alone
def test_after_the_death_of_a_blocked_process_work_goes_on_at_once(
    cluster: Cluster, journal: Path, scale: Callable[..., Any], figure: Record
) -> None:
    anew_for_each = scale(False, True)
    stops, wrongly_counted = [], 0
    server, workers = cluster("--workers", "1"), "1"
    for name, kind, block in CASES:
        if anew_for_each or workers_for(kind) != workers:
            stops.append(timed_stop(server))
            workers = workers_for(kind)
            server = cluster("--workers", workers)
        fault = f"SIGKILL of {name}"
        if kind in ("dispatcher", "housekeeping"):
            grow_up(server, kind)
        with block(server, journal) as (victim, job):
            victim.kill()
            killed = asked = time.time()
            until(lambda v=victim: not processes.lives(v))
        if name in INTERRUPTS:
            again = nth_start(journal, job, 2)
            figure(3, fault, "job runs again", again.at - killed, "s", at_most(2))
            succeeds(job)
            asked = time.time()
        following = jobs.enqueue(functions.first_time_slow, str(journal), 0)
        started = nth_start(journal, following, 1)
        figure(3, fault, "next job starts", started.at - asked, "s", at_most(1))
        until(lambda: not checks.unfinished())
        convicted = set(Job.objects.filter(crashes__gt=0).values_list("pk", "crashes"))
        due = {(job.pk, 1)} if name in CONVICTS else set()
        wrongly_counted += len(convicted ^ due)
        Job.objects.filter(pk__in=[pk for pk, _ in convicted]).update(crashes=0)
    stops.append(timed_stop(server))
    figure(
        3, "SIGKILL of each of these", "crashes counted wrongly", wrongly_counted, "", exactly(0)
    )
    figure(3, "SIGKILL of each of these", "slowest stop", max(stops), "s", at_most(5))
    assert set(Job.objects.values_list("state", flat=True)) == {State.SUCCEEDED}
    assert not checks.inconsistencies()


def grow_up(server: Server, kind: str) -> None:
    """Wait until a process is old enough: those that die at once are replaced ever more slowly."""
    process = processes.one(server, kind)
    until(lambda: processes.age(process) > SHORT_LIFE_SECONDS)


def timed_stop(server: Server) -> float:
    """Stop a server and return how long that took; nothing of it may be left."""
    family, began = server.family, time.monotonic()
    assert server.stop() == 0, server.text
    seconds = time.monotonic() - began
    until(lambda: not any(map(processes.lives, family)), 2, message=server.text)
    return seconds


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "while a job runs"])
def test_after_the_death_of_the_main_process_the_rest_ends_in_good_order(
    cluster: Cluster, journal: Path, figure: Record, busy: bool
) -> None:
    fault = f"SIGKILL of the main process alone, {'while a job runs' if busy else 'idle'}"
    server = cluster("--workers", "1")
    job = jobs.enqueue(functions.first_time_slow, str(journal), 0.5)
    nth_start(journal, job, 1)
    if not busy:
        succeeds(job)
    family = server.family[1:]
    server.main.kill()
    killed = time.monotonic()
    server.process.wait(5)
    until(lambda: not any(map(processes.lives, family)), 10)
    figure(3, fault, "all of it has ended after", time.monotonic() - killed, "s", at_most(5))
    job.refresh_from_db()
    assert (job.state, job.attempt) == (State.SUCCEEDED, 1)
    assert not ServerRow.objects.exists(), server.text
    assert not checks.inconsistencies()


PULSE = 2


@pytest.mark.alone
@pytest.mark.parametrize("kind", ["dispatcher", "housekeeping"])
def test_a_helper_that_hangs_is_replaced(
    cluster: Cluster, journal: Path, figure: Record, kind: str
) -> None:
    fault = f"SIGSTOP of {kind} alone (pulse timeout {PULSE} s)"
    server = cluster(jobs={"PULSE_TIMEOUT_SECONDS": PULSE})
    running = jobs.enqueue(functions.first_time_slow, str(journal), PULSE + 1)
    nth_start(journal, running, 1)
    victim = processes.one(server, kind)
    victim.send_signal(signal.SIGSTOP)
    stopped = time.time()
    jobs.enqueue_many(functions.nothing, [(i,) for i in range(100)])
    until(lambda: not processes.lives(victim) and processes.find(server, kind), PULSE + 10)
    figure(3, fault, "replaced after", time.time() - stopped, "s", at_most(PULSE + 2))
    asked = time.time()
    # Before the backlog, which takes a while on a slow machine.
    urgent = jobs.using(functions.first_time_slow, priority=100)
    started = nth_start(journal, urgent.enqueue(str(journal), 0), 1)
    figure(3, fault, "next job starts", started.at - asked, "s", at_most(1))
    until(lambda: not checks.unfinished())
    lost = Job.objects.exclude(state=State.SUCCEEDED).count()
    figure(3, fault, "lost", lost, "", exactly(0))
    assert not Job.objects.filter(crashes__gt=0).exists()
    running.refresh_from_db()
    assert running.attempt == 1, "it was not disturbed"
    assert not checks.inconsistencies()


@pytest.mark.alone
def test_a_worker_that_hangs_between_two_jobs_is_replaced(
    cluster: Cluster, journal: Path, figure: Record
) -> None:
    fault = f"SIGSTOP of an idle worker alone (pulse timeout {PULSE} s)"
    server = cluster("--workers", "1", jobs={"PULSE_TIMEOUT_SECONDS": PULSE})
    first = jobs.enqueue(functions.first_time_slow, str(journal), 0)
    nth_start(journal, first, 1)
    succeeds(first)
    victim = processes.one(server, "worker")
    victim.send_signal(signal.SIGSTOP)
    asked = time.time()
    job = jobs.enqueue(functions.first_time_slow, str(journal), 0)
    started = nth_start(journal, job, 1)
    figure(3, fault, "next job starts", started.at - asked, "s", at_most(PULSE + 2))
    succeeds(job)
    assert not processes.lives(victim)
    job.refresh_from_db()
    assert (job.attempt, job.crashes) == (1, 0)
    assert not checks.inconsistencies()


@pytest.mark.alone
def test_a_sentinel_that_was_stopped_goes_on(
    cluster: Cluster, journal: Path, figure: Record
) -> None:
    """Jobs go on meanwhile; the server stops beating, and is alone, so nobody gives it up."""
    fault = f"SIGSTOP of the sentinel alone (pulse timeout {PULSE} s), then SIGCONT"
    server = cluster(jobs={"PULSE_TIMEOUT_SECONDS": PULSE})
    sentinel = processes.one(server, "sentinel")
    sentinel.send_signal(signal.SIGSTOP)
    end = time.monotonic() + 2 * PULSE
    while time.monotonic() < end:
        jobs.enqueue(functions.write_row, 0, 0.1)
        time.sleep(0.1)
    sentinel.send_signal(signal.SIGCONT)
    asked = time.time()
    following = jobs.enqueue(functions.first_time_slow, str(journal), 0)
    started = nth_start(journal, following, 1)
    figure(3, fault, "next job starts", started.at - asked, "s", at_most(1))
    until(lambda: not checks.unfinished())
    lost = Job.objects.exclude(state=State.SUCCEEDED).count()
    figure(3, fault, "lost", lost, "", exactly(0))
    assert os.path.exists(f"/proc/{sentinel.pid}")
    assert server.stop() == 0
