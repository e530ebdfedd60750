"""All recurring jobs, by name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import django_filters
from django.contrib import messages
from django.db.models import Case, F, Q, QuerySet, When
from django.http import HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from ...conf import conf
from ...models import RecurringJob
from .. import words
from ..counting import BoundedCount, Count
from ..pages import Page
from . import runs
from .table import RecurringTable, rendered

#: Rows on a page.
ROWS = 50

ACTIVE, PAUSED, ERROR = "active", "paused", "error"


class Filters(django_filters.FilterSet):
    """What the list can be narrowed to. The table is short: names are searched by their middle."""

    q = django_filters.CharFilter(method="search")
    status = django_filters.ChoiceFilter(
        method="by_status",
        choices=[
            (ACTIVE, gettext_lazy("Active")),
            (PAUSED, gettext_lazy("Paused")),
            (ERROR, gettext_lazy("Error")),
        ],
    )

    class Meta:
        model = RecurringJob
        fields = ("queue",)

    def search(self, rows: QuerySet[RecurringJob], _name: str, text: str) -> Any:
        return rows.filter(Q(name__icontains=text) | Q(func__icontains=text))

    def by_status(self, rows: QuerySet[RecurringJob], _name: str, status: str) -> Any:
        match status:
            case "paused":
                return rows.filter(paused_at__isnull=False)
            case "error":
                return rows.filter(paused_at=None).exclude(error="")
        return rows.filter(paused_at=None, error="")


@dataclass(frozen=True)
class Window:
    """The rows of one page, and from which names on there are more."""

    rows: list[RecurringJob]
    before: str = ""
    after: str = ""


def page(page: Page) -> HttpResponse:
    """The recurring jobs that match, those of one page with their last runs."""
    every = RecurringJob.objects.using(conf.DATABASE).all()
    filters = Filters(page.request.GET, queryset=every)
    if not filters.form.is_valid() and not page.is_update:
        for name, problems in filters.form.errors.items():
            messages.warning(page.request, f"{name}: {' '.join(map(str, problems))}")
    given = page.request.GET
    window = _window(filters.qs, given.get("after", ""), given.get("before", ""))
    floors = {row.pk: row.floor for row in window.rows}  # type: ignore[attr-defined]
    table = RecurringTable(window.rows, page=page, runs=runs.of(floors), now=timezone.now())
    filtered = any(given.get(name) for name in filters.filters)
    context = {
        "table": table,
        "rows_html": rendered(table, page),
        "window": window,
        "filtered": filtered,
        "given": given,
        "statuses": Filters.base_filters["status"].extra["choices"],
        "first_url": _link(page) if given.get("after") or given.get("before") else "",
        "before_url": _link(page, before=window.before) if window.before else "",
        "after_url": _link(page, after=window.after) if window.after else "",
        "told": _told(every),
    }
    live = ("recurring/told.html", "recurring/rows.html")
    return page.render("recurring/list.html", context, title=_("Recurring jobs"), live=live)


def _window(found: QuerySet[RecurringJob], after: str, before: str) -> Window:
    found = runs.with_floor(found)
    if before and not after:
        rows = list(found.filter(name__lt=before).order_by("-name")[: ROWS + 1])
        more, rows = len(rows) > ROWS, rows[:ROWS][::-1]
        return Window(rows, rows[0].name if more else "", rows[-1].name if rows else "")
    if after:
        found = found.filter(name__gt=after)
    rows = list(found.order_by("name")[: ROWS + 1])
    more, rows = len(rows) > ROWS, rows[:ROWS]
    first = rows[0].name if rows else ""
    return Window(rows, first if after else "", rows[-1].name if more else "")


def _link(page: Page, **place: str) -> str:
    kept = {k: v for k, v in page.request.GET.items() if k not in ("after", "before")}
    return page.url("recurringjob_changelist", **kept, **place)


def _told(every: QuerySet[RecurringJob]) -> dict[str, Any]:
    """Return what stands under the title: one statement."""
    counts = {
        "all": BoundedCount(every),
        "paused": BoundedCount(every.filter(paused_at__isnull=False)),
        "broken": BoundedCount(every.filter(paused_at=None).exclude(error="")),
    }
    coming = Case(When(error="", then=F("next_run")))
    in_order = every.order_by(coming.asc(nulls_last=True), "pk")
    named = {f"n_{name}": number for name, number in counts.items()}
    first: dict[str, Any] | None = in_order.values("pk", "name", coming=coming, **named).first()  # type: ignore[assignment]  # it does not see annotations
    if first is None:
        return {"parts": [], "next": None}
    total, paused, broken = (Count(first[f"n_{name}"]) for name in counts)
    parts = [
        ngettext("%(n)s recurring job", "%(n)s recurring jobs", total) % {"n": total},
    ]
    if paused:
        parts.append(_("%(n)s paused") % {"n": paused})
    if broken:
        parts.append(_("%(n)s with an error") % {"n": broken})
    moment: datetime | None = first["coming"]
    following = {"pk": first["pk"], "name": first["name"], "at": words.time_tag(moment)}
    return {"parts": parts, "next": following if moment else None}
