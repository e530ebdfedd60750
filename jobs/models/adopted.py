"""What of another API's rows has become ours."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Source(models.TextChoices):
    """The kinds of rows that are taken over."""

    SCHEDULE = "schedule", _("Schedule")
    ORMQ = "ormq", _("OrmQ")
    TASK = "task", _("Task")


class Adopted(models.Model):
    """A row of django-q2's and the recurring job or job that was made of it."""

    source = models.CharField(_("source"), max_length=10, choices=Source.choices)
    key = models.CharField(_("key"), max_length=32)
    recurring_job = models.ForeignKey(
        "RecurringJob",
        models.SET_NULL,
        verbose_name=_("recurring job"),
        related_name="+",
        db_constraint=False,
        null=True,
        blank=True,
    )
    # No foreign key: jobs are pruned without asking who points at them.
    job_id = models.BigIntegerField(_("job"), null=True, blank=True)

    class Meta:
        verbose_name = _("adopted row")
        verbose_name_plural = _("adopted rows")
        constraints = [
            models.UniqueConstraint(fields=["source", "key"], name="%(app_label)s_adopted_key")
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.key}"
