"""Where a dispatcher gets its hints from."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection

from jobs import wakeup
from jobs.engine import wakeups
from tests.cluster import until

psycopg = pytest.importorskip("psycopg")

#: Of Django's connection, what a Listener needs.
postgres: Any = SimpleNamespace(
    alias="default", vendor="postgresql", get_connection_params=lambda: {"port": 1}
)


@pytest.fixture(autouse=True)
def _notify(monkeypatch):
    monkeypatch.setattr(wakeups, "can_notify", lambda alias: True)


@pytest.mark.parametrize("version", ["3.2", "3.2.13", "3.10.1", "4.0.0.dev1"])
def test_a_driver_that_can_be_asked_is_listened_to(monkeypatch, version):
    monkeypatch.setattr(psycopg, "__version__", version)

    assert isinstance(wakeups.for_connection(postgres), wakeups.Listener)


@pytest.mark.parametrize("version", ["3.0", "3.1.20", "what?"])
def test_an_older_driver_means_polling_and_is_named(monkeypatch, caplog, version):
    monkeypatch.setattr(psycopg, "__version__", version)
    caplog.set_level("INFO")

    assert type(wakeups.for_connection(postgres)) is wakeups.Poller
    assert "without psycopg 3.2 or newer" in caplog.text


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


def test_a_failing_listen_is_logged_once_a_minute(monkeypatch, caplog):
    clock = Clock()
    monkeypatch.setattr(wakeups, "time", clock)

    def refuse(**params: Any) -> None:
        raise psycopg.OperationalError("no route")

    monkeypatch.setattr(psycopg, "connect", refuse)
    caplog.set_level("INFO")
    listener = wakeups.Listener(postgres)

    for _ in range(119):
        listener.look()
        clock.now += 1

    assert caplog.text.count("LISTEN failed (no route)") == 2


def test_a_connection_that_is_cut_off_again_and_again_is_logged_once_a_minute(monkeypatch, caplog):
    clock = Clock()
    monkeypatch.setattr(wakeups, "time", clock)

    class Broken:
        def execute(self, statement: Any) -> None: ...

        def notifies(self, timeout: float) -> list[Any]:
            raise psycopg.OperationalError("cut off")

        def close(self) -> None: ...

    monkeypatch.setattr(psycopg, "connect", lambda **params: Broken())
    caplog.set_level("INFO")
    listener = wakeups.Listener(postgres)

    for _ in range(119):
        listener.look()
        clock.now += 1

    assert caplog.text.count("polling until it works") == 2


@pytest.mark.skipif(connection.vendor != "postgresql", reason="NOTIFY is PostgreSQL's")
@pytest.mark.django_db(transaction=True)
def test_a_notification_is_heard():
    listener = wakeups.Listener(connection)
    listener.look()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, 'mail')", [wakeups.channel()])
    try:
        hint = until(listener.look, 3)
    finally:
        listener.close()

    assert hint is not None
    assert (hint.sure, hint.queues) == (True, {"mail"})


@pytest.mark.skipif(connection.vendor != "postgresql", reason="NOTIFY is PostgreSQL's")
@pytest.mark.django_db(transaction=True)
def test_an_order_to_a_server_is_heard_and_is_no_job():
    listener = wakeups.Listener(connection)
    listener.look()
    wakeup.announce_orders()
    try:
        hint = until(listener.look, 3)
    finally:
        listener.close()

    assert hint is not None
    assert (hint.orders, hint.sure, hint.queues) == (True, False, frozenset())


# SQLite's counter of commits


@pytest.fixture
def watched(monkeypatch, tmp_path):
    """A watcher of a SQLite file, its clock, and a connection to write to the file."""
    clock = Clock()
    monkeypatch.setattr(wakeups, "time", clock)
    path = tmp_path / "jobs.sqlite3"
    database: Any = SimpleNamespace(get_connection_params=lambda: {"database": str(path)})
    watcher = wakeups.VersionWatcher(database)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("CREATE TABLE job (id)")
        yield watcher, clock, writer
    watcher.close()


def hints_during(seconds, watcher, clock):
    """Return (hints, looks) when nothing is called but what the watcher asks for."""
    hints = looks = 0
    until = clock.now + seconds
    while clock.now < until:
        hints += watcher.look() is not None
        looks += 1
        clock.now += watcher.seconds() + 1e-6
    return hints, looks


def test_a_commit_is_seen_at_the_next_look(watched):
    watcher, clock, writer = watched
    hints_during(2, watcher, clock)

    writer.execute("INSERT INTO job VALUES (1)")
    clock.now += watcher.seconds() + 1e-6

    assert watcher.look() == wakeups.Hint(work=True, due=True)
    assert watcher.look() is None


def test_who_sees_every_commit_polls_seldom(watched):
    watcher, clock, _ = watched
    hints_during(2, watcher, clock)

    hints, looks = hints_during(60, watcher, clock)

    assert hints == 60 / wakeups.SQLITE_POLL_SECONDS
    assert looks == pytest.approx(60 / wakeups.SQLITE_SECONDS, rel=0.01)


def test_without_the_counter_it_polls_as_often_as_elsewhere(watched, monkeypatch, settings):
    settings.JOBS = {**settings.JOBS, "POLL_SECONDS": 1}
    watcher, clock, _ = watched
    monkeypatch.setattr(watcher, "_read", lambda: None)
    hints_during(2, watcher, clock)

    hints, _ = hints_during(60, watcher, clock)

    assert hints == 60
