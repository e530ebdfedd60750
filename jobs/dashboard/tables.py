"""The columns of the lists, for each state those that fit it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import django_tables2 as tables
from django.db.models import QuerySet
from django.db.models.functions import Left
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..conf import conf
from ..models import HistoryEntry, Job, Server
from ..states import State
from . import words

#: Of longer arguments a list says that they are long: a part of their JSON could hold a secret
#: that can't be told from the rest any more, and a megabyte for each row would be read.
ARGUMENTS_LENGTH = 4_000

FIELDS = [
    "func",
    "queue",
    "priority",
    "run_at",
    "state",
    "reason",
    "state_changed_at",
    "attempt",
    "retries",
    "server",
    "created_at",
    "started_at",
    "error_type",
    "parent",
    "condition",
    "options",
]


def light(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Return the same jobs with what a list shows of them, and no more."""
    return rows.only("pk", *FIELDS).annotate(
        arguments_begin=Left("arguments", ARGUMENTS_LENGTH + 1)
    )


@dataclass
class Around:
    """What a list shows of other rows than its jobs: three statements, whatever their number."""

    now: datetime
    runs: dict[int, tuple[datetime, datetime]] = field(default_factory=dict)
    parents: dict[int, str] = field(default_factory=dict)
    servers: frozenset[str] = frozenset()


def around(jobs: Sequence[Job], state: State | None, now: datetime) -> Around:
    """Look for it: runs of those that succeeded, parents, servers that live."""
    found = Around(now)
    if state is State.SUCCEEDED:
        entries = HistoryEntry.objects.using(conf.DATABASE).filter(
            job__in=[job.pk for job in jobs], state=State.PROCESSING
        )
        for id, entered, left in entries.order_by("pk").values_list(
            "job_id", "entered_at", "left_at"
        ):
            found.runs[id] = entered, left
    if state is State.AWAITING:
        ids = {job.parent_id for job in jobs if job.parent_id}
        rows = Job.objects.using(conf.DATABASE).filter(pk__in=ids)
        found.parents = dict(rows.values_list("pk", "state"))
    if state is State.PROCESSING:
        live = Server.objects.using(conf.DATABASE).values_list("name", "heartbeat_at")
        found.servers = frozenset(
            name
            for name, beat in live
            if (now - beat).total_seconds() < conf.SERVER_TIMEOUT_SECONDS
        )
    return found


def arguments(job: Any) -> str:
    """Return a job's arguments as they are written in a call, cut and masked."""
    text = job.arguments_begin or "{}"
    if len(text) > ARGUMENTS_LENGTH:
        return _("(long arguments)")
    try:
        given = json.loads(text)
        return words.call_text(given)
    except (ValueError, AttributeError, TypeError):
        return _("(arguments that can't be read)")


def _cell(css: str = "", label: Any = "") -> dict[str, Any]:
    attrs = {key: value for key, value in {"class": css, "data-label": label}.items() if value}
    return {"th": {"class": css} if css else {}, "td": attrs}


def _column(title: Any, css: str = "", *, labelled: bool = True) -> tables.Column:
    # By its name, a column would be looked up in each row, a parent by a statement of its own.
    return tables.Column(
        accessor="pk",
        verbose_name=title,
        empty_values=(),
        attrs=_cell(css, title if labelled else ""),
    )


class JobTable(tables.Table):
    """What every list shows: the id, the call."""

    id = _column(gettext_lazy("Id"), "id", labelled=False)
    job = _column(gettext_lazy("Job"), "main", labelled=False)

    class Meta:
        orderable = False
        template_name = "jobs/dashboard/table.html"

    def __init__(self, jobs: Sequence[Job], around: Around, page: Any) -> None:
        super().__init__(jobs)
        self.around, self.page = around, page

    def render_id(self, record: Job) -> SafeString:
        return format_html('<a href="{}">#{}</a>', self._url(record.pk), record.pk)

    def render_job(self, record: Job) -> SafeString:
        return format_html(
            '<a href="{}" title="{}"><bdi>{}</bdi></a> <span class="args"><bdi>{}</bdi></span>',
            self._url(record.pk),
            record.func,
            record.func,
            arguments(record),
        )

    def render_since(self, record: Job) -> Any:
        return words.time_tag(record.state_changed_at, self.around.now)

    def render_due(self, record: Job) -> Any:
        return words.time_tag(record.run_at, self.around.now)

    def render_queue(self, record: Job) -> Any:
        return record.queue

    def render_priority(self, record: Job) -> Any:
        return record.priority

    def render_server(self, record: Job) -> Any:
        return record.server or "–"

    def render_error(self, record: Job) -> Any:
        if not record.error_type:
            return record.reason or "–"
        name = record.error_type.rpartition(".")[2]
        return format_html(
            '<span class="ink s-failed" title="{}">{}</span>', record.error_type, name
        )

    def render_state(self, record: Job) -> Any:
        return state_label(record.state)

    def _url(self, id: int) -> str:
        return str(self.page.url("job_change", id))


def state_label(state: str) -> SafeString:
    """Return a state as glyph and word."""
    from ..templatetags.dashboard import state_label as label

    return label(state)


class EnqueuedTable(JobTable):
    queue = _column(gettext_lazy("Queue"))
    priority = _column(gettext_lazy("Priority"), "r opt")
    due = _column(gettext_lazy("Due"), "r opt")
    since = _column(gettext_lazy("Since"), "r tail", labelled=False)


class ScheduledTable(JobTable):
    queue = _column(gettext_lazy("Queue"), "opt")
    due = _column(gettext_lazy("Due"), "r tail", labelled=False)
    since = _column(gettext_lazy("Scheduled"), "r opt")


class ProcessingTable(JobTable):
    server = _column(gettext_lazy("Server"))
    queue = _column(gettext_lazy("Queue"), "opt")
    since = _column(gettext_lazy("Started"), "r tail", labelled=False)

    def render_server(self, record: Job) -> Any:
        if not record.server:
            return "–"
        if record.server in self.around.servers:
            return record.server
        title = _("This server is unknown or silent; its jobs are given back.")
        return format_html(
            '<span class="ink s-warning" title="{}">{}</span>', title, f"⚠ {record.server}"
        )


class SucceededTable(JobTable):
    duration = _column(gettext_lazy("Duration"), "r")
    wait = _column(gettext_lazy("Wait"), "r")
    since = _column(gettext_lazy("Succeeded"), "r tail", labelled=False)

    def render_duration(self, record: Job) -> Any:
        run = self.around.runs.get(record.pk)
        return words.duration((run[1] - run[0]).total_seconds()) if run else "–"

    def render_wait(self, record: Job) -> Any:
        run = self.around.runs.get(record.pk)
        due = max(record.run_at, record.created_at)
        return words.duration((run[0] - due).total_seconds()) if run else "–"


class FailedTable(JobTable):
    error = _column(gettext_lazy("Error"))
    queue = _column(gettext_lazy("Queue"), "opt")
    since = _column(gettext_lazy("Failed"), "r tail", labelled=False)


class DeletedTable(JobTable):
    error = _column(gettext_lazy("Reason or error"))
    since = _column(gettext_lazy("Deleted"), "r tail", labelled=False)


class AwaitingTable(JobTable):
    parent = _column(gettext_lazy("Parent"))
    condition = _column(gettext_lazy("Condition"))
    since = _column(gettext_lazy("Since"), "r tail", labelled=False)

    def render_parent(self, record: Job) -> Any:
        if not record.parent_id:
            return "–"
        state = self.around.parents.get(record.parent_id)
        shown = state_label(state) if state else _("gone")
        return format_html(
            '<a href="{}">#{}</a> {}', self._url(record.parent_id), record.parent_id, shown
        )

    def render_condition(self, record: Job) -> Any:
        return format_html("<code>{}</code>", record.condition or "–")


class RetriesTable(JobTable):
    due = _column(gettext_lazy("Next attempt"), "r tail", labelled=False)
    error = _column(gettext_lazy("Error"))
    attempt = _column(gettext_lazy("Attempt"), "r")
    created = _column(gettext_lazy("Created"), "r opt")

    class Meta(JobTable.Meta):
        sequence = ("due", "id", "job", "error", "attempt", "created")

    def render_attempt(self, record: Any) -> Any:
        given = record.options.get("max_retries") if isinstance(record.options, dict) else None
        most = conf.MAX_RETRIES if given is None else given
        return _("%(n)d of %(m)d") % {"n": record.retries + 1, "m": most + 1}

    def render_created(self, record: Job) -> Any:
        return words.time_tag(record.created_at, self.around.now)


class AllStatesTable(JobTable):
    state = _column(gettext_lazy("State"))
    queue = _column(gettext_lazy("Queue"), "opt")
    since = _column(gettext_lazy("Since"), "r tail", labelled=False)


TABLES: dict[State | None, type[JobTable]] = {
    State.ENQUEUED: EnqueuedTable,
    State.SCHEDULED: ScheduledTable,
    State.PROCESSING: ProcessingTable,
    State.SUCCEEDED: SucceededTable,
    State.FAILED: FailedTable,
    State.DELETED: DeletedTable,
    State.AWAITING: AwaitingTable,
    None: AllStatesTable,
}
