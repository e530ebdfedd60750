"""The app."""

from __future__ import annotations

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _

from .conf import mend_q_cluster


class JobsConfig(AppConfig):
    name = __package__
    verbose_name = _("Background jobs")
    default_auto_field = "django.db.models.BigAutoField"

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        mend_q_cluster()

    def ready(self) -> None:
        from . import checks  # noqa: F401
        from .bridge import install
        from .recurring_jobs import write_when_migrated

        install()
        post_migrate.connect(
            write_when_migrated, sender=self, dispatch_uid=f"{__name__}.write_when_migrated"
        )
