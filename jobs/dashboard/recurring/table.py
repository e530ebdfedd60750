"""The table of recurring jobs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import django_tables2 as tables
from django.template.loader import get_template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from ...exceptions import InvalidSchedule
from ...models import RecurringJob
from ...states import State
from ...templatetags.dashboard import icon
from .. import words
from ..pages import TEMPLATES, Page
from . import cron, runs
from .runs import Run


def cell(css: str, label: Any = None) -> dict[str, Any]:
    """Return attributes of a column's cells; on phones `label` stands before the value."""
    td = {"class": css} if label is None else {"class": css, "data-label": label}
    return {"td": td}


class RecurringTable(tables.Table):
    """One row for each recurring job; what it needs beside the rows is given when it is made."""

    name = tables.Column(verbose_name=gettext_lazy("Name"))
    schedule = tables.Column(
        empty_values=(),
        verbose_name=gettext_lazy("Schedule"),
        attrs=cell("two sched", gettext_lazy("Schedule")),
    )
    queue = tables.Column(
        verbose_name=gettext_lazy("Queue"),
        attrs={**cell("", gettext_lazy("Queue")), "th": {"class": ""}},
    )
    next_run = tables.Column(
        empty_values=(),
        verbose_name=gettext_lazy("Next execution"),
        attrs=cell("two nowrap", gettext_lazy("Next")),
    )
    outcomes = tables.Column(
        empty_values=(),
        verbose_name=gettext_lazy("Last 20 runs"),
        attrs=cell("", gettext_lazy("Runs")),
    )
    last_run = tables.Column(
        empty_values=(),
        verbose_name=gettext_lazy("Last execution"),
        attrs=cell("nowrap", gettext_lazy("Last")),
    )

    class Meta:
        orderable = False

    def __init__(
        self,
        rows: list[RecurringJob],
        *,
        page: Page,
        runs: Mapping[int, list[Run]],
        now: datetime,
    ) -> None:
        super().__init__(rows)
        self.page_of_site, self.runs, self.now = page, runs, now

    def render_name(self, record: RecurringJob) -> SafeString:
        mark = SafeString()
        if differs(record):
            why = _("An operator changed what the code declares")
            mark = format_html(
                ' <span class="label text s-info" title="{}">{}</span>', why, _("edited")
            )
        return format_html(
            '<span><a class="name" href="{}">{}</a>{}</span><span class="second">{}</span>',
            self.page_of_site.url("recurringjob_change", record.pk),
            record.name,
            mark,
            record.func,
        )

    def render_schedule(self, record: RecurringJob) -> SafeString:
        try:
            said = cron.in_words(record.schedule)
        except InvalidSchedule:
            said = _("Not a schedule")
        return format_html(
            '<span>{}</span><span class="second"><code>{}</code> {}</span>',
            said,
            record.cron,
            record.time_zone,
        )

    def render_next_run(self, record: RecurringJob) -> SafeString:
        if record.paused_at:
            label, tone = _("Paused"), "warning"
        elif record.error:
            label, tone = _("Error"), "failed"
        elif record.next_run is None:
            return format_html('<span class="muted">{}</span>', _("never"))
        else:
            return format_html(
                '<span>{}</span><span class="second">{}</span>',
                words.time_tag(record.next_run, self.now),
                on_its_clocks(record, record.next_run),
            )
        return format_html('<span class="label text s-{}">{}</span>', tone, label)

    def render_outcomes(self, record: RecurringJob) -> SafeString:
        return runs.strip(self.runs.get(record.pk, ()))

    def render_last_run(self, record: RecurringJob) -> SafeString:
        its = self.runs.get(record.pk)
        if its:
            return run_label(self.page_of_site, its[0], self.now)
        if record.last_run:  # its job has expired
            return format_html('<span class="muted">{}</span>', words.time_tag(record.last_run))
        return format_html('<span class="muted">{}</span>', _("never"))


def rendered(table: RecurringTable, page: Page) -> list[SafeString]:
    """Return the rows as HTML. An open page gets those that have not changed as they were made.

    There, script keeps the relative times true.
    """
    verbs = ("trigger", "pause", "delete")
    may = {f"may_{verb}": page.can(verb, RecurringJob) for verb in verbs}
    act = page.url("recurringjob_act")
    # Whatever the rows are made of, as far as it may differ from one request to the next.
    around = (act, *may.values(), get_language(), timezone.get_current_timezone_name())
    template = get_template(f"{TEMPLATES}/recurring/row.html")
    html = []
    for row in table.rows:
        record = row.record
        key = (around, *(getattr(record, name) for name in _SHOWN), *table.runs.get(record.pk, ()))
        known = _rendered.get(key) if page.is_update else None
        if known is None:
            context = {**may, "act": act, "record": record, "cells": list(row.items())}
            known = mark_safe(template.render(context))  # noqa: S308 - a template escapes
            if len(_rendered) > KEPT:
                _rendered.clear()
            _rendered[key] = known
        html.append(known)
    return html


#: Rows are kept as they were made, so many.
KEPT = 2000
_rendered: dict[Any, SafeString] = {}
_SHOWN = (
    *("pk", "name", "func", "cron", "time_zone", "queue", "next_run", "last_run", "error"),
    *("paused_at", "paused_by", "paused_reason", "updated_at"),
)


def run_label(page: Page, run: Run, now: datetime) -> SafeString:
    """Return a run's state in its colour, leading to the job, and since when."""
    return format_html(
        '<a class="label s-{}" href="{}" title="#{}">{}{}</a> <span class="muted">{}</span>',
        run.state,
        page.url("job_change", run.id),
        run.id,
        icon(run.state),
        State(run.state).label,
        words.time_tag(run.changed_at, now),
    )


def differs(record: RecurringJob) -> list[str]:
    """Return the columns in which it is not as the code declared it last."""
    said = record.declared if isinstance(record.declared, dict) else {}
    return [name for name, value in said.items() if getattr(record, name, value) != value]


def on_its_clocks(record: RecurringJob, moment: datetime) -> str:
    """Return a moment as the clocks of the recurring job's zone show it."""
    try:
        local = timezone.localtime(moment, record.schedule.zone)
    except InvalidSchedule:
        local = timezone.localtime(moment)
    return f"{local:%Y-%m-%d %H:%M} {local:%Z}"
