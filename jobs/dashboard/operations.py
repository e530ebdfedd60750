"""Operations in the background: the strip above the lists, the page of the last ones, Stop."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from django.contrib import messages
from django.http import HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _

from .. import operations
from ..conf import conf
from ..models import Operation
from ..states import State
from ..steering import ACTIONS
from . import audit, words

if TYPE_CHECKING:
    from .pages import Page

#: So long the strip shows the result of one that is over.
RESULT_SHOWN = timedelta(minutes=10)
#: The strip looks at so many of the last ones, the page shows more.
LAST, ROWS = 10, 50


@dataclass(frozen=True)
class Shown:
    """An operation in words."""

    row: Operation
    now: datetime
    may_stop: bool

    @property
    def is_over(self) -> bool:
        return self.row.finished_at is not None

    @cached_property
    def is_abandoned(self) -> bool:
        return operations.is_abandoned(self.row)

    @property
    def tone(self) -> str:
        if self.is_abandoned or self.row.failed:
            return "failed"
        if self.row.stopped_by:
            return "warning"
        return "ok" if self.is_over else "info"

    @property
    def title(self) -> str:
        count = words.jobs(self.row.of) if self.row.of is not None else _("jobs")
        names = {
            "requeue": _("Requeue %(jobs)s"),
            "enqueue": _("Enqueue %(jobs)s now"),
            "delete": _("Delete %(jobs)s"),
        }
        return names.get(self.row.action, "%(jobs)s") % {"jobs": count}

    @property
    def which(self) -> str:
        """Which jobs: their state and the filter."""
        terms = [f"{k} = {v}" for k, v in parse_qsl(self.row.query.removeprefix("?"))]
        return ", ".join([str(State(self.row.seen).label), *terms])

    @property
    def percent(self) -> int:
        return min(100, self.row.done * 100 // self.row.of) if self.row.of else 100

    @property
    def status(self) -> str:
        row = self.row
        if row.stopped_by:
            return _("Stopped by %(by)s.") % {"by": row.stopped_by}
        if self.is_over:
            return _("Finished.")
        if self.is_abandoned:
            return _("Interrupted: its job has ended before it was through.")
        if row.of is None:
            return _("Waits for a worker.")
        return _("%(percent)d %%%(left)s") % {"percent": self.percent, "left": self._left()}

    def _left(self) -> str:
        row = self.row
        if not row.done or not row.of or row.working_since is None:
            return ""
        seconds = (self.now - row.working_since).total_seconds()
        rest = seconds / row.done * max(0, row.of - row.done)
        return _(", about %(time)s left") % {"time": words.duration(max(1, rest))}


def strip(page: Page) -> list[Shown]:
    """Return what goes on and what has just ended; one statement by key."""
    shown = _shown(page, LAST)
    return [s for s in shown if not s.row.finished_at or s.now - s.row.finished_at < RESULT_SHOWN]


def page(page: Page) -> HttpResponse:
    """The last operations, with their results."""
    context = {"all_operations": _shown(page, ROWS)}
    return page.render(
        "operations_page.html",
        context,
        title=_("Operations"),
        side=True,
        live=("operations_rows.html",),
    )


def stop(page: Page, pk: int) -> HttpResponse:
    """Let an operation end where it is; what it has moved stays moved."""
    rows = Operation.objects.using(conf.DATABASE)
    # No key is larger, and SQLite raises for one that is.
    operation = rows.filter(pk=pk).first() if pk < 2**63 else None
    if operation is None:
        return page.missing(_("There is no such operation."))
    action = ACTIONS[operation.action]
    page.require(action.verb)
    if operations.stop(operation, by=page.actor):
        operation.refresh_from_db()
        audit.note_stop(page, action, operation)
        text = _("Stopped after %(jobs)s.") % {"jobs": words.jobs(operation.done)}
        messages.success(page.request, text)
    else:
        messages.warning(page.request, _("That operation was over already."))
    return page.back("job_changelist")


def _shown(page: Page, limit: int) -> list[Shown]:
    rows = Operation.objects.using(conf.DATABASE).select_related("job")
    # Arguments may be long, and nobody looks at them here.
    rows = rows.defer("job__arguments", "job__options").order_by("-pk")[:limit]
    now = timezone.now()
    return [
        Shown(row, now, page.can(ACTIONS[row.action].verb))
        for row in rows
        if row.action in ACTIONS  # one of another version
    ]
