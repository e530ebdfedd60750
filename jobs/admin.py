"""Jobs, servers and queues in the admin: enough to watch. Nothing here changes a job."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from .models import HistoryEntry, Job, Queue, Server


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


@admin.register(Queue)
class QueueAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("name", "created_at")
