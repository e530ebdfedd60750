"""What is done to more jobs than one request can carry."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..states import State
from .job import Job


class Operation(models.Model):
    """One action on all jobs that match a filter, and how far it has come; see `operations`.

    A row of its own, not the progress of the job that works through it: its numbers are written
    in the transactions that move the jobs, so that after a crash they are right and it goes on
    where it stopped; and it is still there to be read when that job has expired.
    """

    # What is asked for.
    action = models.CharField(_("action"), max_length=20)
    seen = models.CharField(_("state shown"), max_length=10, choices=State.choices)
    query = models.TextField(_("filter"), blank=True, default="")
    reason = models.CharField(_("reason"), max_length=200, blank=True, default="")
    by = models.CharField(_("started by"), max_length=150)
    started_at = models.DateTimeField(_("started"), default=timezone.now)
    # Of the open operations, one for each action on each set; NULL when it is over.
    open_key = models.CharField(max_length=64, null=True, unique=True, editable=False)

    # How far it has come. `until`: the newest job when it was asked for; `last_id`: the last tried.
    job = models.ForeignKey(
        Job, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False, null=True
    )
    until = models.BigIntegerField(editable=False)
    last_id = models.BigIntegerField(default=0, editable=False)
    of = models.PositiveIntegerField(_("jobs"), null=True)
    moved = models.PositiveIntegerField(_("moved"), default=0)
    skipped = models.PositiveIntegerField(_("skipped"), default=0)
    failed = models.PositiveIntegerField(_("failed"), default=0)
    working_since = models.DateTimeField(_("working since"), null=True)

    # How it ended.
    finished_at = models.DateTimeField(_("finished"), null=True)
    stopped_by = models.CharField(_("stopped by"), max_length=150, blank=True, default="")

    class Meta:
        verbose_name = _("operation")
        verbose_name_plural = _("operations")
        # Who may do the action may do it to many, and stop it.
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.action} all {self.seen}"

    @property
    def done(self) -> int:
        """How many jobs have been tried."""
        return self.moved + self.skipped + self.failed
