"""What a list of jobs can be narrowed by; everything stands in its address."""

from __future__ import annotations

import re
from typing import Any

import django_filters
from django import forms
from django.db.models import Exists, OuterRef, Q, QuerySet, Value
from django.utils.translation import gettext_lazy as _

from ..conf import conf
from ..models import HistoryEntry, Job, Queue
from ..models.job import JobQuerySet
from .paging import LARGEST_ID, Order, Position, beyond, up_to

#: The menu of queues has no more entries.
QUEUES = 200
#: What no index finds is looked for among so many rows at a time.
WINDOW = 10_000


def _queues() -> list[tuple[str, str]]:
    names = Queue.objects.using(conf.DATABASE).values_list("name", flat=True)
    return [(name, name) for name in names[:QUEUES]]


class JobFilter(django_filters.FilterSet):
    """The filters of all lists of jobs, but for the state and the search."""

    queue = django_filters.CharFilter(
        label=_("Queue"), widget=forms.TextInput(attrs={"list": "queues"}), max_length=100
    )
    func = django_filters.CharFilter(label=_("Function"), lookup_expr="startswith", max_length=255)
    server = django_filters.CharFilter(label=_("Server"), max_length=100)
    error_type = django_filters.CharFilter(label=_("Error"), max_length=255)
    error_key = django_filters.CharFilter(label=_("Error group"), max_length=32)
    recurring_job = django_filters.NumberFilter(
        label=_("Recurring job"),
        field_name="recurring_job_id",
        max_value=LARGEST_ID,
        decimal_places=0,
    )
    since = django_filters.IsoDateTimeFilter(
        label=_("From"), field_name="state_changed_at", lookup_expr="gte"
    )
    until = django_filters.IsoDateTimeFilter(
        label=_("Until"), field_name="state_changed_at", lookup_expr="lt"
    )

    class Meta:
        model = Job
        fields: tuple[str, ...] = ()

    @property
    def used(self) -> dict[str, Any]:
        """The filters that are set and make sense, by name."""
        cleaned = getattr(self.form, "cleaned_data", {})
        return {name: value for name, value in cleaned.items() if value not in (None, "")}


class Search:
    """What was typed into the search field: an id, the beginning of a function, or a text."""

    def __init__(self, text: str) -> None:
        self.text = text.replace("\0", "").strip()[:200]

    def __bool__(self) -> bool:
        return bool(self.text)

    @property
    def pk(self) -> int | None:
        """The id, if it is one: `42` or `#42`."""
        digits = self.text.removeprefix("#")
        if not re.fullmatch(r"[0-9]{1,19}", digits) or int(digits) > LARGEST_ID:
            return None
        return int(digits)

    @property
    def condition(self) -> Q:
        """True of jobs in whose function, arguments or errors the text is."""
        text = Value(self.text)  # as it is: the columns are JSON, and would take it for such
        history = HistoryEntry.objects.using(conf.DATABASE).filter(job=OuterRef("pk"))
        return (
            Q(func__icontains=self.text)
            | Q(arguments__icontains=text)
            | Q(error_type__icontains=self.text)
            | Q(reason__icontains=self.text)
            | Q(Exists(history.filter(data__icontains=text)))
        )


def window(
    rows: JobQuerySet, order: Order, start: Position | None
) -> tuple[QuerySet[Job], Position | None]:
    """Return the WINDOW rows from `start` on, and the position after them: None at the end.

    One statement, which reads as many entries of an index.
    """
    if start is not None:
        rows = rows.filter(beyond(order, start))
    last = rows.order_by(*order.keys).only("pk", order.column)[WINDOW - 1 : WINDOW].first()
    if last is None:
        return rows, None
    end = Position.of(last, order)
    return rows.filter(up_to(order, end)), end
