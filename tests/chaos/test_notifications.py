"""Notifications are lost, or come in floods and mean nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from jobs import wakeup
from jobs.wakeup import DUE_CHANGED
from tests.cluster import Server as Cluster
from tests.cluster import until

from .figures import Record, at_most, quantile, shown
from .work import Feed, repeatedly, runs

Start = Callable[..., Cluster]
Scale = Callable[[Any, Any], Any]
pytestmark = [pytest.mark.timeout(300), pytest.mark.alone]

POLL_SECONDS = 1.0
#: A claim and the start of a job take their own time, after the poll.
START_SECONDS = 0.05
NOTIFIES = connection.vendor == "postgresql"


def delays(feed: Feed) -> list[float]:
    """Return the seconds from each commit to its job's start."""
    began = {run.number: run.at for run in runs(feed.journal)}
    return [began[number] - at for number, at in feed.acknowledged.items()]


def tell(figure: Record, fault: str, feed: Feed) -> None:
    found = delays(feed)
    figure(15, fault, "start p50", quantile(found, 0.5), "s", shown)
    figure(
        15, fault, "start p99", quantile(found, 0.99), "s", at_most(POLL_SECONDS + START_SECONDS)
    )


@pytest.fixture
def deaf_server(cluster: Start, settings: Any) -> Cluster:
    """A server that listens, but whose clients don't notify it."""
    settings.JOBS = {**settings.JOBS, "NOTIFY": False}
    return cluster(jobs={"POLL_SECONDS": POLL_SECONDS})


def test_all_notifications_are_dropped(
    deaf_server: Cluster, journal: Path, figure: Record, scale: Scale
) -> None:
    with Feed(journal, 13) as feed:
        time.sleep(scale(5, 20))
    until(lambda: not feed.lost(), message=deaf_server.text)
    tell(figure, "no notifications: all dropped, or none on this database", feed)


@pytest.mark.skipif(not NOTIFIES, reason="only PostgreSQL has notifications")
def test_a_flood_of_stale_notifications(
    deaf_server: Cluster, journal: Path, figure: Record, scale: Scale
) -> None:
    sent = 0

    def flood() -> None:
        nonlocal sent
        with connection.cursor() as cursor:
            for queue in ["default", "no such queue", DUE_CHANGED] * 20:
                cursor.execute("SELECT pg_notify(%s, %s)", [wakeup.channel(), queue])
                sent += 1

    began, busy = time.monotonic(), sum(deaf_server.dispatcher.cpu_times()[:2])
    with repeatedly(flood, 0.001), Feed(journal, 13) as feed:
        time.sleep(scale(4, 20))
    seconds = time.monotonic() - began
    busy = sum(deaf_server.dispatcher.cpu_times()[:2]) - busy
    until(lambda: not feed.lost(), message=deaf_server.text)
    fault = "a flood of stale notifications"
    figure(15, fault, "notifications a second", round(sent / seconds), "", shown)
    figure(15, fault, "CPU of the dispatcher, of a core", 100 * busy / seconds, "%", shown)
    tell(figure, fault, feed)
    assert sent > 100 * seconds, "it was a flood"
    assert threading.active_count() < 20
