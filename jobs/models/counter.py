"""How much happened, by minute."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Counter(models.Model):
    """A number of events in one minute on one server, written by that server alone.

    Readers sum over servers.
    """

    minute = models.DateTimeField(_("minute"))
    server = models.CharField(_("server"), max_length=100, blank=True, default="")
    name = models.CharField(_("name"), max_length=50)
    value = models.BigIntegerField(_("value"), default=0)

    class Meta:
        verbose_name = _("counter")
        verbose_name_plural = _("counters")
        constraints = [
            models.UniqueConstraint(
                fields=["minute", "server", "name"], name="%(app_label)s_counter_key"
            )
        ]

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M} {self.server} {self.name}"
