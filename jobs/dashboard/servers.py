"""Servers: which live, what each is doing, and asking one to be quiet, to go on or to stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.http import HttpResponse
from django.utils.translation import gettext as _

from .. import servers
from ..conf import conf
from ..exceptions import JobsError
from ..health import database_now
from ..models import Job, Order, Server
from ..states import State
from .pages import Page

#: No page shows more servers, or more of what they run.
SERVERS, RUNNING = 200, 500
#: A heartbeat that is missed once may be the network's; after so many it is late.
LATE_BEATS = 2.5
REASON_LENGTH = 255


@dataclass(frozen=True)
class Work:
    """A job that a worker runs."""

    slot: int
    id: int
    since: datetime | None
    job: Job | None


@dataclass
class Row:
    """A server as it is shown."""

    server: Server
    age: float
    work: list[Work] = field(default_factory=list)

    @property
    def state(self) -> str:
        """By its heartbeat: alive, late or silent."""
        if self.age >= conf.SERVER_TIMEOUT_SECONDS:
            return "silent"
        return "late" if self.age > LATE_BEATS * conf.HEARTBEAT_SECONDS else "alive"

    @property
    def is_quiet(self) -> bool:
        return self.server.order == Order.QUIET

    @property
    def is_stopping(self) -> bool:
        return self.server.order == Order.STOP

    @property
    def hears(self) -> bool:
        """Whether there is anything to ask of it: it answers, and does not stop already."""
        return self.state != "silent" and not self.is_stopping

    @property
    def look(self) -> tuple[str, str]:
        """Its glyph and the colours of its state."""
        if self.state == "silent":
            return "warn", "danger"
        if self.is_stopping:
            return "stop", "warning"
        if self.is_quiet:
            return "pause", "warning"
        return ("succeeded", "ok") if self.state == "alive" else ("warn", "warning")

    @property
    def cpu(self) -> float | None:
        return self._load("cpu_percent")

    @property
    def memory(self) -> float | None:
        return self._load("memory_mb")

    def _load(self, key: str) -> float | None:
        known = self.server.load if isinstance(self.server.load, dict) else {}
        return None if self.state == "silent" else known.get(key)


def page(page: Page) -> HttpResponse:
    """All servers, by name."""
    rows = _rows()
    context = {
        "rows": rows,
        "silent": [row for row in rows if row.state == "silent"],
        "running": sum(len(row.work) for row in rows),
        "timeout": conf.SERVER_TIMEOUT_SECONDS,
    }
    return page.render("servers.html", context, title=_("Servers"), live=("server_rows.html",))


def act(page: Page) -> HttpResponse:
    """Ask the server `server` for `action`: at first whether that is meant, then do it."""
    post = page.request.POST
    name, action = post.get("server", ""), post.get("action", "")
    if action not in _ACTIONS:
        page.say(_("Nothing was done: “%(action)s” is no action.") % {"action": action[:50]})
        return page.back("server_changelist")
    server = Server.objects.using(conf.DATABASE).filter(name=name).first()
    if server is None:
        page.say(_("Nothing was done: server %(name)s is gone.") % {"name": name[:100]})
        return page.back("server_changelist")
    ask, question, done, why_not = _ACTIONS[action]
    if post.get("sure") != "1":
        context = {
            "server": server,
            "action": action,
            "explanation": question(),
            "next": post.get("next", ""),
        }
        return page.render("server_sure.html", context, title=_TITLES[action]() % {"name": name})
    reason = post.get("reason", "").strip()[:REASON_LENGTH]
    try:
        changed = ask(name, by=page.actor, reason=reason)
    except JobsError as error:
        page.say(str(error))
        return page.back("server_changelist")
    if changed:
        log(page, server, done() % {"name": name}, reason)
    page.say((done() if changed else why_not()) % {"name": name}, good=changed)
    return page.back("server_changelist")


def log(page: Page, row: Model, what: str, reason: str) -> None:
    """Write into the admin's log what was done to a server or queue, and why."""
    LogEntry.objects.create(
        user_id=cast("int", page.request.user.pk),
        content_type=ContentType.objects.get_for_model(row, for_concrete_model=False),
        object_id=str(row.pk),
        object_repr=str(row)[:200],
        action_flag=CHANGE,
        change_message=f"{what}: {reason}" if reason else what,
    )


_ACTIONS: dict[
    str, tuple[Callable[..., bool], Callable[[], str], Callable[[], str], Callable[[], str]]
] = {
    "quiet": (
        servers.quiet_server,
        lambda: _(
            "It takes no new jobs and puts back what it has not started. Jobs that run go on."
        ),
        lambda: _("Server %(name)s was asked to take no new jobs."),
        lambda: _("Nothing was done: server %(name)s is quiet or stops already."),
    ),
    "resume": (
        servers.resume_server,
        lambda: _("It takes new jobs again."),
        lambda: _("Server %(name)s was asked to take jobs again."),
        lambda: _("Nothing was done: server %(name)s is not quiet."),
    ),
    "stop": (
        servers.stop_server,
        lambda: (
            _(
                "It stops as by SIGTERM: jobs that run have %(seconds)g s to end, what is left runs "
                "again elsewhere. Whatever supervises the process may start it anew."
            )
            % {"seconds": conf.SHUTDOWN_SECONDS}
        ),
        lambda: _("Server %(name)s was asked to stop."),
        lambda: _("Nothing was done: server %(name)s stops already."),
    ),
}
_TITLES: dict[str, Callable[[], str]] = {
    "quiet": lambda: _("Quiet server %(name)s?"),
    "resume": lambda: _("Resume server %(name)s?"),
    "stop": lambda: _("Stop server %(name)s?"),
}


def _rows() -> list[Row]:
    found = list(Server.objects.using(conf.DATABASE).order_by("name")[:SERVERS])
    if not found:
        return []
    now = database_now()
    ids = [work["job"] for server in found for work in server.workers][:RUNNING]
    running = Job.objects.using(conf.DATABASE).filter(pk__in=ids, state=State.PROCESSING)
    known = {job.pk: job for job in running.only("pk", "func", "queue", "server", "state")}
    rows = []
    for server in found:
        row = Row(server, max(0.0, (now - server.heartbeat_at).total_seconds()))
        for work in server.workers:
            job = known.get(work["job"])
            # The list is as old as the heartbeat: leave out what has ended since.
            if job is not None and job.server == server.name:
                row.work.append(Work(work["slot"], job.pk, _moment(work.get("since")), job))
        rows.append(row)
    return rows


def _moment(seconds: Any) -> datetime | None:
    if not isinstance(seconds, int | float):
        return None
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
