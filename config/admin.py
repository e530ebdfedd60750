"""The admin of the demo project."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.apps import AdminConfig
from django.http import HttpRequest
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _


class Site(admin.AdminSite):
    site_header = site_title = "Bonfire"
    index_title = _("Administration")

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Open the dashboard's overview, for whoever may see it."""
        if request.user.has_perm("jobs.view_job"):
            return redirect("admin:jobs_job_overview")
        return super().index(request, extra_context)


class SiteConfig(AdminConfig):
    """The admin with our name on it, and with the jobs of one package only."""

    default_site = "config.admin.Site"

    def ready(self) -> None:
        super().ready()
        # django-q2's own tables stay empty here: its workers run the jobs of `jobs`.
        for model in apps.get_app_config("django_q").get_models():
            if admin.site.is_registered(model):
                admin.site.unregister(model)
