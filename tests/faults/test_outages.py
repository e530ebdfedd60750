"""The database, the mail server or the code goes away for a while, and everything goes on."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connection

import jobs
from accounts.forms import SignUpForm
from jobs.models import Job
from jobs.states import State
from tests import functions
from tests.cluster import Server as Cluster
from tests.cluster import database_url, until
from tests.proxy import Proxy

Start = Callable[..., Cluster]
#: As long as the database stays away; the rule must hold for a minute.
AWAY_SECONDS = 60


@pytest.mark.long
def test_a_database_away_for_a_minute_costs_nothing_but_time(cluster: Start, journal: Path) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("a SQLite file has no server that could go away")
    settings = connection.settings_dict
    proxy = Proxy((settings["HOST"] or "127.0.0.1", int(settings["PORT"] or 5432)))
    server = cluster(env={"TEST_CLUSTER_DATABASE_URL": database_url(proxy.port)})
    jobs.enqueue(functions.slow, str(journal), 2)
    until(lambda: "began" in journal.read_text())
    proxy.cut()
    jobs.enqueue_many(functions.nothing, [(i,) for i in range(50)])
    busy = sum(sum(p.cpu_times()[:2]) for p in server.family)
    pids = {p.pid for p in server.family}
    lines = len(server.text.splitlines())
    deadline = time.monotonic() + AWAY_SECONDS
    until(lambda: time.monotonic() > deadline, AWAY_SECONDS + 5)
    said = server.text.splitlines()[lines:]
    spent = sum(sum(p.cpu_times()[:2]) for p in server.family) - busy
    proxy.mend()
    until(lambda: Job.objects.filter(state=State.SUCCEEDED).count() == 51, 20)
    assert journal.read_text().count("began") == 1, "the running job's outcome was kept"
    assert pids == {p.pid for p in server.family}, server.text
    errors = [line for line in said if "does not answer" in line]
    assert 1 <= len(errors) <= 4, "about one line a minute and process"
    assert spent < 0.05 * AWAY_SECONDS, "no spinning"


def test_broken_connections_are_replaced(cluster: Start) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("pg_terminate_backend is PostgreSQL's")
    cluster()
    for _ in range(10):
        jobs.enqueue_many(functions.nothing, [(i,) for i in range(100)])
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
    until(lambda: Job.objects.filter(state=State.SUCCEEDED).count() == 1000, 30)


def test_a_function_gone_by_the_time_it_runs_is_tried_again_and_others_go_on(
    cluster: Start,
) -> None:
    lost = jobs.enqueue(functions.nothing, 1)
    Job.objects.update(func="tests.functions.gone")
    cluster(jobs={"MISSING_FUNCTION_RETRY_SECONDS": 0.3, "MISSING_FUNCTION_FAIL_SECONDS": 1.5})
    jobs.enqueue(functions.nothing, 2)
    until(lambda: Job.objects.filter(state=State.SUCCEEDED).exists())
    until(lambda: Job.objects.filter(state=State.FAILED).exists())
    lost.refresh_from_db()
    assert (lost.retries, lost.crashes) == (0, 0)
    assert "can't be imported" in lost.reason
    assert lost.history.filter(state=State.SCHEDULED).count() >= 2


class MailServer:
    """The least of SMTP that takes a mail; keeps what it got."""

    def __init__(self, port: int) -> None:
        self.mails: list[str] = []
        self._server = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            with client, client.makefile("rwb") as stream:
                self._talk(stream)

    def _talk(self, stream) -> None:
        def say(line: str) -> None:
            stream.write(line.encode() + b"\r\n")
            stream.flush()

        say("220 here")
        while line := stream.readline().decode().strip():
            verb = line.split()[0].upper()
            if verb == "DATA":
                say("354 go on")
                lines = []
                while (text := stream.readline()) != b".\r\n":
                    lines.append(text.decode())
                self.mails.append("".join(lines))
                say("250 taken")
            elif verb == "QUIT":
                say("221 bye")
                return
            else:
                say("250 ok")

    def close(self) -> None:
        self._server.close()


@contextmanager
def mail_server(port: int) -> Iterator[MailServer]:
    server = MailServer(port)
    try:
        yield server
    finally:
        server.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def test_a_mail_server_down_then_up_gets_the_welcome_mail_once_by_a_retry(cluster: Start) -> None:
    port = free_port()
    cluster(jobs={"RETRY_DELAYS": [0.3]}, env={"TEST_EMAIL_URL": f"smtp://127.0.0.1:{port}"})
    form = SignUpForm({"email": "ann@example.com", "name": "Ann", "password": "correct-horse-9"})
    assert form.is_valid(), form.errors
    assert form.sign_up() is not None
    mails = Job.objects.filter(func="accounts.tasks.send_welcome_email")
    until(lambda: mails.filter(retries__gte=1).exists())
    with mail_server(port) as server:
        until(lambda: mails.filter(state=State.SUCCEEDED).exists())
        assert len(server.mails) == 1
        assert "Message-ID: <welcome." in server.mails[0]


def test_a_worker_holds_no_socket_but_its_own(cluster: Start) -> None:
    """Else a sibling that is killed would give nobody an end of file."""
    for worker in cluster("--workers", "4").workers:
        folder = Path(f"/proc/{worker.pid}/fd")
        links = [os.readlink(entry) for entry in folder.iterdir()]
        assert sum(link.startswith("socket:") for link in links) <= 2
