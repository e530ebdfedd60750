"""Failed jobs by error: what went wrong, how often, since when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Count, Max, Min
from django.http import HttpResponse
from django.utils.translation import gettext as _

from ..conf import conf
from ..models import HistoryEntry, Job
from ..models.job import JobQuerySet
from ..states import State
from . import words
from .filters import JobFilter, Search
from .pages import Page

#: So many groups are shown, and so many jobs of an open one.
GROUPS, JOBS = 50, 10
#: The orders, by what stands in the address.
SORTS = {"jobs": ("-count", "-newest"), "last": ("-last", "-newest"), "first": ("first", "newest")}


@dataclass
class Group:
    """Failed jobs with one exception type that was raised at one place."""

    key: str
    error: str
    count: int
    first: datetime
    last: datetime
    #: The id of the job that came last.
    newest: int
    function: str = ""
    message: str = ""
    traceback: str = ""
    jobs: list[Job] = field(default_factory=list)
    is_open: bool = False


def page(page: Page) -> HttpResponse:
    """The groups; one of them may be open."""
    given = page.request.GET
    filters = JobFilter(given, _failed())
    failed: Any = filters.qs if filters.is_valid() else _failed()
    search = Search(given.get("q", ""))
    if search:
        failed = failed.filter(error_type__icontains=search.text)
    sort = given.get("sort", "") if given.get("sort") in SORTS else "jobs"
    groups = _groups(failed, sort)
    _describe(groups)
    for group in groups:
        if group.key == given.get("group"):
            group.is_open = True
            group.jobs = list(failed.filter(error_key=group.key).order_by("-id")[:JOBS])
    context = {
        "groups": groups,
        "sort": sort,
        "search": search.text,
        "cut": len(groups) == GROUPS,
        "kept": words.duration(conf.FAILED_EXPIRES_SECONDS),
        "may_requeue": page.can("requeue"),
        "may_delete": page.can("delete"),
    }
    title = _("Failures")
    return page.render("failures.html", context, title=title, side=True, live=("groups.html",))


def _failed() -> JobQuerySet:
    return Job.objects.using(conf.DATABASE).filter(state=State.FAILED)


def _groups(failed: Any, sort: str) -> list[Group]:
    """Return the groups, by one statement."""
    rows = (
        failed.order_by()
        .values("error_key", "error_type")
        .annotate(
            count=Count("pk"),
            first=Min("state_changed_at"),
            last=Max("state_changed_at"),
            newest=Max("pk"),
        )
        .order_by(*SORTS[sort])[:GROUPS]
    )
    return [
        Group(
            key=row["error_key"],
            error=row["error_type"],
            count=row["count"],
            first=row["first"],
            last=row["last"],
            newest=row["newest"],
        )
        for row in rows
    ]


def _describe(groups: Iterable[Group]) -> None:
    """Give each group the function, message and traceback of its newest job; two statements."""
    by_job = {group.newest: group for group in groups}
    names = Job.objects.using(conf.DATABASE).filter(pk__in=by_job).values_list("pk", "func")
    for pk, func in names:
        by_job[pk].function = func
    entries = HistoryEntry.objects.using(conf.DATABASE).filter(
        job__in=by_job, state=State.PROCESSING
    )
    for entry in entries.order_by("id"):  # the last one of each job stays
        error = entry.data.get("error", {}) if isinstance(entry.data, dict) else {}
        group = by_job[entry.job_id]
        group.message = str(error.get("message", ""))
        group.traceback = str(error.get("traceback", ""))
