"""What needs somebody's attention now: facts, read by bounded queries, and their sentences."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q
from django.urls import NoReverseMatch
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from .. import health
from ..conf import conf
from ..models import Job, Queue, RecurringJob, Server
from ..states import State
from ..transitions import due_since
from . import frame, metrics, words
from .counting import BoundedCount, Count
from .pages import Page

#: A job that waits longer is worth a line, in seconds.
WAIT_SECONDS = health.MAX_AGE_SECONDS
#: A recurring job that is paused for longer may have been forgotten.
PAUSED_DAYS = 7
#: So many jobs to be retried are a pile.
MANY_RETRIES = 100
#: Lines of one kind; more become a number.
LINES = 3
#: So many paused queues are asked for their jobs.
PAUSED = 20
#: The rows that are looked at for errors, long waits and missing functions, newest or due first.
FAILURES, WAITING, DUE = 1000, 200, 500
#: How old the groups of errors may be, in seconds.
GROUP_SECONDS = 10.0


@dataclass(frozen=True)
class Line:
    """One thing that needs attention, and where to do something about it."""

    id: str
    tone: str
    icon: str
    title: str
    text: str
    url: str
    link: str


@dataclass(frozen=True)
class Group:
    """Failed jobs of the last day with the same error."""

    error: str
    key: str
    func: str
    count: int
    first: datetime
    last: datetime


@dataclass(frozen=True)
class Facts:
    """What was found, in no language."""

    servers: list[tuple[str, datetime, int]] = field(default_factory=list)
    paused: list[tuple[Any, int]] = field(default_factory=list)
    oldest: tuple[str, float] | None = None
    groups: list[Group] = field(default_factory=list)
    #: Whether there are more failed jobs of the last day than were looked at.
    more_failures: bool = False
    recurring: list[Any] = field(default_factory=list)
    missing: dict[str, int] = field(default_factory=dict)


def facts() -> Facts:
    """Return what was found; at most five statements, mostly none."""
    return metrics.shared("attention", metrics.INTERVAL_SECONDS, _facts)


def _facts() -> Facts:
    numbers = metrics.snapshot()
    now, states = numbers.database_time, numbers.states
    silent, paused = numbers.silent[:LINES], numbers.paused[:PAUSED]
    counts = _counts([name for name, _beat in silent], [queue.name for queue in paused])
    groups, more = metrics.shared(
        "failures", GROUP_SECONDS, lambda: _groups(now) if states[State.FAILED] else ([], False)
    )
    return Facts(
        servers=[(name, beat, counts["held", name]) for name, beat in silent],
        paused=[(queue, found) for queue in paused if (found := counts["queue", queue.name])],
        oldest=_oldest(now, {queue.name for queue in numbers.paused})
        if states[State.ENQUEUED]
        else None,
        groups=groups,
        more_failures=more,
        recurring=_recurring(now) if numbers.recurring else [],
        missing=_missing(now) if states[State.SCHEDULED] else {},
    )


def _counts(servers: list[str], queues: list[str]) -> dict[tuple[str, str], int]:
    """Return how many jobs silent servers hold and paused queues have, by one statement."""
    jobs = Job.objects.using(conf.DATABASE)
    wanted: dict[tuple[str, str], Any] = {
        ("held", name): jobs.filter(server=name, state=State.PROCESSING) for name in servers
    }
    for name in queues:
        wanted["queue", name] = jobs.filter(queue=name, state=State.ENQUEUED)
    if not wanted:
        return {}
    columns = {f"n{number}": BoundedCount(rows) for number, rows in enumerate(wanted.values())}
    found = jobs.order_by("-pk").values(**columns).first() or dict.fromkeys(columns, 0)
    return dict(zip(wanted, (found[column] for column in columns), strict=True))


def _oldest(now: datetime, paused: set[str]) -> tuple[str, float] | None:
    """Return the queue and wait in seconds of the job that waits longest in no paused queue.

    Looks at those that were enqueued first. If all of them are in paused queues, it asks each
    queue for its oldest.
    """
    jobs = Job.objects.using(conf.DATABASE).filter(state=State.ENQUEUED)
    rows = list(
        jobs.order_by("state_changed_at", "id").values_list(
            "queue", "run_at", "reason", "state_changed_at"
        )[:WAITING]
    )
    waits = [
        ((now - due_since(run_at, reason, since)).total_seconds(), queue)
        for queue, run_at, reason, since in rows
        if queue not in paused
    ]
    if waits:
        seconds, queue = max(waits)
        return queue, max(seconds, 0.0)
    age = health.oldest_due_seconds(now) if len(rows) == WAITING else None
    return None if age is None else ("", age)


def _groups(now: datetime) -> tuple[list[Group], bool]:
    """Return the failed jobs of the last day by error, the largest group first."""
    jobs = Job.objects.using(conf.DATABASE).filter(
        state=State.FAILED, state_changed_at__gte=now - timedelta(days=1)
    )
    rows = list(
        jobs.order_by("-state_changed_at", "-id").values_list(
            "error_key", "error_type", "func", "state_changed_at"
        )[: FAILURES + 1]
    )
    found: dict[tuple[str, str], Group] = {}
    for key, error, func, moment in rows[:FAILURES]:
        known = found.get((key, error))
        last, count = (known.last, known.count) if known else (moment, 0)
        func = known.func if known else func
        found[key, error] = Group(error, key, func, count + 1, moment, last)
    return sorted(found.values(), key=lambda group: -group.count), len(rows) > FAILURES


def _recurring(now: datetime) -> list[Any]:
    """Return the recurring jobs with an error or a long pause, those with an error first."""
    rows = RecurringJob.objects.using(conf.DATABASE).filter(
        ~Q(error="") | Q(paused_at__lt=now - timedelta(days=PAUSED_DAYS))
    )
    wanted = rows.only("id", "name", "error", "paused_at", "paused_by", "paused_reason")
    return sorted(wanted[:50], key=lambda row: (not row.error, row.name))


def _missing(now: datetime) -> dict[str, int]:
    """Return the functions that workers can't import, and for how many of the jobs due next.

    Such jobs are tried again soon, so they are among those.
    """
    until = now + timedelta(seconds=conf.MISSING_FUNCTION_RETRY_SECONDS)
    rows = Job.objects.using(conf.DATABASE).filter(state=State.SCHEDULED, run_at__lte=until)
    due = rows.order_by("run_at", "id").values_list("func", "missing_since")[:DUE]
    return dict(Tally(func for func, since in due if since is not None))


def lines(page: Page) -> list[Line]:
    """Return what needs attention, the worst first, in the user's language and permissions."""
    return [*_of_servers(page), *_of_jobs(page), *_of_queues(page), *_of_recurring(page)]


def _of_servers(page: Page) -> Iterator[Line]:
    numbers, found = metrics.snapshot(), facts()
    url = _url(page, Server, "server_changelist")
    if not numbers.servers:
        waiting = numbers.states[State.ENQUEUED]
        text = _("nothing will be processed; %(jobs)s waiting") % {"jobs": _jobs(waiting)}
        yield Line("no-server", "danger", "warn", _("No server runs"), text, url, _("Servers"))
    for name, beat, held in found.servers:
        text = _("no heartbeat for %(time)s, holds %(jobs)s") % {
            "time": words.duration((numbers.database_time - beat).total_seconds()),
            "jobs": _jobs(Count(held)),
        }
        title = _("%(server)s is silent") % {"server": name}
        yield Line(f"silent-{name}", "danger", "warn", title, text, url, _("Servers"))
    ahead = numbers.clocks_differ_by
    if abs(ahead) > frame.CLOCK_WARNING_SECONDS:
        values = {"time": words.duration(abs(ahead))}
        title = _("Clocks differ by %(time)s") % values
        text = (
            _("this application's is ahead of the database's: due times are judged by the latter")
            if ahead > 0
            else _(
                "this application's is behind the database's: due times are judged by the latter"
            )
        )
        yield Line("clocks", "warning", "scheduled", title, text, url, _("Servers"))


def _of_jobs(page: Page) -> Iterator[Line]:
    numbers, found = metrics.snapshot(), facts()
    failed = page.url("job_state", State.FAILED)
    for group in found.groups[:LINES]:
        least = f"{words.number(group.count)}+" if found.more_failures else ""
        title = ngettext(
            "%(count)s job failed with %(error)s",
            "%(count)s jobs failed with %(error)s",
            group.count,
        ) % {
            "count": least or words.number(group.count),
            "error": group.error.rpartition(".")[2] or _("an unknown error"),
        }
        text = _("in %(function)s, in the last 24 h; the last one %(ago)s") % {
            "function": group.func,
            "ago": words.relative(group.last, numbers.database_time),
        }
        yield Line(f"error-{group.key}", "danger", "failed", title, text, failed, _("Failed jobs"))
    if rest := found.groups[LINES:]:
        title = _("%(count)s more kinds of error") % {"count": len(rest)}
        text = _("%(jobs)s in the last 24 h") % {"jobs": words.jobs(sum(g.count for g in rest))}
        yield Line("errors", "danger", "failed", title, text, failed, _("Failed jobs"))
    for func, count in list(found.missing.items())[:LINES]:
        title = _("%(function)s is missing") % {"function": func}
        text = _("workers can't import it; %(jobs)s are tried again every %(time)s") % {
            "jobs": words.jobs(count),
            "time": words.duration(conf.MISSING_FUNCTION_RETRY_SECONDS),
        }
        url = page.url("job_state", State.SCHEDULED)
        yield Line(f"missing-{func}", "danger", "warn", title, text, url, _("Scheduled jobs"))
    if numbers.retries >= MANY_RETRIES:
        title = _("%(count)s jobs are to be retried") % {"count": numbers.retries}
        url = _first(page, "job_retries") or page.url("job_state", State.SCHEDULED)
        text = _("their attempts fail faster than they are repeated")
        yield Line("retries", "warning", "repeat", title, text, url, _("Retries"))


def _of_queues(page: Page) -> Iterator[Line]:
    numbers, found = metrics.snapshot(), facts()
    if found.oldest and found.oldest[1] > WAIT_SECONDS:
        queue, seconds = found.oldest
        title = (
            _("Queue %(queue)s is behind") % {"queue": queue} if queue else _("A queue is behind")
        )
        text = _("its oldest job has waited for %(time)s") % {"time": words.duration(seconds)}
        url = page.url("job_state", State.ENQUEUED, queue=queue)
        yield Line("behind", "info", "scheduled", title, text, url, _("Jobs"))
    for queue, count in found.paused[:LINES]:
        text = _("%(by)s%(ago)s, %(jobs)s waiting") % {
            "by": _("by %(name)s, ") % {"name": queue.paused_by} if queue.paused_by else "",
            "ago": words.relative(queue.paused_at, numbers.database_time),
            "jobs": _jobs(Count(count)),
        }
        if queue.paused_reason:
            text += f": {queue.paused_reason}"
        title = _("Queue %(queue)s is paused") % {"queue": queue.name}
        url = _url(page, Queue, "queue_changelist")
        yield Line(f"paused-{queue.name}", "warning", "pause", title, text, url, _("Queues"))


def _of_recurring(page: Page) -> Iterator[Line]:
    numbers, found = metrics.snapshot(), facts()
    url = _url(page, RecurringJob, "recurringjob_changelist")
    for row in found.recurring[:LINES]:
        values = {"name": row.name}
        if row.error:
            title, tone, icon = _("%(name)s can't be enqueued") % values, "warning", "warn"
            text = row.error.strip().splitlines()[-1][:200]
        else:
            title, tone, icon = _("%(name)s is paused") % values, "warning", "pause"
            text = _("since %(ago)s") % {
                "ago": words.relative(row.paused_at, numbers.database_time)
            }
            text += f": {row.paused_reason}" if row.paused_reason else ""
        one = _url(page, RecurringJob, "recurringjob_change", row.pk)
        yield Line(f"recurring-{row.pk}", tone, icon, title, text, one, _("Open"))
    if rest := found.recurring[LINES:]:
        title = _("%(count)s more recurring jobs") % {"count": len(rest)}
        text = _("have an error or are paused for long")
        yield Line("recurring", "warning", "warn", title, text, url, _("Recurring jobs"))


def _jobs(count: Count) -> str:
    return ngettext("%(count)s job", "%(count)s jobs", count) % {"count": count}


def _url(page: Page, model: Any, name: str, *args: Any) -> str:
    """Return the address of a page, or nothing to whom it would refuse."""
    return page.url(name, *args) if page.can("view", model) else ""


def _first(page: Page, name: str) -> str:
    try:
        return page.url(name)
    except NoReverseMatch:
        return ""
