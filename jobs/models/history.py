"""What a job went through."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from ..states import State
from .fields import JSONTextField


class HistoryEntry(models.Model):
    """A state that a job has left. Written once, never changed, gone with its job.

    The entry of `processing` is the attempt: its data holds server, worker, attempt, token, start
    and end, and the result or the error with its traceback.
    """

    job = models.ForeignKey(
        "Job",
        models.CASCADE,
        verbose_name=_("job"),
        related_name="history",
        db_constraint=False,  # for the reason given at Job.parent
    )
    state = models.CharField(_("state"), max_length=10, choices=State.choices)
    reason = models.CharField(_("reason"), max_length=255, blank=True, default="")
    data = JSONTextField(_("data"), default=dict)
    entered_at = models.DateTimeField(_("entered"))
    left_at = models.DateTimeField(_("left"))

    class Meta:
        verbose_name = _("history entry")
        verbose_name_plural = _("history")
        ordering = ["id"]

    def __str__(self) -> str:
        return f"#{self.job_id} {self.state}"
