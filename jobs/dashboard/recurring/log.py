"""Who did what with which recurring job, and why: the admin's log."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType

from ...models import RecurringJob
from ..pages import Page


def note(page: Page, flag: int, entries: Iterable[tuple[RecurringJob | None, str]]) -> None:
    """Write one entry for each (recurring job, what was done); None: one that is not there."""
    kind = ContentType.objects.get_for_model(RecurringJob, for_concrete_model=False)
    user: Any = page.request.user.pk
    LogEntry.objects.bulk_create(
        LogEntry(
            user_id=user,
            content_type=kind,
            object_id=str(row.pk) if row and row.pk else None,
            object_repr=str(row)[:200] if row else "",
            action_flag=flag,
            change_message=message,
        )
        for row, message in entries
    )
