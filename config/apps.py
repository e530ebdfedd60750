"""The admin as an app, with the dashboard as its site."""

from __future__ import annotations

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.apps import AdminConfig


class SiteConfig(AdminConfig):
    """The admin of the demo, with the jobs of one package only."""

    default_site = "config.admin.Site"

    def ready(self) -> None:
        super().ready()
        # django-q2's own tables stay empty here: its workers run the jobs of `jobs`.
        for model in apps.get_app_config("django_q").get_models():
            if admin.site.is_registered(model):
                admin.site.unregister(model)
