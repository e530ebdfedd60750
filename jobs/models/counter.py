"""How much happened, by minute, and by hour when it is long ago."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Span(models.IntegerChoices):
    """How many seconds a counter covers."""

    MINUTE = 60, _("Minute")
    HOUR = 3600, _("Hour")


class Counter(models.Model):
    """A number of events in one minute on one server, written by that server alone.

    Readers sum over servers. After two days the minutes of an hour are summed into one row per
    name, without a server. Names and reading: `statistics`.
    """

    span = models.PositiveSmallIntegerField(
        _("span"), choices=Span.choices, default=Span.MINUTE, editable=False
    )
    # The first minute of what it covers.
    minute = models.DateTimeField(_("minute"))
    server = models.CharField(_("server"), max_length=100, blank=True, default="")
    name = models.CharField(_("name"), max_length=50)
    value = models.BigIntegerField(_("value"), default=0)

    class Meta:
        verbose_name = _("counter")
        verbose_name_plural = _("counters")
        constraints = [
            models.UniqueConstraint(
                fields=["span", "minute", "server", "name"], name="%(app_label)s_counter_key"
            )
        ]

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M} {self.server} {self.name}"
