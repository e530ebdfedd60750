"""A job: one row from creation to expiry."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..clock import DatabaseNow
from ..states import State
from .fields import JSONTextField
from .locking import LockingQuerySet


class JobQuerySet(LockingQuerySet["Job"]):
    """Jobs in the words of the domain."""

    def in_claim_order(self) -> JobQuerySet:
        """Larger priority first, then the earlier due time, then the older job."""
        return self.order_by("-priority", "run_at", "id")

    def claimable(self, queue: str) -> JobQuerySet:
        """Return the jobs of `queue` that a worker may start now, in claim order."""
        return self.filter(queue=queue, state=State.ENQUEUED).in_claim_order()

    def due(self, as_of: datetime | None = None) -> JobQuerySet:
        """Return scheduled jobs whose time has come, by `as_of` or the database's clock."""
        return self.filter(
            state=State.SCHEDULED, run_at__lte=DatabaseNow() if as_of is None else as_of
        )

    def expired(self, as_of: datetime | None = None) -> JobQuerySet:
        """Return finished jobs that need not be kept, by `as_of` or the database's clock."""
        return self.filter(expires_at__lte=DatabaseNow() if as_of is None else as_of)

    def held_by(self, server: str) -> JobQuerySet:
        """Return the jobs that `server` has claimed and not let go of, the oldest first."""
        # In this order, or SQLite with statistics reads the whole table instead of the index.
        return self.filter(server=server).order_by("server", "id")


class Job(models.Model):
    """A call of a function that will be, is being or was made by a worker.

    Its state changes only through `transitions`; each state it leaves becomes a HistoryEntry.
    """

    # What to run.
    func = models.CharField(_("function"), max_length=255)
    arguments = JSONTextField(_("arguments"))
    options = JSONTextField(_("options of this call"), default=dict)

    # Where and when.
    queue = models.CharField(_("queue"), max_length=100)
    priority = models.SmallIntegerField(_("priority"), default=0)
    run_at = models.DateTimeField(_("due"), default=timezone.now)
    # Without a constraint in the database: with one, an open transaction that adds a child locks
    # the parent's row, hides it from SKIP LOCKED and blocks its outcome.
    parent = models.ForeignKey(
        "self",
        models.DO_NOTHING,
        verbose_name=_("parent"),
        related_name="children",
        db_constraint=False,
        db_index=False,
        null=True,
        blank=True,
    )
    condition = models.CharField(_("condition"), max_length=10, blank=True, default="")
    recurring_job = models.ForeignKey(
        "RecurringJob",
        models.SET_NULL,
        verbose_name=_("recurring job"),
        related_name="jobs",
        db_constraint=False,
        db_index=False,
        null=True,
        blank=True,
    )
    occurrence = models.DateTimeField(_("occurrence"), null=True, blank=True)

    # What happened.
    state = models.CharField(_("state"), max_length=10, choices=State.choices)
    reason = models.CharField(_("reason"), max_length=255, blank=True, default="")
    state_changed_at = models.DateTimeField(_("in this state since"), default=timezone.now)
    attempt = models.PositiveIntegerField(_("attempt"), default=0)
    retries = models.PositiveIntegerField(_("retries"), default=0)
    crashes = models.PositiveIntegerField(_("crashes"), default=0)
    claim_token = models.CharField(max_length=32, blank=True, default="", editable=False)
    server = models.CharField(_("server"), max_length=100, blank=True, default="")
    recovered = models.BooleanField(_("recovered"), default=False)
    started_at = models.DateTimeField(_("start written ahead"), null=True, blank=True)
    missing_since = models.DateTimeField(_("function missing since"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    error_type = models.CharField(_("last error"), max_length=255, blank=True, default="")
    error_key = models.CharField(max_length=32, blank=True, default="", editable=False)

    # Captured at creation, restored at execution.
    language = models.CharField(_("language"), max_length=35, blank=True, default="")
    time_zone = models.CharField(_("time zone"), max_length=64, blank=True, default="")

    objects = JobQuerySet.as_manager()

    class Meta:
        verbose_name = _("job")
        verbose_name_plural = _("jobs")
        permissions = [
            ("requeue_job", _("Can requeue jobs and enqueue waiting ones now")),
            ("run_job", _("Can run offered functions with arguments of their own")),
        ]
        indexes = [
            models.Index(
                fields=["queue", "state", "-priority", "run_at", "id"],
                name="%(app_label)s_job_claim_idx",
            ),
            models.Index(
                fields=["state", "state_changed_at", "id"], name="%(app_label)s_job_state_idx"
            ),
            models.Index(fields=["state", "run_at", "id"], name="%(app_label)s_job_due_idx"),
            # Most jobs are in none of the next three while they run, where the database can leave
            # them out; each index costs a job's two changes of state some microseconds.
            models.Index(
                fields=["recurring_job", "id"],
                name="%(app_label)s_job_recurring_idx",
                condition=models.Q(recurring_job__isnull=False),
            ),
            models.Index(
                fields=["parent", "id"],
                name="%(app_label)s_job_parent_idx",
                condition=models.Q(parent__isnull=False),
            ),
            models.Index(
                fields=["expires_at", "id"],
                name="%(app_label)s_job_expiry_idx",
                condition=models.Q(expires_at__isnull=False),
            ),
            # The lists' search by a function's beginning; an enqueue and each change of state cost
            # 3 µs more. PostgreSQL's LIKE needs the class of operators; others ignore it.
            models.Index(
                fields=["func", "id"],
                name="%(app_label)s_job_func_idx",
                opclasses=["varchar_pattern_ops", "int8_ops"],
            ),
            # Nearly no job is ever in it: it costs those that fail, not those that are enqueued.
            models.Index(
                fields=["run_at", "id"],
                name="%(app_label)s_job_retries_idx",
                condition=models.Q(state="scheduled", retries__gt=0),
            ),
            # Failures by error from the index alone. Where the database can leave the other states
            # out, it costs nothing until a job fails.
            models.Index(
                fields=["state", "error_key", "state_changed_at", "id", "func", "queue"],
                name="%(app_label)s_job_failure_idx",
                condition=models.Q(state=State.FAILED),
            ),
            models.Index(fields=["server"], name="%(app_label)s_job_server_idx"),
        ]
        # Each occurrence once. Not a UniqueConstraint: on SQL Server, where NULLs are equal, only
        # this leaves out the many jobs that have neither (and MySQL knows no condition).
        unique_together = [("recurring_job", "occurrence")]

    def __str__(self) -> str:
        return f"#{self.pk} {self.func}"

    @property
    def args(self) -> list[Any]:
        """The positional arguments."""
        return self._call["args"]

    @property
    def kwargs(self) -> dict[str, Any]:
        """The keyword arguments."""
        return self._call["kwargs"]

    @property
    def _call(self) -> dict[str, Any]:
        # A job just created still holds the text it was inserted with.
        given = self.arguments
        return json.loads(given) if isinstance(given, str) else given

    @property
    def is_stopping(self) -> bool:
        """Whether the job was deleted while it ran and that run has not ended."""
        return self.state == State.DELETED and bool(self.claim_token)

    @property
    def result(self) -> Any:
        """What the function returned, or None while it has not succeeded.

        A result that is not JSON comes back as its text. One query, none if the history has been
        prefetched; in async code: `await job.aresult()`.
        """
        if self.state != State.SUCCEEDED:
            return None
        if "history" in getattr(self, "_prefetched_objects_cache", ()):
            runs = [entry for entry in self.history.all() if entry.state == State.PROCESSING]
        else:
            runs = list(self.history.filter(state=State.PROCESSING).reverse()[:1])
        result = runs[-1].data.get("result", {}) if runs else {}
        return result.get("value", result.get("text"))

    async def aresult(self) -> Any:
        """Return the same in async code."""
        return await sync_to_async(lambda: self.result)()
