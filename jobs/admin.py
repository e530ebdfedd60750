"""Jobs, servers and queues in the admin, to watch; queues and recurring jobs, to steer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.helpers import ActionForm
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import URLPattern
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from .conf import conf
from .dashboard import pages
from .models import HistoryEntry, Job, Queue, RecurringJob, Server

#: No list counts further, so that it costs the same however long the table is.
COUNT_LIMIT = 10_000
#: The filter offers no more queues than that.
FILTER_QUEUES = 200


class OnJobsDatabase:
    """Rows that are read from `JOBS["DATABASE"]`, wherever a router would look for them."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).using(conf.DATABASE)  # type: ignore[misc]


class OnDashboard:
    """Models whose pages are the dashboard's, where it has one; else they are the admin's."""

    def get_urls(self) -> list[URLPattern]:
        ours = pages.urls(self.model, self.admin_site)  # type: ignore[attr-defined]
        return [*ours, *super().get_urls()]  # type: ignore[misc]


class ReadOnly(OnDashboard, OnJobsDatabase):
    """Rows that only the engine writes."""

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False


class AtLeast(int):
    """A number of which only the beginning was counted: `10,000+`."""

    def __str__(self) -> str:
        if settings.USE_THOUSAND_SEPARATOR:  # it would be put into the text once more
            return super().__str__()
        return f"{number_format(int(self), force_grouping=True)}+"


class ShortCountPaginator(Paginator):
    """Counts up to COUNT_LIMIT rows, and leads no further."""

    @cached_property
    def count(self) -> int:
        rows = cast("QuerySet[Any]", self.object_list)
        found = rows.order_by()[: COUNT_LIMIT + 1].count()
        return AtLeast(COUNT_LIMIT) if found > COUNT_LIMIT else found


class QueueFilter(admin.SimpleListFilter):
    """The known queues: looking for them among the jobs would read them all."""

    title = _("queue")
    parameter_name = "queue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        names = Queue.objects.using(conf.DATABASE).values_list("name", flat=True)
        return [(name, name) for name in names[:FILTER_QUEUES]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(queue=self.value()) if self.value() else queryset


def as_json(value: Any) -> SafeString:
    """Return what a column holds as JSON that can be read."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return format_html("<pre>{}</pre>", text)


def as_moment(moment: datetime) -> str:
    """Return a moment of the past with its milliseconds: histories are made of such."""
    return timezone.localtime(moment).isoformat(" ", "milliseconds")[:23]


class HistoryInline(ReadOnly, admin.TabularInline):
    model = HistoryEntry
    fields = readonly_fields = ("state", "reason", "entered", "left", "shown_data")
    extra = 0

    @admin.display(description=_("entered"))
    def entered(self, entry: HistoryEntry) -> str:
        return as_moment(entry.entered_at)

    @admin.display(description=_("left"))
    def left(self, entry: HistoryEntry) -> str:
        return as_moment(entry.left_at)

    @admin.display(description=_("data"))
    def shown_data(self, entry: HistoryEntry) -> SafeString:
        """The traceback stands apart, or its lines would run into one."""
        data, error = entry.data, entry.data.get("error", {})
        if "traceback" not in error:
            return as_json(data)
        rest = {**data, "error": {k: v for k, v in error.items() if k != "traceback"}}
        return as_json(rest) + format_html("<pre>{}</pre>", error["traceback"])


@admin.register(Job)
class JobAdmin(ReadOnly, admin.ModelAdmin):
    list_display = (
        "id",
        "func",
        "queue",
        "state",
        "reason",
        "attempt",
        "run_at",
        "state_changed_at",
    )
    list_filter = ("state", QueueFilter)
    search_fields = ("=id", "func__startswith")
    ordering = ("-id",)
    # Each of these would read the whole table, which may be long.
    sortable_by = ("id",)
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = ShortCountPaginator
    # Without the button of the admin's own history, in which no job ever has an entry.
    change_form_template = "admin/without_object_tools.html"
    inlines = (HistoryInline,)
    # What one wants to know at a glance; the rest is a click away.
    fieldsets = (
        (None, {"fields": ("func", "shown_arguments", ("queue", "priority"), ("state", "reason"))}),
        (
            _("Details"),
            {
                "classes": ("collapse",),
                "fields": (
                    ("attempt", "retries", "crashes"),
                    ("created_at", "run_at", "state_changed_at"),
                    ("finished_at", "expires_at"),
                    ("server", "recovered", "error_type"),
                    ("language", "time_zone"),
                    "shown_options",
                ),
            },
        ),
    )
    readonly_fields = ("shown_arguments", "shown_options")

    @admin.display(description=_("arguments"))
    def shown_arguments(self, job: Job) -> SafeString:
        return as_json(job.arguments)

    @admin.display(description=_("options of this call"))
    def shown_options(self, job: Job) -> SafeString:
        return as_json(job.options)


@admin.register(Server)
class ServerAdmin(ReadOnly, admin.ModelAdmin):
    """Its list is the dashboard's; here, a server can be looked at."""


class ReasonForm(ActionForm):
    """The action, and why."""

    reason = forms.CharField(label=_("Reason:"), max_length=255, required=False)


class WithReason:
    """Actions that ask why."""

    action_form = ReasonForm

    class Media:
        css = {"all": (f"{Job._meta.app_label}/admin.css",)}  # noqa: RUF012


@admin.register(Queue)
class QueueAdmin(ReadOnly, admin.ModelAdmin):
    """Its list is the dashboard's; here, a queue can be looked at."""


@admin.register(RecurringJob)
class RecurringJobAdmin(ReadOnly, admin.ModelAdmin):
    """Its pages are the dashboard's, which also checks who may do what; the log is the admin's."""
