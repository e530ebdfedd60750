"""A queue by name, so that listing queues never scans jobs."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Queue(models.Model):
    """A queue that has been used. Jobs name their queue by text; this row carries the pause."""

    name = models.CharField(_("name"), max_length=100, primary_key=True)
    created_at = models.DateTimeField(_("first used"), default=timezone.now)
    paused_at = models.DateTimeField(_("paused since"), null=True, blank=True)
    paused_by = models.CharField(_("paused by"), max_length=150, blank=True, default="")
    paused_reason = models.CharField(_("why"), max_length=255, blank=True, default="")

    class Meta:
        verbose_name = _("queue")
        verbose_name_plural = _("queues")
        permissions = [("pause_queue", _("Can pause and resume queues"))]
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
