"""Jobs by state, those to be retried, and the search among all."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from ..conf import conf
from ..models import Job, Queue
from ..models.job import JobQuerySet
from ..states import State
from . import counting, metrics, tables
from .filters import QUEUES, JobFilter, Search, window
from .pages import Page
from .paging import Order, Position, page_of

#: How many rows a page may have.
SIZES = (20, 50, 100, 500)

#: What happens next is what one looks for among those that wait for a time; else the newest.
ORDERS = {
    State.SCHEDULED: Order("run_at", newest_first=False),
    State.PROCESSING: Order("state_changed_at", newest_first=False),
    State.AWAITING: Order("state_changed_at", newest_first=False),
}
NEWEST = Order("state_changed_at")

#: The actions that a list offers: action, permission, icon, words.
ACTIONS: dict[str, tuple[str, ...]] = {
    State.ENQUEUED: ("delete",),
    State.SCHEDULED: ("enqueue", "delete"),
    State.PROCESSING: ("requeue", "delete"),
    State.SUCCEEDED: ("requeue", "delete"),
    State.FAILED: ("requeue", "delete"),
    State.DELETED: ("requeue",),
    State.AWAITING: ("enqueue", "delete"),
    "retries": ("enqueue", "delete"),
    "": ("requeue", "delete"),
}


#: The filters that have a field of their own on the page; the others come by a link.
_FIELDS = ("queue", "func")


def all_states(page: Page) -> HttpResponse:
    """Search among jobs of all states; without a search, the state where something is to be done."""
    search = Search(page.request.GET.get("q", ""))
    if not search:
        failed = metrics.snapshot().states[State.FAILED]
        return redirect(page.url("job_state", State.FAILED if failed else State.ENQUEUED))
    jobs = Job.objects.using(conf.DATABASE)
    if search.pk is not None and jobs.filter(pk=search.pk).exists():
        return redirect(page.url("job_change", search.pk))
    return _list(page, "", jobs, Order("created_at"), title=_("Search"))


def of_state(page: Page, state: State) -> HttpResponse:
    """The jobs of one state."""
    search = Search(page.request.GET.get("q", ""))
    jobs = Job.objects.using(conf.DATABASE).filter(state=state)
    if search.pk is not None and jobs.filter(pk=search.pk).exists() and not page.is_update:
        return redirect(page.url("job_change", search.pk))
    return _list(page, state, jobs, ORDERS.get(state, NEWEST), title=str(state.label))


def retries(page: Page) -> HttpResponse:
    """The jobs that raised and will be tried again, the next one first."""
    jobs = Job.objects.using(conf.DATABASE).filter(state=State.SCHEDULED, retries__gt=0)
    return _list(page, "retries", jobs, ORDERS[State.SCHEDULED], title=_("Retries"))


def _list(page: Page, kind: str, jobs: JobQuerySet, order: Order, *, title: str) -> HttpResponse:
    given = page.request.GET
    size = _size(given.get("size", ""))
    if given.get("order") in ("newest", "oldest"):
        order = Order(order.column, given["order"] == "newest")
    filters = JobFilter(given, jobs)
    _tell_problems(page, filters)
    matching: Any = filters.qs if filters.is_valid() else _valid_part(filters, jobs)
    search = Search(given.get("q", ""))
    narrowed, further = bool(filters.used) or bool(search), None
    if narrowed:
        # No index has all combinations: among so many rows, the answer comes in time.
        windowed, further = window(jobs, order, Position.parse(given.get("from", "")))
        matching = matching & windowed if filters.used else windowed
        if search:
            matching = matching.filter(search.condition)
    shown = page_of(
        matching.defer("options"),
        order,
        size,
        after=Position.parse(given.get("after", "")),
        before=Position.parse(given.get("before", "")),
        oldest="last" in given,
    )
    may = [a for a in ACTIONS[kind] if page.can("delete" if a == "delete" else "requeue")]
    context: dict[str, Any] = {
        "kind": kind,
        "table": tables.table_for(kind, shown.rows, page, selectable=bool(may)),
        "rows": shown.rows,
        "total": counting.count(matching) if narrowed else _total(kind),
        "narrowed": narrowed,
        "further": further,
        "filters": filters,
        "chips": _chips(page, filters, search),
        "kept": [(name, given.get(name)) for name in filters.used if name not in _FIELDS],
        "search": search.text,
        "queues": list(Queue.objects.using(conf.DATABASE).values_list("name", flat=True)[:QUEUES]),
        "actions": may,
        "size": size,
        "sizes": SIZES,
        "order": order,
        "after": shown.after,
        "before": shown.before,
        "query": page.request.GET.urlencode(),
    }
    return page.render("list.html", context, title=title, side=True, live=("rows.html",))


def _total(kind: str) -> counting.Count:
    numbers = metrics.snapshot()
    return numbers.retries if kind == "retries" else numbers.states[State(kind)]


def _size(text: str) -> int:
    return int(text) if text in map(str, SIZES) else SIZES[0]


def _tell_problems(page: Page, filters: JobFilter) -> None:
    if page.is_update:
        return
    for name in filters.form.errors:
        label = filters.filters[name].label
        text = _("The filter “%(name)s” makes no sense and was left out.") % {"name": label}
        messages.warning(page.request, text)


def _valid_part(filters: JobFilter, jobs: JobQuerySet) -> Any:
    found: Any = jobs
    for name, value in filters.used.items():
        found = filters.filters[name].filter(found, value)
    return found


def _chips(page: Page, filters: JobFilter, search: Search) -> list[dict[str, str]]:
    """Return what the list is narrowed by: its name, its value, the address without it."""
    chips = []
    named = {name: filters.filters[name].label for name in filters.used}
    values = {name: page.request.GET.get(name, "") for name in named}
    if search:
        named["q"], values["q"] = _("text"), search.text
    for name, label in named.items():
        query = page.request.GET.copy()
        for gone in (name, "after", "before", "from"):
            query.pop(gone, None)
        chips.append({"name": str(label), "value": values[name], "url": f"?{query.urlencode()}"})
    return chips
