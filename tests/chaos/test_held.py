"""Somebody forgets a transaction, under load."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection

import jobs
from jobs.models import Job
from jobs.states import State
from tests.cluster import Server as Cluster
from tests.cluster import until

from .figures import Record, at_least, shown
from .work import rate, repeatedly, runs, stamp

Start = Callable[..., Cluster]
Scale = Callable[[Any, Any], Any]


@contextmanager
def transaction_left_open() -> Iterator[None]:
    """Keep a transaction open and idle that has read and, where that stops nobody, written."""
    begun, over = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            connection.set_autocommit(False)
            if connection.vendor != "sqlite":  # there a writer stops all others, as documented
                Group.objects.create(name="held")
                Job.objects.exists()
            else:
                with connection.cursor() as cursor:
                    cursor.execute("BEGIN DEFERRED")
                    cursor.execute("SELECT count(*) FROM jobs_job").fetchall()
            begun.set()
            over.wait()
        finally:
            connection.rollback()
            connection.close()

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    assert begun.wait(10)
    try:
        yield
    finally:
        over.set()
        thread.join(10)


@pytest.mark.alone
@pytest.mark.timeout(900)
def test_an_idle_transaction_costs_little_of_the_rate(
    cluster: Start, journal: Path, figure: Record, scale: Scale
) -> None:
    window, held_for = scale((2.0, 6.0), (10.0, 60.0))
    held_for = float(os.environ.get("CHAOS_HELD_SECONDS", held_for))
    enqueued = Job.objects.filter(state=State.ENQUEUED)

    def top_up() -> None:
        if enqueued.count() < 4000:
            jobs.enqueue_many(stamp, [(str(journal), n) for n in range(2000)])

    server = cluster()
    with repeatedly(top_up, 0.05):
        until(lambda: journal.stat().st_size, message=server.text)
        time.sleep(window / 2)
        first = time.monotonic()
        time.sleep(window)
        with transaction_left_open():
            time.sleep(held_for - window)
            last = time.monotonic()
            time.sleep(window)
        ended = time.monotonic()
    found = runs(journal)
    before, during = rate(found, first, first + window), rate(found, last, ended)
    fault = "an idle transaction held under full load"
    figure(16, fault, "held for", held_for, "s", shown)
    figure(16, fault, "rate before", round(before), "jobs/s", shown)
    figure(16, fault, "rate in its last seconds", round(during), "jobs/s", shown)
    figure(16, fault, "rate kept", 100 * during / before, "%", at_least(scale(50, 70)))
