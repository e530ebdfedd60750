"""The servers that live, and what their workers do."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.http import HttpResponse
from django.utils.translation import gettext as _

from ..conf import conf
from ..models import Job, Server
from ..states import State
from . import metrics
from .pages import Page

#: So many running jobs are shown, of all servers together.
RUNNING = 200


@dataclass
class Shown:
    """A server as the page shows it."""

    row: Server
    now: datetime
    running: list[Job] = field(default_factory=list)

    @property
    def age(self) -> float:
        """Seconds since its last heartbeat."""
        return (self.now - self.row.heartbeat_at).total_seconds()

    @property
    def status(self) -> str:
        """`alive`, `late` when two heartbeats are missing, `silent` when it is given up soon."""
        if self.age >= conf.SERVER_TIMEOUT_SECONDS:
            return "silent"
        return "late" if self.age > 2 * conf.HEARTBEAT_SECONDS + 1 else "alive"


def page(page: Page) -> HttpResponse:
    """All servers."""
    now = metrics.snapshot().database_time
    rows = [Shown(row, now) for row in Server.objects.using(conf.DATABASE)]
    by_name = {shown.row.name: shown for shown in rows}
    if page.can("view"):
        running = Job.objects.using(conf.DATABASE).filter(state=State.PROCESSING)
        for job in running.defer("options").order_by("state_changed_at", "id")[:RUNNING]:
            if job.server in by_name:
                by_name[job.server].running.append(job)
    context: dict[str, Any] = {
        "servers": rows,
        "silent": any(shown.status == "silent" for shown in rows),
    }
    return page.render("servers.html", context, title=_("Servers"), live=("servers_rows.html",))
