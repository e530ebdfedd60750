"""The numbers beside the navigation, computed once for all tabs that a process serves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from ..clock import DatabaseNow
from ..conf import conf
from ..health import database_now
from ..models import Job, Queue, RecurringJob, Server
from ..states import State
from .counting import BoundedCount, Count

#: So long one computation serves every page of the process, in seconds; tabs ask as often.
INTERVAL_SECONDS = 2.0


@dataclass(frozen=True)
class Snapshot:
    """How many there were of what, when."""

    states: dict[State, Count]
    retries: Count
    recurring: Count
    servers: int
    servers_silent: int
    queues: int
    queues_paused: int
    database_time: datetime
    application_time: datetime

    @property
    def clocks_differ_by(self) -> float:
        """Seconds by which the application's clock is ahead of the database's."""
        return (self.application_time - self.database_time).total_seconds()


#: What else a process keeps for a few seconds: called when an action may have changed it.
ALSO_FORGET: list[Callable[[], None]] = []

_lock = threading.Lock()
_last: dict[str, tuple[float, Snapshot]] = {}


def snapshot() -> Snapshot:
    """Return the numbers, at most INTERVAL_SECONDS old. Three or four statements, or none."""
    alias = conf.DATABASE
    with _lock:  # one tab asks, the others wait for its answer
        taken, known = _last.get(alias, (0.0, None))
        if known is None or time.monotonic() - taken >= INTERVAL_SECONDS:
            known = take()
            _last[alias] = time.monotonic(), known
        return known


def forget() -> None:
    """Let the next page compute its numbers: after an action, its effect must be seen."""
    with _lock:
        _last.clear()
    for also in ALSO_FORGET:
        also()


def take() -> Snapshot:
    """Compute the numbers."""
    jobs, found = Job.objects.using(conf.DATABASE), _of_jobs()
    now: datetime = found.get("now") or database_now()
    servers = list(Server.objects.using(conf.DATABASE).values_list("heartbeat_at", flat=True))
    live = sum((now - beat).total_seconds() < conf.SERVER_TIMEOUT_SECONDS for beat in servers)
    pauses = list(Queue.objects.using(jobs.db).values_list("paused_at", flat=True))
    recurring = RecurringJob.objects.using(jobs.db).count()
    return Snapshot(
        states={state: Count(found.get(str(state), 0)) for state in State},
        retries=Count(found.get("to_be_retried", 0)),
        recurring=Count(recurring),
        servers=live,
        servers_silent=len(servers) - live,
        queues=len(pauses),
        queues_paused=sum(moment is not None for moment in pauses),
        database_time=now,
        application_time=timezone.now(),
    )


def _of_jobs() -> dict[str, Any]:
    """Return all numbers of jobs by one statement, nothing without any job."""
    jobs = Job.objects.using(conf.DATABASE)
    counts = {str(state): BoundedCount(jobs.filter(state=state)) for state in State}
    counts["to_be_retried"] = BoundedCount(jobs.filter(state=State.SCHEDULED, retries__gt=0))
    # One row, whichever, to hang them on: no database but for one selects without a table.
    row = jobs.order_by("-pk").values(now=DatabaseNow(), **counts).first()
    return {**row} if row else {}
