"""A job that comes back by schedule."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..clock import DatabaseNow
from ..conf import queue_name
from ..exceptions import InvalidArguments, InvalidFunction, InvalidOption, InvalidSchedule
from ..foreign import VIA
from ..functions import check_call, resolve_for_enqueue
from ..options import STORED, Options, priority_problem
from ..recurrence import Misfire, Schedule, schedule_for
from ..serialization import dump_arguments
from .fields import JSONTextField
from .locking import LockingQuerySet

__all__ = ["Misfire", "RecurringJob"]


class RecurringJobQuerySet(LockingQuerySet["RecurringJob"]):
    """Recurring jobs in the words of the domain. A paused one has no next run."""

    def sound(self) -> RecurringJobQuerySet:
        """Return those without an error."""
        return self.filter(error="")

    def broken(self) -> RecurringJobQuerySet:
        """Return those whose error keeps them from running."""
        return self.exclude(error="")

    def due(self, as_of: datetime | None = None) -> RecurringJobQuerySet:
        """Return those whose time has come, by `as_of` or the database's clock, in order."""
        return self.filter(next_run__lte=DatabaseNow() if as_of is None else as_of).order_by(
            "next_run", "id"
        )


class RecurringJob(models.Model):
    """A schedule that creates one Job per occurrence."""

    name = models.CharField(_("name"), max_length=150, unique=True)
    func = models.CharField(_("function"), max_length=255)
    arguments = JSONTextField(_("arguments"))
    options = JSONTextField(_("options"), default=dict, blank=True)
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

    objects = RecurringJobQuerySet.as_manager()

    class Meta:
        verbose_name = _("recurring job")
        verbose_name_plural = _("recurring jobs")
        permissions = [
            ("trigger_recurringjob", _("Can trigger recurring jobs")),
            ("pause_recurringjob", _("Can pause and resume recurring jobs")),
        ]
        ordering = ["name"]
        indexes = [models.Index(fields=["next_run"], name="%(app_label)s_next_run_idx")]

    def __str__(self) -> str:
        return self.name

    @property
    def schedule(self) -> Schedule:
        """When it is due. Raises InvalidSchedule."""
        return schedule_for(self.cron, self.time_zone)

    def clean(self) -> None:
        """Raise ValidationError that names each wrong field."""
        problems = dict(self.problems())
        if "arguments" not in problems and (problem := self._misfit()):
            problems["arguments"] = problem
        if problems:
            raise ValidationError(problems)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (field, what is wrong): whatever would keep its jobs from being created.

        Not the function: a worker that can't import it tries again by itself.
        """
        try:
            _schedule = self.schedule
        except InvalidSchedule as error:
            yield error.field, str(error)
        if self.misfire not in Misfire.values:
            yield "misfire", f"misfire={self.misfire!r} is none of {', '.join(Misfire.values)}."
        if problem := queue_name(self.queue):
            yield "queue", f"queue={self.queue!r} {problem}."
        if problem := priority_problem(self.priority):
            yield "priority", f"priority={self.priority!r} {problem}."
        if problem := _call_problem(self.func, self.arguments):
            yield "arguments", problem
        if problem := _options_problem(self.options):
            yield "options", f"options: {problem}"

    def _misfit(self) -> str | None:
        """Return how the arguments don't fit the function, if it can be imported here."""
        try:
            function = resolve_for_enqueue(self.func)
            check_call(self.func, function, tuple(self.arguments["args"]), self.arguments["kwargs"])
        except InvalidFunction:
            return None
        except InvalidArguments as error:
            return str(error)
        return None


def _call_problem(func: str, value: Any) -> str | None:
    match value:
        case {"args": list(args), "kwargs": dict(kwargs)} if len(value) == 2:
            try:
                dump_arguments(func, tuple(args), kwargs, {})
            except InvalidArguments as error:  # JSON from elsewhere may hold NaN
                return str(error)
            return None
    return 'arguments must be JSON like {"args": […], "kwargs": {…}}.'


def _options_problem(value: Any) -> str | None:
    if not isinstance(value, dict):
        return "must be a JSON object."
    if strangers := value.keys() - {*STORED, VIA}:
        return f"{', '.join(sorted(strangers))}: not kept with a job; known: {', '.join(STORED)}."
    try:
        Options.build({name: said for name, said in value.items() if name != VIA})
    except InvalidOption as error:
        return str(error)
    return None
