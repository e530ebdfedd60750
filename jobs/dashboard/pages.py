"""What every page has in common: who may see it, its frame, its live parts, its faults."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from importlib import import_module
from typing import Any

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.db import Error
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, register_converter, reverse
from django.utils.translation import gettext as _

from ..models import Job
from . import assets, converters, frame, metrics, operations, routes
from .permissions import Permission
from .routes import Route

logger = logging.getLogger(__name__)

register_converter(converters.StateConverter, "state")

#: Where the templates are.
TEMPLATES = "jobs/dashboard"


class Page:
    """One request for one page of the dashboard, on one admin site; `route`: None elsewhere on it."""

    def __init__(self, request: HttpRequest, site: AdminSite, route: Route | None) -> None:
        self.request, self.site, self.route = request, site, route
        self.started = time.perf_counter()

    @property
    def is_update(self) -> bool:
        """Whether a page that is open asks for its live parts only."""
        return self.request.headers.get("HX-Request") == "true"

    @property
    def actor(self) -> str:
        """Who asks, as pauses and history note it; at most 150 characters."""
        return str(self.request.user.get_username())[:150]

    def can(self, verb: str, model: type[Model] = Job) -> bool:
        """Whether the user may do `verb` on rows of `model`."""
        return Permission(verb, model).held_by(self.request.user)

    def require(self, verb: str, model: type[Model] = Job) -> None:
        """Raise PermissionDenied unless the user may do `verb` on rows of `model`."""
        if not self.can(verb, model):
            raise PermissionDenied

    def url(self, name: str, *args: Any, **query: Any) -> str:
        """Return the address of a page, `name` as in the table of routes: `job_changelist`."""
        return address(self.site, name, *args, **query)

    def say(self, text: str, *, good: bool = False) -> None:
        """Let the next page begin with this sentence. `good`: something was done."""
        messages.add_message(self.request, messages.SUCCESS if good else messages.WARNING, text)

    def origin(self, fallback: str, *args: Any) -> str:
        """Return where an action was asked for: the field `next`, if it is one of our pages."""
        wanted = self.request.POST.get("next", "")
        root = reverse(f"{self.site.name}:index", current_app=self.site.name)
        ours = wanted.startswith(root) and not wanted.startswith("//") and "\\" not in wanted
        return wanted if ours else self.url(fallback, *args)

    def back(self, fallback: str, *args: Any) -> HttpResponse:
        """Go to where the action was asked for."""
        metrics.forget()  # the page it leads to shows what was done
        return redirect(self.origin(fallback, *args))

    def render(
        self,
        template: str,
        context: Mapping[str, Any],
        *,
        title: str,
        live: Sequence[str] = (),
        status: int = 200,
        side: bool = False,
    ) -> HttpResponse:
        """Answer with a page, or with its live parts when an open one asks for these.

        `template`: extends `base.html`; `live`: templates of fragments, each with one root element
        that has an id and `{{ oob }}`, and is included by `template` where it belongs. `side`: with
        the states beside the page.
        """
        values = {**context, "page": self, "title": title, "side": side}
        values.update(frame.context(self))
        if side:
            values["operations"] = operations.strip(self)
        values["htmx_url"] = self.url("job_htmx", v=assets.version())
        if not self.is_update:
            return TemplateResponse(
                self.request, f"{TEMPLATES}/{template}", values, status=status
            ).render()
        parts = [f"{TEMPLATES}/{name}" for name in ("nav.html", *live)]
        beside = (f"{TEMPLATES}/side.html", f"{TEMPLATES}/operations.html") if side else ()
        values["parts"] = [*parts, *beside]
        values["oob"] = True
        return TemplateResponse(self.request, f"{TEMPLATES}/live.html", values).render()

    def missing(self, what: str, *, back: tuple[str, str] | None = None) -> HttpResponse:
        """Answer 404 with what is not there, and the way back: (address, words)."""
        where = back or (self.url("job_changelist"), _("All jobs"))
        return self.render(
            "missing.html", {"what": what, "back": where}, title=_("Not found"), status=404
        )


def address(site: AdminSite, name: str, *args: Any, **query: Any) -> str:
    """Return the address of a page on `site`; `query`: what follows the question mark."""
    full = f"{site.name}:{Job._meta.app_label}_{name}"
    given = {key: value for key, value in query.items() if value not in (None, "")}
    return reverse(full, args=args, query=given or None, current_app=site.name)


def as_view(route: Route, site: AdminSite) -> Callable[..., HttpResponseBase]:
    """Return the view of a route on `site`: logged in, permitted, framed, and without a 500."""

    def view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        page = Page(request, site, route)
        request.current_app = site.name
        if not route.permission.held_by(request.user):
            raise PermissionDenied
        if request.method not in route.methods:
            return HttpResponse(status=405, headers={"Allow": ", ".join(route.methods)})
        try:
            return _function(route)(page, *args, **kwargs)
        except Http404 as error:
            return page.missing(str(error) or _("There is nothing here."))

    inner = site.admin_view(view, cacheable=route.cacheable)

    @wraps(view)
    def outer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            if request.headers.get("HX-Request") and not site.has_permission(request):
                # htmx would put the log-in page into the open one.
                login = reverse(f"{site.name}:login", current_app=site.name)
                return HttpResponse(status=401, headers={"HX-Redirect": login})
            return inner(request, *args, **kwargs)
        except Error as error:
            logger.exception("the database did not answer %s: %s", request.path, error)
            return unreachable(request)

    return outer


def urls(model: type[Model], site: AdminSite) -> list[URLPattern]:
    """Return the addresses of a model's pages, for its ModelAdmin."""
    return [
        path(
            route.path,
            as_view(route, site),
            name=f"{model._meta.app_label}_{model._meta.model_name}_{route.name}",
        )
        for route in routes.of(model)
    ]


def unreachable(request: HttpRequest) -> HttpResponse:
    """Answer 503 when the database is away, without asking it anything."""
    if request.headers.get("HX-Request"):
        return HttpResponse(status=503)
    return TemplateResponse(request, f"{TEMPLATES}/unreachable.html", status=503).render()


def _function(route: Route) -> Callable[..., HttpResponseBase]:
    module, _dot, name = route.view.rpartition(".")
    return getattr(import_module(f".{module}", __package__), name)
