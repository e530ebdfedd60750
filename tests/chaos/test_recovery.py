"""How soon an interrupted job runs again, by what was killed."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import jobs
from jobs.models import HistoryEntry, Job
from jobs.models import Server as ServerRow
from jobs.states import State
from tests.cluster import Server, until

from . import checks, containers, functions, processes
from .figures import Record, at_most, exactly
from .journal import Start, nth_start

Cluster = Callable[..., Server]
SERVER_TIMEOUT = 4
NO_CONTAINERS = containers.unavailable()
needs_containers = pytest.mark.skipif(bool(NO_CONTAINERS), reason=f"unshare: {NO_CONTAINERS}")


def interrupted(journal: Path) -> tuple[Job, Start]:
    """Have a job run that takes long the first time."""
    job = jobs.enqueue(functions.first_time_slow, str(journal), 120)
    return job, nth_start(journal, job, 1)


def delay(journal: Path, job: Job, killed: float, seconds: float = 20) -> float:
    """Return how long after `killed` the job ran again, once it has succeeded."""
    again = nth_start(journal, job, 2, seconds)
    until(lambda: Job.objects.filter(pk=job.pk, state=State.SUCCEEDED).exists())
    return again.at - killed


@pytest.mark.alone
def test_after_the_death_of_a_worker_or_the_sentinel(
    cluster: Cluster, journal: Path, scale: Callable[..., Any], figure: Record
) -> None:
    server = cluster()
    for kind in ("worker", "sentinel"):
        delays = []
        for _ in range(scale(3, 20)):
            job, start = interrupted(journal)
            victims = [
                p for p in processes.find(server, kind) if kind != "worker" or p.pid == start.pid
            ]
            killed = time.time()
            victims[0].kill()
            delays.append(delay(journal, job, killed))
            job.refresh_from_db()
            assert job.crashes == (kind == "worker")
        figure.spread(2, f"SIGKILL of the {kind}", "job runs again", delays, "s", at_most(2))
    assert not checks.inconsistencies()


@pytest.mark.alone
def test_after_the_death_of_a_whole_server_beside_another_on_its_host(
    cluster: Cluster, journal: Path, scale: Callable[..., Any], figure: Record
) -> None:
    servers, delays = [cluster("--workers", "1"), cluster("--workers", "1")], []
    for _ in range(scale(2, 15)):
        job, start = interrupted(journal)
        victim = next(s for s in servers if start.pid in {p.pid for p in s.family})
        killed = time.time()
        processes.kill_all(victim)
        delays.append(delay(journal, job, killed))
        servers.remove(victim)
        servers.append(cluster("--workers", "1"))
    figure.spread(
        2,
        "SIGKILL of a whole server, another on its host",
        "job runs again",
        delays,
        "s",
        at_most(2),
    )


@pytest.mark.alone
def test_after_the_death_and_restart_of_the_only_server(
    cluster: Cluster, journal: Path, scale: Callable[..., Any], figure: Record
) -> None:
    server, delays = cluster(), []
    for _ in range(scale(2, 15)):
        job, _ = interrupted(journal)
        processes.kill_all(server)
        server = cluster(wait=False)
        up = until(lambda s=server: s.workers and time.time(), 20)  # Python and Django are loaded
        delays.append(delay(journal, job, up))
    figure.spread(
        2,
        "SIGKILL of the only server, restarted",
        "job runs again after the first worker's birth",
        delays,
        "s",
        at_most(2),
    )


@pytest.fixture
def container(tmp_path: Path, transactional_db: None) -> Iterator[Callable[..., Server]]:
    with ExitStack() as stack:

        def start(host: str, *args: str, **options: Any) -> Server:
            return stack.enter_context(containers.running(tmp_path, host, *args, **options))

        yield start


@needs_containers
def test_after_the_death_of_a_whole_server_on_another_host(
    container: Callable[..., Server],
    journal: Path,
    scale: Callable[..., Any],
    figure: Record,
) -> None:
    names, delays = iter(range(100)), []
    servers = [container(f"host-{next(names)}", "--workers", "1") for _ in range(2)]
    for _ in range(scale(1, 5)):
        job, _ = interrupted(journal)
        job.refresh_from_db()
        host = ServerRow.objects.get(name=job.server).host
        victim = next(server for server in servers if server.log.name.startswith(f"{host}-"))
        killed = time.time()
        victim.main.send_signal(signal.SIGKILL)
        delays.append(delay(journal, job, killed, 30))
        servers.remove(victim)
        servers.append(container(f"host-{next(names)}", "--workers", "1"))
    figure.spread(
        2,
        f"SIGKILL of a whole server, another on a second host (server timeout {SERVER_TIMEOUT} s)",
        "job runs again",
        delays,
        "s",
        at_most(SERVER_TIMEOUT + 5),
    )


@needs_containers
def test_two_containers_with_one_host_name_let_each_other_live(
    container: Callable[..., Server], journal: Path, scale: Callable[..., Any], figure: Record
) -> None:
    fault = "two containers with one host name and one process id"
    servers = [container("twin"), container("twin")]
    until(lambda: ServerRow.objects.count() == 2)
    assert len(set(ServerRow.objects.values_list("host", "pid"))) == 1
    beats = dict(ServerRow.objects.values_list("name", "beat"))
    end = time.monotonic() + scale(1.5, 8) * SERVER_TIMEOUT
    while time.monotonic() < end:
        jobs.enqueue(functions.first_time_slow, str(journal), 0.2)
        time.sleep(0.1)
    until(lambda: not checks.unfinished())
    rows = dict(ServerRow.objects.values_list("name", "beat"))
    figure(2, fault, "declared dead", len(beats.keys() - rows.keys()), "", exactly(0))
    assert all(rows[name] > beats[name] for name in beats)
    ran = HistoryEntry.objects.filter(state=State.PROCESSING).values_list("data", flat=True)
    assert {data["server"] for data in ran} == beats.keys(), "both worked"
    assert not any(word in s.text for s in servers for word in ("died", "given up", "recovered"))
