"""Who did what to jobs, and why: entries in the admin's own log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType

from ..models import Job, Operation
from ..states import State
from ..steering import Action

if TYPE_CHECKING:
    from .pages import Page

#: An entry lists no more than so many characters of ids.
IDS_LENGTH = 1000


def note_action(page: Page, action: Action, ids: Sequence[int], reason: str) -> None:
    """Write one entry for jobs that were moved, however many; none if there are none."""
    if not ids:
        return
    if len(ids) == 1:
        _note(page, action, str(ids[0]), f"#{ids[0]}", _why(action.word, reason))
    else:
        text = _why(f"{action.word}: {brief(ids)}", reason)
        _note(page, action, "", f"{len(ids)} jobs", text)


def note_operation(page: Page, action: Action, operation: Operation) -> None:
    """Write the one entry for an operation; how it ended stands with the operation."""
    which = f"all {State(operation.seen)}"
    if operation.query:
        which += f" with {operation.query[:500]}"
    text = f"{action.word}: {which}, up to #{operation.until}, by operation {operation.pk}"
    _note(page, action, "", f"operation {operation.pk}", _why(text, operation.reason))


def note_stop(page: Page, action: Action, operation: Operation) -> None:
    """Write that somebody stopped an operation."""
    name = f"operation {operation.pk}"
    _note(page, action, "", name, f"stopped {name} ({operation}) after {operation.done} jobs")


def brief(ids: Sequence[int]) -> str:
    """Return ids as ranges: `#3, #5–#9`."""
    ranges: list[list[int]] = []
    for pk in sorted(ids):
        if ranges and ranges[-1][1] == pk - 1:
            ranges[-1][1] = pk
        else:
            ranges.append([pk, pk])
    text = ", ".join(f"#{a}" if a == b else f"#{a}–#{b}" for a, b in ranges)
    if len(text) <= IDS_LENGTH:
        return text
    return text[:IDS_LENGTH].rpartition(",")[0] + ", …"


def _why(text: str, reason: str) -> str:
    return f"{text} ({reason})" if reason else text


def _note(page: Page, action: Action, object_id: str, name: str, text: str) -> None:
    flag = DELETION if action.target == State.DELETED else CHANGE
    LogEntry.objects.create(
        user_id=page.request.user.pk or 0,  # never anonymous here
        content_type_id=ContentType.objects.get_for_model(Job).pk,
        object_id=object_id,
        object_repr=name[:200],
        action_flag=flag,
        change_message=text,
    )
