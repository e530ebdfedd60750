"""The database is restarted, cut off, silent or full while jobs come in steadily."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection, connections

import jobs
from jobs.models import HistoryEntry, Job
from jobs.states import State
from tests import functions
from tests.cluster import Server as Cluster
from tests.cluster import database_url, until
from tests.proxy import Proxy

from .figures import Record, at_least, at_most, exactly, shown
from .throwaway import MAX_CONNECTIONS, NotHere, Throwaway, default_database, server
from .work import Feed, Run, rate, repeatedly, runs, seconds_until_rate, session

Start = Callable[..., Cluster]
Scale = Callable[[Any, Any], Any]

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        connection.vendor == "sqlite", reason="a SQLite file has no server that could go away"
    ),
]

PER_SECOND = 50.0


@pytest.fixture(scope="module")
def own_server() -> Iterator[Throwaway]:
    try:
        with server(connection.vendor) as own:
            yield own
    except NotHere as reason:
        pytest.skip(f"not run: {reason}")


@pytest.fixture
def own_database(own_server: Throwaway, transactional_db: None) -> Iterator[Throwaway]:
    """A server of our own, with an empty database which is the default one for the test."""
    with own_server.connect() as admin:
        admin.cursor().execute("CREATE DATABASE chaos")
    try:
        with default_database(own_server.url("chaos")):
            yield own_server
    finally:
        admin = own_server.connect()
        force = " WITH (FORCE)" if connection.vendor == "postgresql" else ""
        admin.cursor().execute(f"DROP DATABASE chaos{force}")
        admin.close()


@pytest.fixture
def proxy(transactional_db: None) -> Iterator[Proxy]:
    """A proxy in front of the test's database, ended with its threads after the test."""
    settings = connection.settings_dict
    usual = {"postgresql": 5432, "mysql": 3306}[connection.vendor]
    made = Proxy((settings["HOST"] or "127.0.0.1", int(settings["PORT"] or usual)))
    yield made
    made.let_go()
    made.cut()


def family(cluster: Cluster) -> set[int]:
    return {process.pid for process in cluster.family}


class Faulted:
    """A cluster under a steady feed; tells how it was before, and comes back after, a fault."""

    def __init__(self, feed: Feed, cluster: Cluster, warm_up_seconds: float) -> None:
        self.feed, self.cluster = feed, cluster
        until(lambda: feed.journal.read_text(), 20)
        begin = time.monotonic()
        wait(warm_up_seconds)
        self.rate = rate(self.runs, begin, time.monotonic())
        self.main = (cluster.main.pid, cluster.sentinel)
        self.pids = family(cluster)
        self.began = time.monotonic()
        self.recoveries: list[float] = []

    @property
    def runs(self) -> list[Run]:
        return runs(self.feed.journal)

    def recovered(self) -> None:
        """Hear that the fault has just ended; wait until the rate is as it was."""
        self.ended = time.monotonic()

        def seconds() -> float:
            return seconds_until_rate(self.runs, self.ended, 0.95 * self.rate)

        until(lambda: seconds() < float("inf"), 60, message=self.cluster.text[-5000:])
        self.recoveries.append(seconds())

    def over(self) -> None:
        """Wait until all is as it was, and every job has ended well."""
        self.recovered()
        self.feed.stop()
        try:
            until(all_succeeded, 60)
        except AssertionError:
            raise AssertionError(f"{unfinished()}\n{self.cluster.text[-5000:]}") from None

    @property
    def restarts(self) -> int:
        """How many servers had to be started anew: by hand, or by themselves."""
        return int((self.cluster.main.pid, self.cluster.sentinel) != self.main)


def all_succeeded() -> bool:
    return not Job.objects.exclude(state=State.SUCCEEDED).exists()


def unfinished() -> list[dict[str, Any]]:
    """Return what there is to know of jobs that have not succeeded."""
    rows = Job.objects.exclude(state=State.SUCCEEDED)
    return [{**row, "history": _history(row["id"])} for row in rows.values()[:5]]


def _history(pk: int) -> list[tuple[Any, ...]]:
    return list(HistoryEntry.objects.filter(job=pk).values_list("state", "reason", "left_at"))


def wait(seconds: float) -> None:
    """Let a fault or a measurement last so long."""
    time.sleep(seconds)


def tell(figure: Record, number: int, fault: str, faulted: Faulted) -> None:
    feed, recovery = faulted.feed, max(faulted.recoveries)
    figure(number, fault, "jobs", len(feed.acknowledged), "", shown)
    figure(number, fault, "lost", feed.lost(), "", exactly(0))
    figure(number, fault, "executed again", feed.reruns(), "", shown)
    figure(number, fault, "95 % of the earlier rate after", recovery, "s", at_most(15))
    figure(number, fault, "restarts of the cluster needed", faulted.restarts, "", exactly(0))


def end_foreign_sessions(spared: set[int | None]) -> int:
    """Let the database end every session on this test's database but these and our own."""
    with connection.cursor() as cursor:
        own = session()
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                " AND backend_type = 'client backend'"
            )
        else:
            cursor.execute("SELECT id FROM information_schema.processlist WHERE db = DATABASE()")
        found = {int(row[0]) for row in cursor.fetchall()} - {own} - spared
        for pid in found:
            if connection.vendor == "postgresql":
                cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
            else:
                try:
                    cursor.execute(f"KILL CONNECTION {pid}")
                except OperationalError:  # gone by itself
                    continue
    return len(found)


def test_connections_cut_five_times_a_second(
    proxy: Proxy, cluster: Start, journal: Path, figure: Record, scale: Scale
) -> None:
    seconds = scale(6, 60)
    fault = "connections cut 5 times a second"
    started = cluster(env={"TEST_CLUSTER_DATABASE_URL": database_url(proxy.port)})
    with Feed(journal, PER_SECOND) as feed:
        faulted = Faulted(feed, started, scale(2, 10))
        cut: list[int] = []
        spared = {feed.connected_as, session()}

        def cut_all() -> None:
            # In turn by the server, which says so, and on the way, where nobody does.
            ours = len(cut) % 2
            cut.append(proxy.break_connections() if ours else end_foreign_sessions(spared))

        with repeatedly(cut_all, 0.2):
            wait(seconds)
        faulted.over()
    figure(6, fault, "connections cut", sum(cut), "", shown)
    tell(figure, 6, fault, faulted)
    kept = rate(faulted.runs, faulted.began, faulted.ended) / faulted.rate
    figure(6, fault, "rate meanwhile", 100 * kept, "%", shown)
    assert sum(cut) > 2 * seconds, "the fault took place"


def test_a_database_restarted(
    own_database: Throwaway, cluster: Start, journal: Path, figure: Record, scale: Scale
) -> None:
    # PostgreSQL waits for nobody on SIGINT; SIGKILL leaves a database what is in its logs.
    stop = signal.SIGINT if connection.vendor == "postgresql" else signal.SIGTERM
    started = cluster()
    with Feed(journal, PER_SECOND) as feed:
        faulted = Faulted(feed, started, scale(2, 10))
        for signum in [stop, signal.SIGKILL] * scale(1, 3):
            own_database.stop(signum)
            own_database.start()
            faulted.recovered()
        connections["default"].close()
        faulted.over()
    tell(figure, 6, "database stopped or killed, and started again", faulted)


class Log:
    """What a cluster has logged since a moment."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.since = cluster, len(cluster.text.splitlines())
        self.began = time.monotonic()

    def outages(self) -> list[str]:
        """The lines that say that the database is away."""
        lines = self.cluster.text.splitlines()[self.since :]
        return [line for line in lines if "does not answer" in line]

    def per_minute(self) -> float:
        """How many of them each process wrote in a minute; there are two that would."""
        minutes = max(1.0, (time.monotonic() - self.began) / 60)
        return round(len(self.outages()) / 2 / minutes, 1)


def cpu_seconds(cluster: Cluster) -> float:
    """The CPU time that the processes of a cluster have used so far."""
    return sum(sum(process.cpu_times()[:2]) for process in cluster.family)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("how", ["away", "silent"])
def test_a_database_away_while_a_long_job_runs(
    proxy: Proxy,
    cluster: Start,
    journal: Path,
    tmp_path: Path,
    figure: Record,
    scale: Scale,
    how: str,
) -> None:
    if how == "away":
        seconds = float(os.environ.get("CHAOS_OUTAGE_SECONDS", scale(6, 120)))
        fault = "database away while a long job runs"
    else:
        seconds = scale(6.0, 60.0)
        fault = "packets to the database dropped while a long job runs"
    started = cluster(env={"TEST_CLUSTER_DATABASE_URL": database_url(proxy.port)})
    long_job = tmp_path / "long job"
    long_job.touch()
    call = jobs.using(functions.slow, timeout=seconds + 60)  # the project's limit is 300 s
    call.enqueue(str(long_job), seconds + 4)
    until(long_job.read_text)
    with Feed(journal, PER_SECOND / 5) as feed:
        faulted = Faulted(feed, started, scale(2, 5))
        log, busy = Log(started), cpu_seconds(started)
        (proxy.cut if how == "away" else proxy.hold)()
        wait(seconds)
        # Of those that were there all the time; who was replaced took its own with it.
        busy = max(0.0, cpu_seconds(started) - busy)
        said = log.outages()
        lines = log.per_minute()
        (proxy.mend if how == "away" else proxy.let_go)()
        faulted.over()
    tell(figure, 7, fault, faulted)
    replaced = len(faulted.pids - family(started))
    figure(7, fault, "processes it replaced itself", replaced, "", shown)
    figure(7, fault, "so long", seconds, "s", shown)
    figure(
        7,
        fault,
        "restarts of the long job",
        long_job.read_text().count("began") - 1,
        "",
        exactly(0),
    )
    figure(7, fault, "log lines a minute and process", lines, "", at_most(1))
    figure(7, fault, "CPU of a core meanwhile", 100 * busy / seconds, "%", at_most(5))
    if how == "away":
        named = [line for line in said if re.search(r"refused|Can't connect|closed|Lost", line)]
        figure(7, fault, "log lines that name the cause", len(named), "", at_least(1))


def hold_all_connections(own: Throwaway) -> list[Any]:
    """Take connections until the server gives no more."""
    held: list[Any] = []
    while len(held) <= MAX_CONNECTIONS:
        try:
            held.append(own.connect("chaos"))
        except connection.Database.Error:
            return held
    raise AssertionError("the server has no limit")


def test_no_connection_left(
    own_database: Throwaway, cluster: Start, journal: Path, figure: Record, scale: Scale
) -> None:
    started = cluster()
    fault = "no connection left at the database"
    with Feed(journal, PER_SECOND) as feed:
        faulted = Faulted(feed, started, scale(2, 10))
        log = Log(started)
        held: list[Any] = []
        # The cluster's connections end, and somebody else is quicker.
        until(lambda: feed.connected_as)
        deadline = time.monotonic() + 20
        while not log.outages():
            held += hold_all_connections(own_database)
            end_foreign_sessions({feed.connected_as, *map(number_of, held)})
            held += hold_all_connections(own_database)
            assert time.monotonic() < deadline, started.text
        said = log.outages()
        wait(scale(2, 15))
        for taken in held:
            taken.close()
        faulted.over()
    tell(figure, 19, fault, faulted)
    named = [line for line in said if "too many" in line.lower()]
    figure(19, fault, "errors that name the cause", len(named), "", at_least(1))


def number_of(raw: Any) -> int:
    """Return the server's number for a DB-API connection."""
    return int(raw.info.backend_pid if connection.vendor == "postgresql" else raw.thread_id())
