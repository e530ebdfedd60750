"""The admin of the demo project: the dashboard with our name on it."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from jobs.dashboard.site import DashboardSite


class Site(DashboardSite):
    site_header = site_title = "Bonfire"
    index_title = _("Administration")
