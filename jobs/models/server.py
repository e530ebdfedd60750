"""A running cluster."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .fields import JSONTextField


class Order(models.TextChoices):
    """What a server was asked to do and goes on doing."""

    NONE = "", _("none")
    QUIET = "quiet", _("take no new jobs")
    STOP = "stop", _("stop")


class Server(models.Model):
    """A `qcluster` that lives. Its row goes when it stops or is given up.

    `beat` grows with each heartbeat: an observer whose own clock is wrong still sees it move.
    """

    name = models.CharField(_("name"), max_length=100, primary_key=True)
    host = models.CharField(_("host"), max_length=255)
    pid = models.PositiveIntegerField(_("process"))
    # Who may say "that process is gone": same boot, same PID namespace, same start time.
    boot_id = models.CharField(max_length=64, blank=True, default="", editable=False)
    pid_namespace = models.CharField(max_length=64, blank=True, default="", editable=False)
    process_started = models.CharField(max_length=32, blank=True, default="", editable=False)
    started_at = models.DateTimeField(_("started"), default=timezone.now)
    heartbeat_at = models.DateTimeField(_("heartbeat"))
    beat = models.PositiveBigIntegerField(_("beats"), default=0)
    queues = JSONTextField(_("queues"), default=list)
    workers = JSONTextField(_("workers"), default=list)
    load = JSONTextField(_("CPU and memory"), default=dict)
    # What somebody asked of it: the server reads it with the rows of the others.
    order = models.CharField(
        _("order"), max_length=10, choices=Order.choices, blank=True, default=Order.NONE
    )
    ordered_at = models.DateTimeField(_("ordered"), null=True, blank=True)
    ordered_by = models.CharField(_("ordered by"), max_length=150, blank=True, default="")
    ordered_reason = models.CharField(_("why"), max_length=255, blank=True, default="")

    class Meta:
        verbose_name = _("server")
        verbose_name_plural = _("servers")
        permissions = [("stop_server", _("Can quiet, resume and stop servers"))]
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
