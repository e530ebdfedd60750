"""What stands around every page: navigation, the states beside it, the footer."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.utils.translation import gettext as _

from .. import __version__
from ..conf import conf
from ..models import Job, Queue, RecurringJob, Server
from ..states import State
from . import metrics, words

if TYPE_CHECKING:
    from .pages import Page

#: Above so many seconds between the clocks the footer warns.
CLOCK_WARNING_SECONDS = 2.0
#: The order of the states beside the pages, and the sentence that says what each means.
SIDE = tuple(State)


@dataclass(frozen=True)
class Badge:
    """A small number beside a word. `tone`: the state whose colours it has."""

    text: str
    tone: str = "quiet"
    full: bool = False
    title: str = ""
    #: What a screen reader says after the number.
    word: str = ""


@dataclass(frozen=True)
class Link:
    """An entry of the navigation."""

    title: str
    url: str
    current: bool = False
    badges: list[Badge] = field(default_factory=list)
    #: The first of another group.
    apart: bool = False
    icon: str = ""


def context(page: Page) -> dict[str, Any]:
    """Return what the frame's templates need. At most four statements, mostly none."""
    numbers = metrics.snapshot()
    return {
        "numbers": numbers,
        "nav": _navigation(page, numbers),
        "states": _states(page, numbers) if page.can("view", Job) else [],
        "foot": _footer(page, numbers),
        "overview_url": page.url("job_overview") if page.can("view", Job) else "",
        "site_header": page.site.site_header,
        "site_url": page.site.site_url,
        "has_permission": True,
    }


def _navigation(page: Page, numbers: metrics.Snapshot) -> list[Link]:
    model, name = (page.route.model, page.route.name) if page.route else (None, "")
    links = []
    if page.can("view", Job):
        here = model is Job and name not in ("overview", "retries")
        links.append(
            Link(_("Jobs"), page.url("job_changelist"), here, _job_badges(numbers)),
        )
        badge = Badge(str(numbers.retries), "warning" if numbers.retries else "quiet")
        links.append(Link(_("Retries"), page.url("job_retries"), name == "retries", [badge]))
    for kind, title, badge in (
        (RecurringJob, _("Recurring jobs"), Badge(str(numbers.recurring))),
        (Server, _("Servers"), _server_badge(numbers)),
        (Queue, _("Queues"), _queue_badge(numbers)),
    ):
        if page.can("view", kind):
            url = page.url(f"{kind._meta.model_name}_changelist")
            links.append(Link(title, url, model is kind or page.request.path == url, [badge]))
    return [*links, *_own_models(page)]


def _own_models(page: Page) -> list[Link]:
    """Return the application's own apps, as the admin lists them to this user."""
    found: list[Link] = []
    for app in page.site.get_app_list(page.request):
        if app["app_label"] != Job._meta.app_label:
            here = page.request.path.startswith(app["app_url"])
            found.append(Link(str(app["name"]), app["app_url"], here, apart=not found))
    return found


def _job_badges(numbers: metrics.Snapshot) -> list[Badge]:
    enqueued, failed = numbers.states[State.ENQUEUED], numbers.states[State.FAILED]
    badges = []
    if enqueued or not failed:
        shown = enqueued or numbers.states[State.SCHEDULED]
        word = _("enqueued") if enqueued else _("scheduled")
        tone = "info" if shown else "quiet"
        badges.append(Badge(str(shown), tone, full=bool(enqueued and not failed), word=word))
    if failed:
        title = _("%(count)s failed jobs wait for a decision") % {"count": failed}
        badges.append(Badge(str(failed), "failed", full=True, title=title, word=_("failed")))
    return badges


def _server_badge(numbers: metrics.Snapshot) -> Badge:
    if numbers.servers:
        return Badge(words.number(numbers.servers))
    return Badge("0", "warning", full=True, title=_("No server runs: nothing will be processed"))


def _queue_badge(numbers: metrics.Snapshot) -> Badge:
    if not numbers.queues_paused:
        return Badge(words.number(numbers.queues))
    return Badge(
        words.number(numbers.queues), "warning", title=_("%d paused") % numbers.queues_paused
    )


#: Which states call for attention when there are any.
_TONES = {
    State.ENQUEUED: "info",
    State.SCHEDULED: "info",
    State.AWAITING: "info",
    State.PROCESSING: "warning",
    State.FAILED: "failed",
}


def _states(page: Page, numbers: metrics.Snapshot) -> list[Link]:
    current = page.request.resolver_match.kwargs.get("state") if page.request.resolver_match else ""
    if page.route and page.route.name == "failures":
        current = State.FAILED
    links = []
    for state in SIDE:
        count = numbers.states[state]
        tone = _TONES.get(state, "quiet") if count else "quiet"
        full = bool(count) and state in (State.ENQUEUED, State.FAILED)
        badge = Badge(str(count), tone, full=full)
        url = page.url("job_state", state)
        links.append(Link(str(state.label), url, current == state, [badge], icon=str(state)))
    return links


def _footer(page: Page, numbers: metrics.Snapshot) -> dict[str, Any]:
    ahead = numbers.clocks_differ_by
    return {
        "version": __version__,
        "storage": storage(conf.DATABASE),
        "database_time": numbers.database_time,
        "application_time": numbers.application_time,
        "clock_warning": words.duration(abs(ahead)) if abs(ahead) > CLOCK_WARNING_SECONDS else "",
        "milliseconds": round((time.perf_counter() - page.started) * 1000),
    }


@cache
def storage(alias: str) -> str:
    """Return the database's name and version: `PostgreSQL 17.2`."""
    connection = connections[alias]
    version = ".".join(map(str, connection.get_database_version()[:2]))
    return f"{connection.display_name} {version}"
