"""The numbers beside the navigation, computed once for all tabs that a process serves."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

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
    #: Workers of the servers that live.
    workers: int = 0
    #: Name and last heartbeat of servers that give no sign of life, the longest silent first.
    silent: tuple[tuple[str, datetime], ...] = ()
    #: The queues that are paused, the longest paused first.
    paused: tuple[Queue, ...] = ()

    @property
    def clocks_differ_by(self) -> float:
        """Seconds by which the application's clock is ahead of the database's."""
        return (self.application_time - self.database_time).total_seconds()


T = TypeVar("T")

#: So many answers are kept; keys may hold what users choose, such as a period.
KEPT = 200


@dataclass
class _Answer:
    """What was computed last, when, and who may compute it anew."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    taken: float | None = None
    value: Any = None


#: What else a process keeps for a few seconds: called when an action may have changed it.
ALSO_FORGET: list[Callable[[], None]] = []

_lock = threading.Lock()
_answers: OrderedDict[Hashable, _Answer] = OrderedDict()


def shared(key: Hashable, seconds: float, compute: Callable[[], T]) -> T:
    """Return what `compute` returned for `key`, at most `seconds` ago, in this process.

    One request computes, others for the same key wait for its answer. What is returned is shared
    by all users: nobody may change it, and texts need their language in the key.
    """
    key = (conf.DATABASE, key)
    with _lock:
        answer = _answers.setdefault(key, _Answer())
        _answers.move_to_end(key)
        if len(_answers) > KEPT:
            _answers.popitem(last=False)
    with answer.lock:
        if answer.taken is None or time.monotonic() - answer.taken >= seconds:
            answer.value = compute()
            answer.taken = time.monotonic()
        value: T = answer.value
        return value


def snapshot() -> Snapshot:
    """Return the numbers, at most INTERVAL_SECONDS old. Three or four statements, or none."""
    return shared("snapshot", INTERVAL_SECONDS, take)


def forget() -> None:
    """Let the next page compute its numbers: after an action, its effect must be seen."""
    with _lock:
        _answers.clear()
    for also in ALSO_FORGET:
        also()


def take() -> Snapshot:
    """Compute the numbers."""
    jobs, found = Job.objects.using(conf.DATABASE), _of_jobs()
    now: datetime = found.get("now") or database_now()
    columns = ("name", "heartbeat_at", "workers")
    servers = list(Server.objects.using(conf.DATABASE).values_list(*columns))
    silent = [
        (name, beat)
        for name, beat, _workers in servers
        if (now - beat).total_seconds() >= conf.SERVER_TIMEOUT_SECONDS
    ]
    dead = {name for name, _beat in silent}
    queues = list(Queue.objects.using(jobs.db))
    paused = [queue for queue in queues if queue.paused_at]
    recurring = RecurringJob.objects.using(jobs.db).count()
    return Snapshot(
        states={state: Count(found.get(str(state), 0)) for state in State},
        retries=Count(found.get("to_be_retried", 0)),
        recurring=Count(recurring),
        servers=len(servers) - len(silent),
        servers_silent=len(silent),
        queues=len(queues),
        queues_paused=len(paused),
        database_time=now,
        application_time=timezone.now(),
        workers=sum(len(workers) for name, _beat, workers in servers if name not in dead),
        silent=tuple(sorted(silent, key=lambda server: server[1])),
        paused=tuple(sorted(paused, key=lambda queue: queue.paused_at or now)),
    )


def _of_jobs() -> dict[str, Any]:
    """Return all numbers of jobs by one statement, nothing without any job."""
    jobs = Job.objects.using(conf.DATABASE)
    counts = {str(state): BoundedCount(jobs.filter(state=state)) for state in State}
    counts["to_be_retried"] = BoundedCount(jobs.filter(state=State.SCHEDULED, retries__gt=0))
    # One row, whichever, to hang them on: no database but for one selects without a table.
    row = jobs.order_by("-pk").values(now=DatabaseNow(), **counts).first()
    return {**row} if row else {}
