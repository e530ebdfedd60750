"""The columns of the lists of jobs."""

from __future__ import annotations

from typing import Any

import django_tables2 as tables
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from ..models import Job
from ..states import State
from . import words

LEFT = {"td": {"class": "nowrap opt"}, "th": {"class": "opt"}}
RIGHT = {"td": {"class": "r opt"}, "th": {"class": "r opt"}}
TAIL = {"td": {"class": "r tail"}, "th": {"class": "r"}}


class JobTable(tables.Table):
    """One page of jobs. Which columns: those of its state."""

    check = tables.Column(
        accessor="pk", verbose_name="", attrs={"td": {"class": "check"}, "th": {"class": "check"}}
    )
    id = tables.Column(attrs={"td": {"class": "id"}}, verbose_name=_("Id"))
    job = tables.Column(accessor="func", attrs={"td": {"class": "main"}}, verbose_name=_("Job"))
    state = tables.Column(attrs=LEFT, verbose_name=_("State"))
    queue = tables.Column(attrs=LEFT, verbose_name=_("Queue"))
    priority = tables.Column(attrs=RIGHT, verbose_name=_("Priority"))
    server = tables.Column(attrs=LEFT, verbose_name=_("Server"))
    error = tables.Column(accessor="error_type", attrs=LEFT, verbose_name=_("Error"))
    attempt = tables.Column(attrs=RIGHT, verbose_name=_("Attempts"))
    parent = tables.Column(accessor="parent_id", attrs=LEFT, verbose_name=_("After"))
    wait = tables.Column(accessor="pk", attrs=RIGHT, verbose_name=_("Wait"))
    duration = tables.Column(accessor="pk", attrs=RIGHT, verbose_name=_("Duration"))
    run_at = tables.Column(attrs=TAIL, verbose_name=_("Due"))
    since = tables.Column(accessor="state_changed_at", attrs=TAIL, verbose_name=_("Since"))

    class Meta:
        orderable = False
        attrs = {"class": "rows jobs"}  # noqa: RUF012
        template_name = "jobs/dashboard/table.html"
        row_attrs = {  # noqa: RUF012
            "id": lambda record: f"job-{record.pk}",
            "data-state": lambda record: record.state,
        }

    def __init__(self, data: Any, *, page: Any, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.page_of = page
        self.now = timezone.now()

    def render_check(self, record: Job) -> Any:
        label = _("Select job %(id)d") % {"id": record.pk}
        return format_html(
            '<input type="checkbox" name="job" value="{}" aria-label="{}" form="act">',
            record.pk,
            label,
        )

    def render_id(self, record: Job) -> Any:
        return format_html('<a href="{}">#{}</a>', self._url(record), record.pk)

    def render_job(self, record: Job) -> Any:
        _module, _dot, name = record.func.rpartition(".")
        return format_html(
            '<a href="{}" title="{}">{}</a> <span class="args" dir="auto">{}</span>',
            self._url(record),
            record.func,
            name or record.func,
            words.call_text(record),
        )

    def render_state(self, record: Job) -> Any:
        return render_to_string("jobs/dashboard/state_label.html", {"state": record.state})

    def render_parent(self, record: Job) -> Any:
        url = self.page_of.url("job_change", record.parent_id)
        return format_html('<a href="{}">#{}</a> {}', url, record.parent_id, record.condition)

    def render_wait(self, record: Job) -> str:
        return words.duration(_seconds(record.run_at, record.started_at))

    def render_duration(self, record: Job) -> str:
        return words.duration(_seconds(record.started_at, record.finished_at))

    def render_run_at(self, value: Any) -> Any:
        return words.time_tag(value, self.now)

    def render_since(self, value: Any) -> Any:
        return words.time_tag(value, self.now)

    def _url(self, record: Job) -> str:
        return str(self.page_of.url("job_change", record.pk))


def _seconds(start: Any, end: Any) -> float | None:
    return (end - start).total_seconds() if start and end else None


#: What each list shows beside check box, id and job.
COLUMNS: dict[str, tuple[str, ...]] = {
    State.ENQUEUED: ("queue", "priority", "since"),
    State.SCHEDULED: ("queue", "run_at"),
    State.PROCESSING: ("queue", "server", "attempt", "since"),
    State.SUCCEEDED: ("queue", "server", "since"),
    State.FAILED: ("queue", "error", "attempt", "since"),
    State.DELETED: ("queue", "error", "since"),
    State.AWAITING: ("queue", "parent", "since"),
    "retries": ("queue", "error", "attempt", "run_at"),
    "": ("state", "queue", "since"),
}


def table_for(kind: str, rows: Any, page: Any, *, selectable: bool) -> JobTable:
    """Return the table of a list: of a state, "retries", or "" for jobs of all states."""
    always = ("check", "id", "job") if selectable else ("id", "job")
    shown = (*always, *COLUMNS[kind])
    hidden = [name for name in JobTable.base_columns if name not in shown]
    return JobTable(rows, page=page, exclude=hidden, sequence=shown)
