"""The table of all pages and actions: address, view, permission."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Model

from ..models import Job
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
    Route(Job, "htmx.js", "htmx", "assets.htmx", cacheable=True),
    Route(Job, "failures/", "failures", "failures.page"),
    Route(Job, "<state:state>/", "state", "lists.page"),
)


def of(model: type[Model]) -> list[Route]:
    """Return the routes under the address of `model`."""
    return [route for route in ROUTES if route.model is model]
