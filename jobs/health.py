"""Whether jobs are being worked: what `manage.py jobs_health` says."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models import Max
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from .clock import DatabaseNow
from .conf import conf
from .models import Job, Server
from .queues import names_in_use, not_paused, paused
from .states import State
from .transitions import due_since

#: How old the oldest due job may be, in seconds.
MAX_AGE_SECONDS = 60.0
#: Jobs are counted up to this.
COUNT_LIMIT = 10_000
#: In each queue and priority, the age is that of the oldest of so many jobs by due time.
PROBE = 20


def report(max_age: float = MAX_AGE_SECONDS) -> dict[str, Any]:
    """Return how the servers and queues are, by the database's clock, as plain values.

    `ok`: whether there is a living server and no due job has waited longer than `max_age`
    seconds; `problems`: what is wrong, in words; `servers`: how many live (a heartbeat younger
    than SERVER_TIMEOUT_SECONDS); `oldest_due_seconds`: how long the oldest job has waited that
    could be started (paused queues left out), None without one; then how many jobs are in each
    state that is not good and over, at most 10,000 of each (`counted_up_to`). Every statement
    reads a bounded number of rows of an index. Raises django.db.Error when the database does not
    answer.
    """
    now = database_now()
    live, dead = _servers(now)
    age = oldest_due_seconds(now)
    problems = []
    if not live:
        problems.append(
            ngettext(
                "no server lives; %(count)d gives no sign of life",
                "no server lives; %(count)d give no sign of life",
                dead,
            )
            % {"count": dead}
            if dead
            else _("no server lives")
        )
    if age is not None and age > max_age:
        problems.append(
            _("a job that is due has waited for %(age).0f s, longer than %(max).0f s")
            % {"age": age, "max": max_age}
        )
    return {
        "ok": not problems,
        "problems": problems,
        "servers": live,
        "servers_silent": dead,
        "oldest_due_seconds": None if age is None else round(age, 3),
        **{str(state): _count(state) for state in _COUNTED},
        "queues_paused": sorted(paused()),
        "counted_up_to": COUNT_LIMIT,
    }


_COUNTED = (State.ENQUEUED, State.SCHEDULED, State.PROCESSING, State.FAILED, State.AWAITING)


def database_now() -> datetime:
    """Return the time by the database's clock."""
    # An aggregate gives one row whatever the table holds.
    servers = Server.objects.using(conf.DATABASE)
    now: datetime = servers.aggregate(now=Coalesce(Max(DatabaseNow()), DatabaseNow()))["now"]
    return now


def _servers(now: datetime) -> tuple[int, int]:
    """Return how many servers live and how many give no sign of life."""
    beats = Server.objects.using(conf.DATABASE).values_list("heartbeat_at", flat=True)
    ages = [(now - beat).total_seconds() for beat in beats]
    live = sum(age < conf.SERVER_TIMEOUT_SECONDS for age in ages)
    return live, len(ages) - live


def oldest_due_seconds(now: datetime) -> float | None:
    """Return how long the oldest job has waited that could be started, None without one.

    That is an enqueued one whose queue is not paused, or a scheduled one that is past due.
    `now`: by the database's clock.
    """
    since = list(_due_moments(now))
    return (now - min(since)).total_seconds() if since else None


def _due_moments(now: datetime) -> Iterable[datetime]:
    jobs = Job.objects.using(conf.DATABASE)
    scheduled = jobs.filter(state=State.SCHEDULED, run_at__lte=now).order_by("run_at", "id")
    yield from scheduled.values_list("run_at", flat=True)[:1]
    for queue in not_paused(names_in_use()):
        for moment in _enqueued_since(queue):
            yield min(moment, now)  # SQLite's clock has milliseconds only, and may seem behind


def _enqueued_since(queue: str) -> Iterable[datetime]:
    """Yield since when the longest waiting jobs of `queue` have been due.

    Hops along the claim index from priority to priority: the oldest of all may stand behind a
    million jobs of larger priority.
    """
    enqueued = Job.objects.using(conf.DATABASE).claimable(queue)
    columns = ("priority", "run_at", "reason", "state_changed_at")
    rest = enqueued
    while rows := list(rest.values_list(*columns)[:1]):
        priority = rows[0][0]
        first = enqueued.filter(priority=priority).values_list(*columns)[:PROBE]
        for _priority, run_at, reason, changed_at in first:
            yield due_since(run_at, reason, changed_at)
        rest = enqueued.filter(priority__lt=priority)


def _count(state: State) -> int:
    return Job.objects.using(conf.DATABASE).filter(state=state)[:COUNT_LIMIT].count()
