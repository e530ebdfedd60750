"""The table of all pages and actions: address, view, permission."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Model

from ..models import Job, Queue, RecurringJob, Server
from .permissions import Permission

GET, POST = ("GET", "HEAD"), ("POST",)


@dataclass(frozen=True)
class Route:
    """A page or an action. Its address lies under that of `model` in the admin."""

    model: type[Model]
    path: str
    #: In the admin's namespace it is `<app>_<model>_<name>`.
    name: str
    #: A function of (page, …) in this package: `module.function`.
    view: str
    #: What the user must be allowed to do with rows of `model` to get there at all.
    verb: str = "view"
    methods: tuple[str, ...] = GET
    #: Whether browsers may keep the answer.
    cacheable: bool = False

    @property
    def permission(self) -> Permission:
        return Permission(self.verb, self.model)


ROUTES = (
    Route(Job, "", "changelist", "lists.all_states"),
    Route(Job, "overview/", "overview", "overview.page"),
    Route(Job, "stats.json", "stats", "overview.stats"),
    Route(Job, "htmx.js", "htmx", "assets.htmx", cacheable=True),
    Route(Job, "retries/", "retries", "lists.retries"),
    Route(Job, "failures/", "failures", "failures.page"),
    Route(Job, "<state:state>/", "state", "lists.page"),
    Route(Job, "act/", "act", "acting.act", methods=POST),
    Route(Job, "operations/", "operations", "operations.page"),
    Route(Job, "operations/<int:pk>/stop/", "operation_stop", "operations.stop", methods=POST),
    Route(Job, "<int:pk>/change/", "change", "details.page"),
    Route(Job, "<int:pk>/run/", "run", "run.page", verb="run", methods=(*GET, *POST)),
    Route(RecurringJob, "", "changelist", "recurring.lists.page"),
    Route(RecurringJob, "add/", "add", "recurring.editing.add", "add", (*GET, *POST)),
    Route(RecurringJob, "act/", "act", "recurring.actions.act", methods=(*GET, *POST)),
    Route(RecurringJob, "preview/", "preview", "recurring.editing.preview"),
    Route(RecurringJob, "<int:pk>/change/", "change", "recurring.details.page"),
    Route(
        RecurringJob, "<int:pk>/edit/", "edit", "recurring.editing.edit", "change", (*GET, *POST)
    ),
    Route(RecurringJob, "<int:pk>/delete/", "delete", "recurring.actions.delete_page", "delete"),
    # Whatever else the admin would take for an id: its own pages are not to be found beside ours.
    Route(RecurringJob, "<path:unknown>/change/", "unknown", "recurring.details.missing"),
    Route(RecurringJob, "<path:unknown>/delete/", "unknown_delete", "recurring.details.missing"),
    Route(Server, "", "changelist", "servers.page"),
    Route(Server, "act/", "act", "servers.act", "stop", POST),
    Route(Queue, "", "changelist", "queues.page"),
    Route(Queue, "act/", "act", "queues.act", "pause", POST),
)


def of(model: type[Model]) -> list[Route]:
    """Return the routes under the address of `model`."""
    return [route for route in ROUTES if route.model is model]
