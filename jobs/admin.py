"""Jobs, servers and queues in the admin, to watch; queues and recurring jobs, to steer."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import URLPattern, reverse
from django.utils import timezone
from django.utils.formats import localize, number_format
from django.utils.functional import cached_property
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from . import recurring_jobs
from .conf import conf
from .dashboard import pages
from .exceptions import InvalidSchedule, JobsError
from .foreign import VIA
from .models import HistoryEntry, Job, Queue, RecurringJob, Server

#: How many occurrences to come are shown.
OCCURRENCES = 5

HELP_TEXTS = {
    "cron": _(
        "Minute, hour, day of month, month, weekday; of six fields the first is the "
        "second. L: last day of the month, LW: its last weekday, 5L: its last Friday, "
        "MON#1: its first Monday."
    ),
    "time_zone": _("Such as Europe/Berlin."),
    "misfire": _("What happens to occurrences that no server was there for."),
    "priority": _("From -100 to 100, larger first."),
    "arguments": _('As JSON: {"args": […], "kwargs": {"name": …}}.'),
    "options": _('As JSON, such as {"max_retries": 3}.'),
}

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


class StatusFilter(admin.SimpleListFilter):
    """Active, paused, or with an error."""

    title = _("state")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, Any]]:
        return [("active", _("active")), ("paused", _("paused")), ("error", _("error"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        running = queryset.filter(paused_at=None)
        match self.value():
            case "active":
                return running.filter(error="")
            case "error":
                return running.exclude(error="")
            case "paused":
                return queryset.filter(paused_at__isnull=False)
        return queryset


class RecurringJobForm(forms.ModelForm):
    class Meta:
        model = RecurringJob
        fields = ("cron", "time_zone", "misfire", "queue", "priority", "arguments", "options")
        help_texts = HELP_TEXTS

    def clean_options(self) -> Any:
        """Keep what another API's call is about, which can name functions, as it was."""
        options = self.cleaned_data["options"]
        before = (self.initial.get("options") or {}).get(VIA)
        if isinstance(options, dict) and options.get(VIA) != before:
            raise forms.ValidationError(
                _("“%(name)s” can't be changed here."), params={"name": VIA}
            )
        return options


@admin.register(RecurringJob)
class RecurringJobAdmin(WithReason, OnDashboard, OnJobsDatabase, admin.ModelAdmin):
    """Declared in code; here, operators change when and how, never which function runs."""

    form = RecurringJobForm
    list_display = (
        "name",
        "status",
        "cron",
        "time_zone",
        "queue",
        "next_run",
        "last_run",
        "its_jobs",
    )
    list_filter = (StatusFilter,)
    search_fields = ("name", "func")
    actions = ("trigger", "pause", "resume")
    readonly_fields = (
        "name",
        "func",
        "status",
        "error",
        "occurrences",
        "last_run",
        "its_jobs",
        "paused_at",
        "paused_by",
        "paused_reason",
    )
    fieldsets = (
        (None, {"fields": ("name", "func", "status", "error")}),
        (_("When"), {"fields": ("cron", "time_zone", "misfire", "occurrences", "last_run")}),
        (_("How"), {"fields": (("queue", "priority"), "arguments", "options", "its_jobs")}),
        (
            _("Pause"),
            {"classes": ("collapse",), "fields": ("paused_at", "paused_by", "paused_reason")},
        ),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    @admin.display(description=_("state"))
    def status(self, row: RecurringJob) -> Any:
        if row.paused_at:
            return _("paused")
        return _("error") if row.error else _("active")

    @admin.display(description=_("next occurrences"))
    def occurrences(self, row: RecurringJob) -> SafeString | str:
        """The next ones, on the clocks of the recurring job's own time zone."""
        try:
            moments = row.schedule.upcoming(timezone.now(), OCCURRENCES)
        except InvalidSchedule:
            return "-"
        shown = (timezone.localtime(moment, row.schedule.zone) for moment in moments)
        return format_html_join("", "{} {}<br>", ((localize(m), m.tzname()) for m in shown))

    @admin.display(description=_("jobs"))
    def its_jobs(self, row: RecurringJob) -> SafeString:
        jobs = reverse(f"{self.admin_site.name}:{Job._meta.app_label}_job_changelist")
        return format_html('<a href="{}?recurring_job={}">{}</a>', jobs, row.pk, _("show"))

    def save_model(
        self, request: HttpRequest, obj: RecurringJob, form: forms.ModelForm, change: bool
    ) -> None:
        recurring_jobs.edited(obj, form.changed_data)

    def delete_model(self, request: HttpRequest, obj: RecurringJob) -> None:
        recurring_jobs.remove_recurring(obj.name)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[RecurringJob]) -> None:
        for row in queryset:
            recurring_jobs.remove_recurring(row.name)

    @admin.action(permissions=["change"], description=_("Trigger: enqueue a job now"))
    def trigger(self, request: HttpRequest, queryset: QuerySet[RecurringJob]) -> None:
        def attempt(name: str) -> object:
            try:
                return recurring_jobs.trigger(name)
            except JobsError as error:
                self.message_user(request, str(error), messages.ERROR)
                return None

        count = self._each(request, queryset, attempt, "triggered")
        text = ngettext("Enqueued %d job.", "Enqueued %d jobs.", count)
        self.message_user(request, text % count, messages.SUCCESS)

    @admin.action(permissions=["change"], description=_("Pause"))
    def pause(self, request: HttpRequest, queryset: QuerySet[RecurringJob]) -> None:
        by, reason = request.user.get_username(), request.POST.get("reason", "")
        count = self._each(
            request,
            queryset,
            lambda name: recurring_jobs.pause(name, by=by, reason=reason),
            f"paused: {reason}" if reason else "paused",
        )
        text = ngettext("Paused %d recurring job.", "Paused %d recurring jobs.", count)
        self.message_user(request, text % count, messages.SUCCESS)

    @admin.action(permissions=["change"], description=_("Resume"))
    def resume(self, request: HttpRequest, queryset: QuerySet[RecurringJob]) -> None:
        count = self._each(request, queryset, recurring_jobs.resume, "resumed")
        text = ngettext("Resumed %d recurring job.", "Resumed %d recurring jobs.", count)
        self.message_user(request, text % count, messages.SUCCESS)

    def _each(
        self,
        request: HttpRequest,
        queryset: QuerySet[RecurringJob],
        verb: Callable[[str], object],
        word: str,
    ) -> int:
        """Apply `verb`, note `word` in the admin's log, and return to how many it applied."""
        done = [row for row in queryset if verb(row.name)]
        for row in done:
            self.log_change(request, row, word)
        return len(done)
