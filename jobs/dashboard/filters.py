"""What a list shows: its filters and its search, as they stand in its address."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

import django_filters
from django import forms
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import QueryDict
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..conf import conf
from ..models import HistoryEntry, Job, Queue, RecurringJob, Server
from ..states import State
from .paging import ID_DIGITS, Order

#: So many of the newest rows are searched for a text that no index knows.
WINDOW = 10_000
#: A field offers no more names than that.
OFFERED = 200
#: Where one is in a list and how it looks, not what is in it.
POSITION = frozenset({"after", "before", "newest", "oldest", "sort", "size"})
#: What may be the beginning of a function's name.
_NAME = re.compile(r"[^\W\d][\w.]*")
_ID = re.compile(rf"#?([0-9]{{1,{ID_DIGITS}}})")

NEWEST = Order("since", "state_changed_at", descending=True)
BY_ID = Order("id", "pk", descending=True)


class NotMatching(ValueError):
    """A filter that can't be applied: then nothing matches, rather than everything."""


def begins_with(rows: QuerySet[Any], name: str) -> QuerySet[Any]:
    """Return the jobs whose function's name begins with `name`, by an index."""
    rows = rows.filter(func__startswith=name)
    # SQLite's LIKE uses no index; its order is that of code points. Others' LIKE does.
    last = f"{name}\U0010ffff"
    return rows.filter(func__gte=name, func__lt=last) if _is_sqlite(rows) else rows


def _is_sqlite(rows: QuerySet[Any]) -> bool:
    from django.db import connections

    return connections[rows.db].vendor == "sqlite"


class _Integer(django_filters.Filter):
    field_class = forms.IntegerField


_moment = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")


class JobFilter(django_filters.FilterSet):
    """The filters of a list of jobs."""

    queue = django_filters.CharFilter(label=gettext_lazy("Queue"), max_length=100)
    func = django_filters.CharFilter(
        label=gettext_lazy("Function begins with"), method="filter_func", max_length=255
    )
    server = django_filters.CharFilter(label=gettext_lazy("Server"), max_length=100)
    recurring_job = _Integer(
        label=gettext_lazy("Recurring job"), min_value=1, max_value=10**ID_DIGITS
    )
    error_type = django_filters.CharFilter(label=gettext_lazy("Error type"), max_length=255)
    error_key = django_filters.CharFilter(label=gettext_lazy("Group of errors"), max_length=32)
    since = django_filters.DateTimeFilter(
        label=gettext_lazy("From"), field_name="state_changed_at", lookup_expr="gte", widget=_moment
    )
    until = django_filters.DateTimeFilter(
        label=gettext_lazy("To"), field_name="state_changed_at", lookup_expr="lte", widget=_moment
    )
    retries = _Integer(
        label=gettext_lazy("Retries"), lookup_expr="gte", min_value=0, max_value=9999
    )

    class Meta:
        model = Job
        fields: tuple[str, ...] = ()

    def filter_func(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return begins_with(rows, value)


#: Fields that are not shown; links lead to them.
HIDDEN = frozenset({"error_key", "retries"})
#: Which fields a list shows only in some states.
ONLY_IN = {
    "error_type": frozenset({State.FAILED, State.SCHEDULED, State.DELETED}),
    "server": frozenset({State.PROCESSING}),
}


@dataclass(frozen=True)
class Chip:
    """A filter that is on: its name, its value, and the parameter that it is."""

    label: str | Promise
    value: str
    name: str


@dataclass
class Found:
    """What an address asks for."""

    rows: QuerySet[Any]
    form: forms.Form
    #: Sentences about parameters that were ignored.
    ignored: list[str] = field(default_factory=list)
    chips: list[Chip] = field(default_factory=list)
    #: The id that was searched, when there is such a job.
    job: int | None = None
    #: Whether only a window of the rows was searched, and from where more could be.
    windowed: bool = False
    further: str = ""


def find(
    query: QueryDict,
    state: State | None,
    rows: QuerySet[Any] | None = None,
    *,
    is_list: bool = True,
) -> Found:
    """Return the jobs that a list with these parameters shows, over all its pages."""
    if rows is None:
        rows = Job.objects.using(conf.DATABASE)
    if state is not None:
        rows = rows.filter(state=state)
    filters = JobFilter(query, queryset=rows)
    form = filters.form
    form.is_valid()
    found = Found(filters.filter_queryset(rows), form)
    _judge(found, query)
    _chips(found, query)
    if words := " ".join(query.get("q", "").replace("\0", "").split())[:255]:
        found.chips.append(Chip(_("Search"), words, "q"))
        _search(found, words, query.get("further", ""), BY_ID if state is None else NEWEST, is_list)
    return found


def jobs(query: str, state: State) -> QuerySet[Any]:
    """Return the jobs that the list with this query string shows: what "all matching" means.

    Raises NotMatching for a filter that is not known or has a wrong value.
    """
    found = find(QueryDict(query.removeprefix("?")), state, is_list=False)
    if found.ignored:
        raise NotMatching(found.ignored[0])
    return found.rows


def _judge(found: Found, query: QueryDict) -> None:
    for name in found.form.errors:
        text = _("“%(value)s” is no value for “%(name)s”; it was ignored.")
        label = found.form.fields[name].label
        found.ignored.append(text % {"value": query.get(name, "")[:40], "name": label})
    for name in query:
        if name not in found.form.fields and name not in {*POSITION, "q", "further"}:
            text = _("There is no filter “%(name)s”; it was ignored.")
            found.ignored.append(text % {"name": name[:40]})


def _chips(found: Found, query: QueryDict) -> None:
    for name, value in found.form.cleaned_data.items():
        if value not in (None, ""):
            shown = query.get(name, "").replace("T", " ") if name in ("since", "until") else value
            if name == "recurring_job":
                named = RecurringJob.objects.using(conf.DATABASE).filter(pk=value)
                shown = named.values_list("name", flat=True).first() or f"#{value}"
            found.chips.append(Chip(found.form.fields[name].label or name, str(shown), name))


def _search(found: Found, words: str, further: str, order: Order, is_list: bool) -> None:
    """An id exactly, a function by its beginning, else texts among the newest rows."""
    rows = found.rows
    if is_list and (match := _ID.fullmatch(words)):
        found.job = (
            Job.objects.using(rows.db).filter(pk=int(match[1])).values_list("pk", flat=True).first()
        )
        if found.job is not None:
            return
    if not further and _NAME.fullmatch(words) and begins_with(rows, words).exists():
        found.rows = begins_with(rows, words)
        return
    found.windowed = True
    if (begin := order.parse(further)) is not None:
        rows = rows.filter(order.beyond(begin))
    newest = rows.order_by(*order.columns()).only(*{"pk", order.field})
    last = newest[WINDOW - 1 : WINDOW].first()
    if last is not None:
        found.further = order.position(last)
        end = order.parse(found.further)
        assert end is not None
        rows = (
            rows.exclude(order.beyond(end))
            if order.field == "pk"
            else rows.filter(_up_to(order, end))
        )
    found.rows = rows.filter(_contains(words))


def _up_to(order: Order, end: tuple[Any, int]) -> Q:
    value, id = end
    return Q(**{f"{order.field}__gte": value}) & (
        Q(**{f"{order.field}__gt": value}) | Q(pk__gte=id)
    )


def _contains(words: str) -> Q:
    written = json.dumps(words, ensure_ascii=False)[1:-1]  # as it stands in JSON
    errors = HistoryEntry.objects.filter(
        job=OuterRef("pk"), state=State.PROCESSING, data__icontains=written
    )
    return (
        Q(func__icontains=words)
        | Q(arguments__icontains=written)
        | Q(error_type__icontains=words)
        | Q(reason__icontains=words)
        | (~Q(error_type="") & Q(Exists(errors)))
    )


def offer(form: forms.Form, state: State | None) -> dict[str, list[str]]:
    """Prepare the form to be shown; return the names that its text fields offer."""
    for name in list(form.fields):
        if name in HIDDEN or (name in ONLY_IN and state and state not in ONLY_IN[name]):
            form.fields[name].widget = forms.HiddenInput()
    recurring = RecurringJob.objects.using(conf.DATABASE).order_by("name")
    choices = [("", _("Any recurring job")), *recurring.values_list("pk", "name")[:OFFERED]]
    form.fields["recurring_job"].widget = forms.Select(choices=choices)
    queues = Queue.objects.using(conf.DATABASE).order_by("name").values_list("name", flat=True)
    servers = Server.objects.using(conf.DATABASE).order_by("name").values_list("name", flat=True)
    offered = {"queue": list(queues[:OFFERED]), "server": list(servers[:OFFERED])}
    for name, values in offered.items():
        if values and not form.fields[name].widget.is_hidden:
            form.fields[name].widget.attrs["list"] = f"{name}-names"
    for name in form.fields:
        form.fields[name].widget.attrs.setdefault("placeholder", str(form.fields[name].label))
        form.fields[name].widget.attrs["aria-label"] = str(form.fields[name].label)
        form.fields[name].widget.attrs["autocomplete"] = "off"
    return offered
