"""Failed jobs grouped by error: the type of the exception and the place that raised it."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.db.models import Count, Max, Min, Q
from django.db.models.functions import ExtractHour
from django.http import HttpResponse
from django.urls import NoReverseMatch
from django.utils import timezone
from django.utils.translation import gettext as _

from ..conf import conf
from ..models import HistoryEntry, Job
from ..models.job import JobQuerySet
from ..states import State
from . import metrics, words
from .pages import Page

#: So many failed jobs are grouped, those that failed last.
GROUPED = 100_000
#: So many groups are looked into and shown, those with most jobs.
GROUPS = 100
#: So many of them are shown unless all are asked for.
SHOWN = 20
#: So long a process shows the groups that it computed, in seconds.
INTERVAL_SECONDS = 5.0
#: And longer when computing took long: so many times as long as that.
PAUSE_FACTOR = 50
#: Jobs listed in an open group.
JOBS = 10
#: Columns of a sparkline: hours, the present one last.
HOURS = 24

SORTS = ("jobs", "latest", "first")
_FRAME = re.compile(r'^  File "(?P<file>.+)", line (?P<line>\d+), in (?P<function>.+)$')
_FOREIGN = ("/site-packages/", "/dist-packages/", "/lib/python")


class HourOfDay(ExtractHour):
    """The hour in UTC, without a call of Python for each row on SQLite."""

    def __init__(self, moment: Any, **extra: Any) -> None:
        super().__init__(moment, tzinfo=UTC, **extra)

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> tuple[str, Any]:
        column, params = compiler.compile(self.lhs)
        return f"CAST(SUBSTR({column}, 12, 2) AS INTEGER)", params


@dataclass(frozen=True)
class Part:
    """The jobs of a group with one function in one queue."""

    func: str
    queue: str
    count: int
    first: datetime
    last: datetime


@dataclass(frozen=True)
class Frame:
    """One call of a traceback."""

    file: str
    line: str
    function: str
    code: str = ""

    @property
    def is_own(self) -> bool:
        return not any(mark in self.file for mark in _FOREIGN)

    @property
    def shown_file(self) -> str:
        root = f"{getattr(settings, 'BASE_DIR', '')}/"
        return self.file.removeprefix(root)


@dataclass
class Group:
    """Failed jobs with the same error, or as many of them as the filter leaves."""

    key: str
    parts: list[Part]
    #: The start of the present hour.
    hour: datetime
    #: How many failed in each hour of the last day, by the hour in UTC, whatever the filter.
    hours: dict[int, int] = field(default_factory=dict)
    error: str = ""
    message: str = ""
    newest: int | None = None
    frames: list[Frame] = field(default_factory=list)

    @cached_property
    def count(self) -> int:
        return sum(part.count for part in self.parts)

    @cached_property
    def first(self) -> datetime:
        return min(part.first for part in self.parts)

    @cached_property
    def last(self) -> datetime:
        return max(part.last for part in self.parts)

    @cached_property
    def functions(self) -> list[str]:
        """The functions concerned, those with most failures first."""
        found: Counter[str] = Counter()
        for part in self.parts:
            found[part.func] += part.count
        return [func for func, _count in found.most_common()]

    @cached_property
    def place(self) -> Frame | None:
        """The innermost call in the project's own code."""
        own = [frame for frame in self.frames if frame.is_own]
        return (own or self.frames)[-1] if self.frames else None

    @cached_property
    def day(self) -> int:
        """How many failed in the hours that the sparkline shows."""
        return sum(self.hours.values())

    @cached_property
    def spark(self) -> str:
        """The sparkline's columns as one path in a box of 112 × 26; its scale is the group's."""
        counts = Counter(self.hours)
        hours = [(self.hour.hour + 1 + step) % HOURS for step in range(HOURS)]
        top = max(counts[hour] for hour in hours)
        columns = []
        for step, hour in enumerate(hours):
            if counts[hour]:
                height = max(1.5, 26 * counts[hour] / top)
                columns.append(f"M{0.6 + step * 4.66:.1f} 26v-{height:.1f}h3.4v{height:.1f}z")
        return "".join(columns)

    def only(self, func: str, queue: str) -> Group | None:
        """Return what a filter leaves of the group, if anything."""
        parts = [
            part for part in self.parts if part.func.startswith(func) and queue in ("", part.queue)
        ]
        if len(parts) == len(self.parts):
            return self
        about = {name: getattr(self, name) for name in ("error", "message", "newest", "frames")}
        return Group(self.key, parts, self.hour, self.hours, **about) if parts else None

    def tells(self, text: str) -> bool:
        """Whether `text` is in what the page shows of the group, in whatever case."""
        place = self.place
        where = f"{place.shown_file}:{place.line} {place.function}" if place else ""
        return (
            text.casefold()
            in "\n".join((self.error, self.message, where, *self.functions)).casefold()
        )


@dataclass(frozen=True)
class Groups:
    """All groups, when they were computed."""

    groups: list[Group]
    #: Whether older jobs, or groups with fewer jobs, were left out.
    older_left_out: bool
    smaller_left_out: int
    at: datetime


_lock = threading.Lock()
#: By database: until when they hold, by the monotonic clock, and the groups.
_last: dict[str, tuple[float, Groups]] = {}


def page(page: Page) -> HttpResponse:
    """The groups; one of them opened in its place."""
    given = page.request.GET
    chosen = {name: given.get(name, "")[:200] for name in ("q", "func", "queue", "group", "all")}
    sort = given.get("sort", "")
    if sort not in SORTS:
        if sort and not page.is_update:
            text = _("There is no order “%(sort)s”; most jobs stand first.") % {"sort": sort[:40]}
            messages.warning(page.request, text)
        sort = "jobs"
    known = groups()
    shown = _sorted(_filtered(known.groups, chosen), sort)
    opened = next((group for group in shown if group.key == chosen["group"]), None)
    if chosen["group"] and opened is None and not page.is_update:
        messages.info(page.request, _("The group that was open has no failed jobs now."))
    short = shown if chosen["all"] else shown[:SHOWN]
    if opened and opened not in short:
        short = [*short, opened]
    failed_url = page.url("job_state", State.FAILED)
    own_url = page.url("job_failures")
    context = {
        **chosen,
        "sort": sort,
        "known": known,
        "rows": [_row(group, chosen, sort, opened, own_url, failed_url) for group in short],
        "groups": len(shown),
        "more_url": _address(own_url, {**chosen, "all": "1"}, sort, chosen["group"])
        if len(short) < len(shown)
        else "",
        "jobs": _newest(opened, chosen) if opened else [],
        "total": words.jobs(sum(group.count for group in shown)),
        "days": round(conf.FAILED_EXPIRES_SECONDS / 86_400),
        "functions": sorted({name for group in known.groups for name in group.functions}),
        "queues": sorted({part.queue for group in known.groups for part in group.parts}),
        "act_url": act_url(page),
        "order_urls": {name: _address(own_url, chosen, name, chosen["group"]) for name in SORTS},
    }
    return page.render(
        "failures.html", context, title=_("Failed"), side=True, live=("failures_groups.html",)
    )


def groups() -> Groups:
    """Return the groups, some seconds old. At most seven statements, mostly none."""
    alias = conf.DATABASE
    with _lock:  # one tab asks, the others wait for its answer
        until, known = _last.get(alias, (0.0, None))
        if known is None or time.monotonic() >= until:
            began = time.monotonic()
            known = take()
            ended = time.monotonic()
            pause = max(INTERVAL_SECONDS, PAUSE_FACTOR * (ended - began))
            _last[alias] = ended + pause, known
        return known


def forget() -> None:
    """Let the next page compute the groups."""
    with _lock:
        _last.clear()


metrics.ALSO_FORGET.append(forget)


def take() -> Groups:
    """Compute the groups."""
    now = timezone.now()
    hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    start = hour - timedelta(hours=HOURS - 1)
    jobs, left_out = _failed(), False
    border = jobs.order_by("-state_changed_at", "-id").values_list("state_changed_at", flat=True)
    if oldest := border[GROUPED : GROUPED + 1].first():
        jobs, left_out = jobs.filter(state_changed_at__gt=oldest), True
    counted = (
        jobs.order_by()
        .values("error_key", "func", "queue")
        .annotate(count=Count("pk"), first=Min("state_changed_at"), last=Max("state_changed_at"))
    )
    found: dict[str, Group] = {}
    for key, *part in counted.values_list("error_key", "func", "queue", "count", "first", "last"):
        found.setdefault(key, Group(key, [], hour)).parts.append(Part(*part))
    # A statement of its own: together they would give a row for each function, queue and hour.
    day = (
        jobs.filter(state_changed_at__gte=start)
        .order_by()
        .annotate(at=HourOfDay("state_changed_at"))
    )
    for key, at, count in (
        day.values("error_key", "at")
        .annotate(count=Count("pk"))
        .values_list("error_key", "at", "count")
    ):
        if key in found:
            found[key].hours[int(at)] = count
    ordered = sorted(found.values(), key=lambda group: -group.count)
    _look_into(ordered[:GROUPS])
    return Groups(ordered[:GROUPS], left_out, len(ordered[GROUPS:]), now)


def act_url(page: Page) -> str:
    """The address of actions on jobs."""
    try:
        return page.url("job_act")
    except NoReverseMatch:  # the actions are not part of every build of the dashboard yet
        return f"{page.url('job_changelist')}act/"


def frames(text: str) -> list[Frame]:
    """Return the calls of a traceback, the outermost first, with a line of code each."""
    found: list[Frame] = []
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if match := _FRAME.match(line):
            after = lines[number + 1] if number + 1 < len(lines) else ""
            code = after.strip() if after.startswith("    ") else ""
            found.append(Frame(**match.groupdict(), code=code))
    return found


def _failed() -> JobQuerySet:
    return Job.objects.using(conf.DATABASE).filter(state=State.FAILED)


def _look_into(found: list[Group]) -> None:
    """Fill in what the newest job of each group says."""
    if not found:
        return
    newest = Q()
    for group in found:
        newest |= Q(error_key=group.key, state_changed_at=group.last)
    ids = _failed().filter(newest).order_by().values("error_key").annotate(newest=Max("pk"))
    by_key = {row["error_key"]: row["newest"] for row in ids}
    jobs = Job.objects.using(conf.DATABASE).in_bulk(list(by_key.values()))
    attempts = HistoryEntry.objects.using(conf.DATABASE).filter(state=State.PROCESSING)
    last = attempts.filter(job__in=list(jobs)).order_by().values("job").annotate(last=Max("pk"))
    entries = attempts.filter(pk__in=[row["last"] for row in last]).order_by()
    errors = {entry.job_id: entry.data.get("error") or {} for entry in entries}
    for group in found:
        job = jobs.get(by_key.get(group.key, 0))
        if job is None:  # it was requeued between two statements
            continue
        error = errors.get(job.pk, {})
        group.newest, group.error = job.pk, job.error_type or _("Without an error")
        group.message = str(error.get("message") or job.reason.removeprefix(f"{job.error_type}: "))
        group.frames = frames(str(error.get("traceback") or ""))


def _filtered(found: list[Group], chosen: dict[str, str]) -> list[Group]:
    left = (group.only(chosen["func"], chosen["queue"]) for group in found)
    return [group for group in left if group and group.tells(chosen["q"])]


def _sorted(found: list[Group], sort: str) -> list[Group]:
    keys = {
        "jobs": lambda group: (-group.count, group.key),
        "latest": lambda group: (-group.last.timestamp(), group.key),
        "first": lambda group: (group.first, group.key),
    }
    return sorted(found, key=keys[sort])


def _row(
    group: Group,
    chosen: dict[str, str],
    sort: str,
    opened: Group | None,
    own_url: str,
    failed_url: str,
) -> dict[str, Any]:
    is_open = group is opened
    query = {"error_key": group.key, "func": chosen["func"], "queue": chosen["queue"]}
    query = {name: value for name, value in query.items() if value}
    return {
        "group": group,
        "is_open": is_open,
        # An error without a key can't be named in an address; its jobs are in the list.
        "url": _address(own_url, chosen, sort, "" if is_open else group.key) if group.key else "",
        "list_url": f"{failed_url}?{urlencode(query)}" if query else failed_url,
        "query": urlencode({"state": str(State.FAILED), **query}) if group.key else "",
        "count": words.number(group.count),
    }


def _address(own_url: str, chosen: dict[str, str], sort: str, group: str) -> str:
    query = {**chosen, "group": group, "sort": "" if sort == "jobs" else sort}
    text = urlencode({name: value for name, value in query.items() if value})
    return f"{own_url}?{text}" if text else own_url


def _newest(group: Group, chosen: dict[str, str]) -> list[Job]:
    rows = _failed().filter(error_key=group.key)
    if chosen["func"]:
        rows = rows.filter(func__startswith=chosen["func"])
    if chosen["queue"]:
        rows = rows.filter(queue=chosen["queue"])
    return list(rows.order_by("-state_changed_at", "-id")[:JOBS])
