"""Jobs by state, in all states, and those to be retried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import NoReverseMatch
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..conf import conf
from ..models import Job
from ..models.job import JobQuerySet
from ..states import State
from . import counting, filters, metrics, paging, tables
from .filters import BY_ID, NEWEST, Found
from .pages import Page
from .paging import Order, Slice

OLDEST = Order("since", "state_changed_at", descending=False)
NEXT_DUE = Order("due", "run_at", descending=False)
LAST_DUE = Order("due", "run_at", descending=True)

#: Which orders a state's list has, the first unless another is asked for.
ORDERS: Mapping[State | None, tuple[Order, ...]] = {
    State.ENQUEUED: (OLDEST, NEWEST, NEXT_DUE, LAST_DUE),
    State.SCHEDULED: (NEXT_DUE, LAST_DUE, NEWEST, OLDEST),
    State.PROCESSING: (OLDEST, NEWEST),
    State.SUCCEEDED: (NEWEST, OLDEST),
    State.FAILED: (NEWEST, OLDEST),
    State.DELETED: (NEWEST, OLDEST),
    State.AWAITING: (OLDEST, NEWEST),
    None: (BY_ID, Order("id", "pk", descending=False)),
}


@dataclass(frozen=True)
class Action:
    """A button above a list: what it posts, the permission it needs, how it looks."""

    name: str
    title: str | Promise
    verb: str
    icon: str
    danger: bool = False


REQUEUE = Action("requeue", gettext_lazy("Requeue"), "requeue", "repeat")
ENQUEUE = Action("enqueue", gettext_lazy("Enqueue now"), "requeue", "play")
DELETE = Action("delete", gettext_lazy("Delete"), "delete", "trash", danger=True)
GIVE_UP = Action("delete", gettext_lazy("Give up"), "delete", "trash", danger=True)

ACTIONS: Mapping[State | None, tuple[Action, ...]] = {
    State.ENQUEUED: (DELETE,),
    State.SCHEDULED: (ENQUEUE, DELETE),
    State.PROCESSING: (REQUEUE, DELETE),
    State.SUCCEEDED: (REQUEUE,),
    State.FAILED: (REQUEUE, DELETE),
    State.DELETED: (REQUEUE,),
    State.AWAITING: (ENQUEUE, DELETE),
    None: (),
}

#: What an empty list says: in which tone, and the sentence.
EMPTY: Mapping[State | None, tuple[str, str | Promise]] = {
    State.ENQUEUED: ("info", gettext_lazy("No job waits: all queues are empty.")),
    State.SCHEDULED: ("info", gettext_lazy("No job is planned for later.")),
    State.PROCESSING: ("info", gettext_lazy("No job is running at the moment.")),
    State.SUCCEEDED: ("info", gettext_lazy("No job has succeeded yet, or none is kept any more.")),
    State.FAILED: ("succeeded", gettext_lazy("No job has failed. All is well.")),
    State.DELETED: ("info", gettext_lazy("No job was deleted, or none is kept any more.")),
    State.AWAITING: ("info", gettext_lazy("No job awaits another.")),
    None: ("info", gettext_lazy("There is no job yet.")),
}
NO_RETRIES = ("succeeded", gettext_lazy("No job is to be retried. All is well."))


@dataclass
class Listing:
    """One kind of list."""

    title: str
    state: State | None
    orders: Sequence[Order]
    table: type[tables.JobTable]
    actions: Sequence[Action]
    empty: tuple[str, str | Promise]
    rows: JobQuerySet | None = None
    #: What "all matching" has to know beside the address.
    fixed: Mapping[str, str] = field(default_factory=dict)


def all_states(page: Page) -> HttpResponse:
    """Jobs in all states when some are looked for; else the state where something is to be done."""
    if not any(name not in filters.POSITION for name in page.request.GET):
        failed = metrics.snapshot().states[State.FAILED]
        return redirect(page.url("job_state", State.FAILED if failed else State.ENQUEUED))
    return _show(page, _listing(None, _("Jobs")))


def page(page: Page, state: State) -> HttpResponse:
    """The jobs of one state."""
    return _show(page, _listing(state, str(state.label)))


def retries(page: Page) -> HttpResponse:
    """Scheduled jobs that have failed before, the next one first."""
    rows: Any = Job.objects.using(conf.DATABASE).filter(retries__gt=0)
    listing = Listing(
        _("Retries"),
        State.SCHEDULED,
        (NEXT_DUE, LAST_DUE),
        tables.RetriesTable,
        (ENQUEUE, GIVE_UP),
        NO_RETRIES,
        rows,
        {"retries": "1"},
    )
    return _show(page, listing)


def _listing(state: State | None, title: str) -> Listing:
    return Listing(title, state, ORDERS[state], tables.TABLES[state], ACTIONS[state], EMPTY[state])


def _show(page: Page, listing: Listing) -> HttpResponse:
    query = page.request.GET
    found = filters.find(query, listing.state, listing.rows)
    if found.job is not None:
        return redirect(page.url("job_change", found.job))
    order, size = _order(found, listing, query), _size(found, query)
    _judge_position(found, order, query)
    rows = _shown_again(page, listing, found)
    part = paging.cut(tables.light(rows), order, query.dict(), size)
    around = tables.around(part.rows, listing.state, metrics.snapshot().database_time)
    table = listing.table(part.rows, around, page)
    context: dict[str, Any] = {
        "listing": listing,
        "state": listing.state,
        "table": table,
        "slice": part,
        "found": found,
        "total": _total(listing, found),
        "heads": _heads(listing, order, table, query),
        "pager": _pager(part, query),
        "sizes": [(each, _changed(query, size=each), each == size) for each in paging.SIZES],
        "chips": [
            (chip, _changed(query, **{chip.name: "", "further": ""})) for chip in found.chips
        ],
        "further_url": _changed(query, further=found.further) if found.further else "",
        "list_url": page.request.path,
        "here": page.request.get_full_path(),
        "actions": [action for action in listing.actions if page.can(action.verb)],
        "act_url": _act_url(page),
        "all_query": _all_query(listing, query),
        "moved": _moved(page, part.rows) if page.is_update else [],
    }
    if not page.is_update:
        context["offered"] = filters.offer(found.form, listing.state)
        for text in found.ignored:
            messages.warning(page.request, text)
    return page.render(
        "list.html",
        context,
        title=listing.title,
        side=listing.rows is None,
        live=("rows.html",),
    )


def _order(found: Found, listing: Listing, query: QueryDict) -> Order:
    wanted = query.get("sort", "")
    for order in listing.orders:
        if order.param == wanted:
            return order
    if wanted:
        found.ignored.append(_("This list can't be sorted by “%(name)s”.") % {"name": wanted[:40]})
    return listing.orders[0]


def _size(found: Found, query: QueryDict) -> int:
    wanted = query.get("size", "")
    for size in paging.SIZES:
        if str(size) == wanted:
            return size
    if wanted:
        found.ignored.append(_("A page can't have “%(n)s” rows.") % {"n": wanted[:40]})
    return paging.SIZES[0]


def _judge_position(found: Found, order: Order, query: QueryDict) -> None:
    for name in ("after", "before"):
        given = query.get(name, "")
        if given and order.parse(given) is None:
            text = _("“%(value)s” is no position in this list; this is its beginning.")
            found.ignored.append(text % {"value": given[:40]})


def _shown_again(page: Page, listing: Listing, found: Found) -> Any:
    """Return the rows to show: an update does not search the texts of a window again."""
    if page.is_update and found.windowed:
        rows = listing.rows if listing.rows is not None else Job.objects.using(conf.DATABASE)
        rows = rows.filter(pk__in=_ids_shown(page))
        return rows.filter(state=listing.state) if listing.state else rows
    return found.rows


def _total(listing: Listing, found: Found) -> counting.Count:
    if not found.chips and listing.state is not None:
        numbers = metrics.snapshot()
        return numbers.states[listing.state] if listing.rows is None else numbers.retries
    return counting.count(found.rows)


def _ids_shown(page: Page) -> list[int]:
    """Return the ids that the open page shows: it sends them along."""
    given = page.request.headers.get("X-Shown", "").split(",")[: paging.SIZES[-1]]
    return [int(id) for id in given if id.isascii() and id.isdecimal() and len(id) < 19]


def _moved(page: Page, rows: Sequence[Job]) -> list[tuple[int, str]]:
    """Return which of the rows shown are not in the list any more, with their states now."""
    gone = set(_ids_shown(page)) - {job.pk for job in rows}
    if not gone:
        return []
    now = dict(Job.objects.using(conf.DATABASE).filter(pk__in=gone).values_list("pk", "state"))
    return [(id, now.get(id, "")) for id in sorted(gone)]


@dataclass(frozen=True)
class Head:
    """A column's head; with the address that sorts by it."""

    name: str
    title: str
    css: str
    url: str = ""
    #: As ARIA says it.
    sorted: str = ""


def _heads(listing: Listing, order: Order, table: Any, query: QueryDict) -> list[Head]:
    names = {each.name for each in listing.orders}
    heads = []
    for column in table.columns:
        url = way = ""
        if column.name in names:
            if column.name == order.name:
                way = "descending" if order.descending else "ascending"
            other = [o for o in listing.orders if o.name == column.name and o != order]
            url = _changed(query, sort=other[0].param)
        css = "" if column.name == "id" else str(column.attrs["th"].get("class", ""))
        heads.append(Head(column.name, str(column.header), css, url, way))
    return heads


def _pager(part: Slice, query: QueryDict) -> dict[str, str]:
    """Return the addresses of the pages around: first, previous, next, last."""
    first, last = ("newest", "oldest") if part.order.descending else ("oldest", "newest")
    return {
        "first": _changed(query) if part.has_earlier else "",
        "previous": _changed(query, **part.earlier) if part.earlier else "",
        "next": _changed(query, **part.later) if part.later else "",
        "last": _changed(query, **{last: "1"}) if part.has_later else "",
        "first_is": first,
    }


def _changed(query: QueryDict, **changes: Any) -> str:
    """Return the address with other parameters, at the beginning of what they list."""
    changed = query.copy()
    for name in ("after", "before", "newest", "oldest"):
        changed.pop(name, None)
    for name, value in changes.items():
        changed.pop(name, None)
        if value not in ("", None):
            changed[name] = str(value)
    for name in [name for name in changed if not changed[name]]:
        del changed[name]
    return f"?{changed.urlencode()}"


def _all_query(listing: Listing, query: QueryDict) -> str:
    changed = query.copy()
    for name in list(changed):
        if name in filters.POSITION or not changed[name]:
            del changed[name]
    changed.update(listing.fixed)
    return changed.urlencode()


def _act_url(page: Page) -> str:
    try:
        return page.url("job_act")
    except NoReverseMatch:
        return f"{page.url('job_changelist')}act/"
