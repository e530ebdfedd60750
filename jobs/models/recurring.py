"""A job that comes back by schedule."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .fields import JSONTextField


class Misfire(models.TextChoices):
    """What happens to occurrences that were missed."""

    ONCE = "once", _("Once")
    ALL = "all", _("All")
    SKIP = "skip", _("Skip")


class RecurringJob(models.Model):
    """A schedule that creates one Job per occurrence."""

    name = models.CharField(_("name"), max_length=150, unique=True)
    func = models.CharField(_("function"), max_length=255)
    arguments = JSONTextField(_("arguments"))
    options = JSONTextField(_("options"), default=dict)
    queue = models.CharField(_("queue"), max_length=100)
    priority = models.SmallIntegerField(_("priority"), default=0)
    cron = models.CharField(_("cron expression"), max_length=255)
    time_zone = models.CharField(_("time zone"), max_length=64, default="UTC")
    misfire = models.CharField(
        _("missed occurrences"), max_length=4, choices=Misfire.choices, default=Misfire.ONCE
    )
    next_run = models.DateTimeField(_("next run"), null=True, blank=True)
    last_run = models.DateTimeField(_("last run"), null=True, blank=True)
    error = models.TextField(_("error"), blank=True, default="")
    # What the code said when it was last deployed: only a changed declaration changes the row.
    declared = JSONTextField(default=dict, editable=False)
    paused_at = models.DateTimeField(_("paused since"), null=True, blank=True)
    paused_by = models.CharField(_("paused by"), max_length=150, blank=True, default="")
    paused_reason = models.CharField(_("why"), max_length=255, blank=True, default="")
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name = _("recurring job")
        verbose_name_plural = _("recurring jobs")
        ordering = ["name"]
        indexes = [models.Index(fields=["next_run"], name="%(app_label)s_next_run_idx")]

    def __str__(self) -> str:
        return self.name
