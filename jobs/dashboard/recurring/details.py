"""The page of one recurring job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _

from ...conf import conf
from ...exceptions import InvalidSchedule
from ...foreign import VIA
from ...models import RecurringJob
from .. import words
from ..pages import Page
from . import cron, runs
from .table import on_its_clocks, run_label

#: How many occurrences to come are shown.
OCCURRENCES = 10


@dataclass(frozen=True)
class Difference:
    """A field that an operator set to something else than the code says."""

    title: str
    code: str


def page(page: Page, pk: int) -> HttpResponse:
    """What it runs and when, what became of its last runs, and what operators changed."""
    rows = runs.with_floor(RecurringJob.objects.using(conf.DATABASE).filter(pk=pk))
    row = rows.first()
    if row is None:
        return missing(page)
    now = timezone.now()
    found = runs.of({row.pk: row.floor}).get(row.pk, [])  # type: ignore[attr-defined]
    context: dict[str, Any] = {
        "row": row,
        "words": "",
        "occurrences": [],
        "runs": [(run, run_label(page, run, now)) for run in found],
        "strip": runs.strip(found),
        "differences": differences(row),
        "options": {name: value for name, value in row.options.items() if name != VIA}
        if isinstance(row.options, dict)
        else {},
        "via": row.options.get(VIA) if isinstance(row.options, dict) else None,
        "call": call(row),
        "next_on_clocks": on_its_clocks(row, row.next_run) if row.next_run else "",
        "jobs_url": page.url("job_changelist", recurring_job=row.pk),
    }
    try:
        context["words"] = cron.in_words(row.schedule)
        context["occurrences"] = cron.upcoming(row.schedule, now, OCCURRENCES)
    except InvalidSchedule as error:
        context["problem"] = str(error)
    return page.render(
        "recurring/details.html", context, title=row.name, live=("recurring/state.html",)
    )


def missing(page: Page, **_address: Any) -> HttpResponse:
    """Say that there is no such recurring job, and where all of them are."""
    back = page.url("recurringjob_changelist"), _("All recurring jobs")
    return page.missing(_("This recurring job is not there, or no longer."), back=back)


def call(row: RecurringJob) -> str:
    """Return the call that each of its jobs makes, secrets masked."""
    if isinstance(row.arguments, dict):
        return f"{row.func}{words.call_text(row.arguments, limit=2000)}"
    return f"{row.func}(…)"


def title_of(field: str) -> str:
    """Return what people call a column."""
    return str(getattr(RecurringJob._meta.get_field(field), "verbose_name", field))


def differences(row: RecurringJob) -> list[Difference]:
    """Return where the row differs from what the code declared last."""
    said = row.declared if isinstance(row.declared, dict) else {}
    found = []
    for name, value in said.items():
        if getattr(row, name, value) == value:
            continue
        title = title_of(name)
        shown = (
            words.call_text(value) if name == "arguments" else words.call_text({"args": [value]})
        )
        found.append(Difference(title, shown if name == "arguments" else shown[1:-1]))
    return found
