"""One job: its call, what happened to it, what can be done with it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.http import HttpResponse
from django.urls import NoReverseMatch
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .. import masking
from ..conf import conf
from ..exceptions import InvalidFunction
from ..foreign import VIA
from ..functions import resolve_for_enqueue
from ..models import Job, Queue, RecurringJob, Server
from ..options import STORED
from ..states import FINAL, State
from . import biography, counting, literals, offered, snippet, words
from .pages import Page

#: So many continuations are shown; of more, the number.
CHILDREN = 50
#: Larger ids are in no database.
LARGEST_ID = 2**63 - 1

_UNREAD = ("arguments", "options")
_CONDITIONS = {
    "succeeded": gettext_lazy("runs when this job has succeeded"),
    "failed": gettext_lazy("runs when this job has failed"),
    "deleted": gettext_lazy("runs when this job is deleted"),
    "finished": gettext_lazy("runs when this job has ended"),
}


def page(page: Page, pk: int) -> HttpResponse:
    """The job's own page."""
    # Mostly nothing has changed; then the arguments, which may be long, are not needed.
    job = find(pk, defer=("arguments",) if page.is_update else ())
    if job is None:
        return _gone(page) if page.is_update else missing(page, pk)
    details = Details(page, job)
    context: dict[str, Any] = {
        "job": job,
        "details": details,
        "short": short_name(job.func),
        # An open page sends it back: what has not changed since is not sent again.
        "version": details.version,
    }
    if page.is_update and page.request.GET.get("seen") == details.version:
        # The time of a job that is not at its end goes on all the same.
        live = [] if job.state in FINAL else ["details_time.html"]
    else:
        live = ["details_state.html", "details_acts.html", "details_cards.html"]
        live += ["details_time.html", "details_facts.html"]
    return page.render(
        "details.html",
        context,
        title=f"{short_name(job.func)} #{job.pk}",
        side=True,
        live=("details_alerts.html", *live, "progress_log.html"),
    )


def _gone(page: Page) -> HttpResponse:
    """Tell an open page that its job is not there any more; what it shows may still be read."""
    return page.render("details_gone.html", {}, title="", live=("details_gone.html",))


def find(pk: int, defer: tuple[str, ...] = ()) -> Job | None:
    """Return the job with its parent and recurring job, or None. One statement."""
    if pk > LARGEST_ID:
        return None
    jobs = Job.objects.using(conf.DATABASE).select_related("recurring_job", "parent")
    others = (f"{name}__{column}" for name in ("recurring_job", "parent") for column in _UNREAD)
    return jobs.defer(*others, *defer).filter(pk=pk).first()


def missing(page: Page, pk: int) -> HttpResponse:
    """Answer that there is no such job."""
    shown = str(pk) if pk <= LARGEST_ID else f"{str(pk)[:20]}…"
    return page.missing(
        _("There is no job #%(id)s. Finished jobs are removed after a while; it may have expired.")
        % {"id": shown}
    )


def short_name(func: str) -> str:
    """Return the last part of a dotted path, by which people know a function."""
    return func.rpartition(".")[2] or func


def link(page: Page, name: str, *args: Any, **query: Any) -> str:
    """Return the address of a page, or "" where there is no such page."""
    try:
        return page.url(name, *args, **query)
    except NoReverseMatch:
        return ""


def act_url(page: Page) -> str:
    """Return where actions on jobs are sent."""
    return link(page, "job_act") or f"{page.url('job_changelist')}act/"


@dataclass(frozen=True)
class Alert:
    """What one should know about this job now. `tone`: failed, warning or info."""

    tone: str
    text: SafeString | str
    icon: str = "warn"


@dataclass(frozen=True)
class Child:
    """A continuation: its job, how that is called, and why it is in its state."""

    job: Job
    short: str
    explained: str


class Details:
    """What the templates say about a job; read when they ask for it."""

    def __init__(self, page: Page, job: Job) -> None:
        self.page, self.job = page, job
        self.now = timezone.now()

    # The call -------------------------------------------------------------------------------

    @cached_property
    def target(self) -> Any:
        """The function, or the InvalidFunction that says why it can't be had."""
        try:
            return resolve_for_enqueue(self.job.func)
        except InvalidFunction as error:
            return error

    @property
    def snippet(self) -> SafeString:
        found = not isinstance(self.target, InvalidFunction)
        return snippet.html(self.job, self.target if found else None)

    @cached_property
    def scrub(self) -> masking.Scrubber:
        return masking.secrets(self.job.func, self.job.arguments)

    # What happened --------------------------------------------------------------------------

    @cached_property
    def life(self) -> biography.Biography:
        return biography.of(self.job, self.scrub)

    @cached_property
    def version(self) -> str:
        """Return what changes whenever a part of the page does, but for the alerts."""
        job = self.job
        parts = (
            job.state,
            job.state_changed_at,
            job.attempt,
            job.retries,
            job.crashes,
            job.server,
            job.run_at,
            job.expires_at,
            job.queue,
            job.priority,
            bool(job.claim_token),
            self.parent.state if self.parent else None,
            [(child.pk, child.state) for child in self._family],
            self.child_count,
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    # Relations ------------------------------------------------------------------------------

    @cached_property
    def parent(self) -> Job | None:
        """The job that this one continues, None also when that is gone."""
        return self.job.parent if self.job.parent_id else None

    @cached_property
    def _family(self) -> list[Job]:
        children = Job.objects.using(conf.DATABASE).filter(parent=self.job.pk).order_by("id")
        return list(children.defer(*_UNREAD)[: CHILDREN + 1])

    @property
    def children(self) -> list[Child]:
        return [
            Child(
                job,
                short_name(job.func),
                str(_CONDITIONS.get(job.condition, ""))
                if job.state == State.AWAITING
                else self.scrub(job.reason),
            )
            for job in self._family[:CHILDREN]
        ]

    @cached_property
    def child_count(self) -> counting.Count:
        if len(self._family) <= CHILDREN:
            return counting.Count(len(self._family))
        return counting.count(Job.objects.using(conf.DATABASE).filter(parent=self.job.pk))

    # What to know ---------------------------------------------------------------------------

    @cached_property
    def alerts(self) -> list[Alert]:
        return list(self._alerts())

    def _alerts(self) -> Iterator[Alert]:
        job = self.job
        if job.is_stopping:
            text = _("It was deleted while it ran, and is being ended. Its run is still going on.")
            yield Alert("warning", text, "stop")
        if job.state == State.PROCESSING:
            yield from self._server_alerts()
        if isinstance(self.target, InvalidFunction):
            cause = self.target.__cause__
            why = f"{type(cause).__name__}: {cause}" if cause else str(self.target)
            text = _("The function can't be found here: %(why)s") % {"why": why}
            yield Alert("warning", text)
        if job.missing_since:
            text = format_html(
                _("Workers have not found its function since {}; they try again."),
                words.time_tag(job.missing_since),
            )
            yield Alert("warning", text)
        if job.state == State.ENQUEUED:
            yield from self._queue_alerts()
        if job.state in FINAL and job.expires_at and not job.is_stopping:
            if job.expires_at <= self.now:
                yield Alert("info", _("It will be removed at any moment."), "trash")
            else:
                when = words.time_tag(job.expires_at)
                text = format_html(_("Finished; this job will be removed {}."), when)
                yield Alert("info", text, "trash")

    def _server_alerts(self) -> Iterator[Alert]:
        job = self.job
        server = Server.objects.using(conf.DATABASE).filter(name=job.server).first()
        names = {"server": job.server or "–"}
        if server is None:
            text = _("Aborted: its server %(server)s is gone. Another one will take the job over.")
            yield Alert("failed", text % names, "failed")
        elif self.now - server.heartbeat_at > timedelta(seconds=conf.SERVER_TIMEOUT_SECONDS):
            text = format_html(
                _("It looks aborted: its server {} gave the last sign of life {}."),
                job.server,
                words.time_tag(server.heartbeat_at),
            )
            yield Alert("warning", text)

    def _queue_alerts(self) -> Iterator[Alert]:
        queues = Queue.objects.using(conf.DATABASE).filter(name=self.job.queue)
        if (queue := queues.exclude(paused_at=None).first()) is not None:
            by = f" ({queue.paused_by})" if queue.paused_by else ""
            text = _("It waits because its queue %(queue)s is paused%(by)s. %(why)s")
            values = {"queue": queue.name, "by": by, "why": queue.paused_reason}
            yield Alert("warning", (text % values).strip(), "pause")

    # Facts ----------------------------------------------------------------------------------

    @property
    def facts(self) -> list[tuple[Any, Any]]:
        """Names and values, those without a value left out."""
        return [(name, value) for name, value in self._facts() if value not in ("", None)]

    def _facts(self) -> Iterator[tuple[Any, Any]]:
        job = self.job
        yield _("Id"), f"#{job.pk}"
        yield _("Function"), format_html("<code>{}</code>", job.func)
        yield _("Queue"), self._linked(job.queue, "job_state", State.ENQUEUED, queue=job.queue)
        yield _("Priority"), words.number(job.priority) if job.priority else ""
        yield _("Created"), self._moment(job.created_at)
        due = job.state in (State.SCHEDULED, State.ENQUEUED)
        yield _("Due"), self._moment(job.run_at) if due else ""
        yield _("Attempts"), words.number(job.attempt)
        yield _("Retries"), words.number(job.retries) if job.retries else ""
        if job.crashes:
            counts = {"count": job.crashes, "most": conf.MAX_CRASHES}
            yield _("Crashes"), _("%(count)d of %(most)d") % counts
        yield _("Last error"), job.error_type
        yield _("Server"), self._linked(job.server, "server_changelist") if job.server else ""
        yield _("Recurring job"), self._recurring()
        yield _("Occurrence"), self._moment(job.occurrence)
        yield _("Continues"), self._parent()
        yield _("Language"), job.language
        yield _("Time zone"), job.time_zone
        for name, value in self._options():
            yield name, format_html("<code>{}</code>", value)
        yield _("Finished"), self._moment(job.finished_at)
        yield _("Kept until"), words.exact(job.expires_at) if job.expires_at else ""

    def _moment(self, moment: Any) -> Any:
        return words.time_tag(moment) if moment else ""

    def _linked(self, text: str, name: str, *args: Any, **query: Any) -> Any:
        url = link(self.page, name, *args, **query)
        return format_html('<a href="{}">{}</a>', url, text) if url else text

    def _recurring(self) -> Any:
        row = self.job.recurring_job if self.job.recurring_job_id else None
        if row is None:
            return f"#{self.job.recurring_job_id}" if self.job.recurring_job_id else ""
        if not self.page.can("view", RecurringJob):
            return row.name
        return self._linked(row.name, "recurringjob_change", row.pk)

    def _parent(self) -> Any:
        pk = self.job.parent_id
        if not pk:
            return ""
        if self.parent is None:
            return _("#%(id)s, which is gone") % {"id": pk}
        text = f"#{pk} {short_name(self.parent.func)}"
        return self._linked(text, "job_change", pk)

    def _options(self) -> Iterator[tuple[str, str]]:
        kept = self.job.options if isinstance(self.job.options, dict) else {}
        for name, value in kept.items():
            if name == VIA:
                api = value.get("api", "") if isinstance(value, dict) else ""
                yield _("Came through"), str(api)
            elif name in STORED:
                yield name, literals.short(value)

    # What can be done -----------------------------------------------------------------------

    @property
    def act_url(self) -> str:
        return act_url(self.page)

    @cached_property
    def may_requeue(self) -> bool:
        state = self.job.state
        return state in FINAL and not self.job.is_stopping and self.page.can("requeue")

    @cached_property
    def may_enqueue(self) -> bool:
        waits = self.job.state in (State.SCHEDULED, State.AWAITING)
        return waits and self.page.can("requeue")

    @cached_property
    def may_delete(self) -> bool:
        return self.job.state != State.DELETED and self.page.can("delete")

    @cached_property
    def may_run(self) -> bool:
        """Whether to offer running it with other arguments."""
        kept = self.job.options if isinstance(self.job.options, dict) else {}
        return self.page.can("run") and VIA not in kept and not offered.refusal(self.job.func)
