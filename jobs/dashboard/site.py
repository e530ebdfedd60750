"""An admin site that is the dashboard: its index is the overview, its frame is around every page."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from ..models import Job
from . import frame, pages
from .permissions import Permission


class DashboardSite(AdminSite):
    """Use it as `default_site` of an AdminConfig, and extend `jobs/dashboard/base_site.html`.

    Without it the pages are the same, under the stock site's own path and frame.
    """

    enable_nav_sidebar = False  # the navigation lists the apps

    def index(  # type: ignore[override]
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Lead to the overview whoever may see it, others to the list of their apps."""
        if Permission("view", Job).held_by(request.user):
            return redirect(pages.address(self, "job_overview"))
        return super().index(request, extra_context)

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Return what the frame around the admin's own pages needs, too."""
        context = super().each_context(request)
        if context["has_permission"]:
            page = pages.Page(request, self, None)
            context.update(frame.context(page), page=page)
        return context
