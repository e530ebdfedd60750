"""Jobs, servers and queues in the admin: enough to watch, and to pause and resume queues."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from .models import HistoryEntry, Job, Queue, Server
from .queues import pause_queue, resume_queue


class ReadOnly:
    """Rows that only the engine writes."""

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False


class HistoryInline(ReadOnly, admin.TabularInline):
    model = HistoryEntry
    fields = ("state", "reason", "entered_at", "left_at", "data")
    extra = 0


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
    list_filter = ("state", "queue")
    search_fields = ("=id", "func__startswith")
    ordering = ("-id",)
    show_full_result_count = False
    inlines = (HistoryInline,)
    # What one wants to know at a glance; the rest is a click away.
    fieldsets = (
        (None, {"fields": ("func", "arguments", ("queue", "priority"), ("state", "reason"))}),
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
                    "options",
                ),
            },
        ),
    )


@admin.register(Server)
class ServerAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("name", "host", "pid", "started_at", "heartbeat_at", "queues", "workers")


class QueueActionForm(ActionForm):
    """The action, and why."""

    reason = forms.CharField(label=_("Reason:"), max_length=255, required=False)


@admin.register(Queue)
class QueueAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("name", "is_paused", "paused_at", "paused_by", "paused_reason", "created_at")
    action_form = QueueActionForm
    actions = ("pause", "resume")

    def has_change_permission(self, request: HttpRequest, *args: Any) -> bool:
        """Queues are paused and resumed in the list; none is edited."""
        return not any(args) and admin.ModelAdmin.has_change_permission(self, request)

    @admin.display(description=_("paused"), boolean=True)
    def is_paused(self, queue: Queue) -> bool:
        return queue.paused_at is not None

    @admin.action(description=_("Pause the selected queues"), permissions=["change"])
    def pause(self, request: HttpRequest, chosen: QuerySet[Queue]) -> None:
        by, reason = request.user.get_username()[:150], request.POST.get("reason", "")[:255]
        changed = [queue for queue in chosen if pause_queue(queue.name, by=by, reason=reason)]
        for queue in changed:
            why = _("Paused: %(reason)s") % {"reason": reason} if reason else _("Paused")
            self.log_change(request, queue, str(why))
        self._say(
            request,
            ngettext("%(count)d queue was paused", "%(count)d queues were paused", len(changed)),
            len(changed),
            chosen,
            _("was paused already"),
        )

    @admin.action(description=_("Resume the selected queues"), permissions=["change"])
    def resume(self, request: HttpRequest, chosen: QuerySet[Queue]) -> None:
        changed = [queue for queue in chosen if resume_queue(queue.name)]
        for queue in changed:
            self.log_change(request, queue, str(_("Resumed")))
        self._say(
            request,
            ngettext("%(count)d queue was resumed", "%(count)d queues were resumed", len(changed)),
            len(changed),
            chosen,
            _("was not paused"),
        )

    def _say(
        self, request: HttpRequest, done: str, count: int, chosen: QuerySet[Queue], why_not: Any
    ) -> None:
        text, rest = done % {"count": count}, len(chosen) - count
        if rest:
            text += f" ({rest} {why_not})"
        self.message_user(request, f"{text}.", messages.SUCCESS if count else messages.WARNING)
