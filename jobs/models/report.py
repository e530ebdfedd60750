"""What a job told of itself while it ran: how far it is, and its log."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class JobProgress(models.Model):
    """How far a job is, by its own words; there is none for a job that told nothing.

    A table of its own, because the rows of jobs are the engine's and hot.
    """

    job = models.OneToOneField(
        "Job",
        models.CASCADE,
        verbose_name=_("job"),
        primary_key=True,
        related_name="reported_progress",
        db_constraint=False,  # for the reason given at Job.parent
    )
    attempt = models.PositiveIntegerField(_("attempt"), default=1)
    # None: the job told no progress, only more lines than are kept.
    done = models.FloatField(_("done"), null=True)
    total = models.FloatField(_("of"), null=True)
    text = models.TextField(_("text"), blank=True, default="")
    dropped = models.PositiveIntegerField(_("lines not kept"), default=0)
    reported_at = models.DateTimeField(_("reported"))

    class Meta:
        verbose_name = _("progress")
        verbose_name_plural = _("progress")
        default_permissions = ()

    def __str__(self) -> str:
        return f"#{self.pk} {self.done}/{self.total}"


class LogLine(models.Model):
    """A line that a job logged. Written once, gone with its job or when there are too many."""

    job = models.ForeignKey(
        "Job",
        models.CASCADE,
        verbose_name=_("job"),
        related_name="log_lines",
        db_constraint=False,  # for the reason given at Job.parent
    )
    attempt = models.PositiveIntegerField(_("attempt"), default=1)
    at = models.DateTimeField(_("at"))
    level = models.PositiveSmallIntegerField(_("level"))
    text = models.TextField(_("text"))

    class Meta:
        verbose_name = _("log line")
        verbose_name_plural = _("log lines")
        default_permissions = ()
        ordering = ["id"]

    def __str__(self) -> str:
        return f"#{self.job_id} {self.text}"
