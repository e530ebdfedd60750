"""Queues: how long each is, what waits first, and pausing and resuming them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import DateTimeField, OuterRef, QuerySet, Subquery
from django.http import HttpResponse
from django.utils.translation import gettext as _

from ..conf import conf
from ..exceptions import JobsError
from ..health import database_now
from ..models import Job, Queue
from ..queues import pause_queue, resume_queue
from ..states import State
from .counting import LIMIT, BoundedCount, Count
from .pages import Page
from .servers import REASON_LENGTH, log

#: No page shows more queues.
QUEUES = 200


@dataclass(frozen=True)
class Row:
    """A queue as it is shown.

    `waiting`: for how many seconds the oldest job has waited, of those that were counted.
    """

    queue: Queue
    length: Count
    running: Count
    next: Job | None
    waiting: float | None


class BoundedOldest(Subquery):
    """The earliest due time of the first LIMIT + 1 jobs, as an expression in another query."""

    template = "(SELECT MIN(run_at) FROM (%(subquery)s) bounded)"
    output_field = DateTimeField()

    def __init__(self, jobs: QuerySet[Any], **extra: Any) -> None:
        super().__init__(jobs.order_by().values("run_at")[: LIMIT + 1], **extra)


def page(page: Page) -> HttpResponse:
    """All queues, by name."""
    rows, more = _rows()
    return page.render(
        "queues.html",
        {"rows": rows, "more": more, "most": QUEUES},
        title=_("Queues"),
        live=("queue_rows.html",),
    )


def act(page: Page) -> HttpResponse:
    """Pause or resume the queue `queue`."""
    post = page.request.POST
    name, action = post.get("queue", ""), post.get("action", "")
    reason = post.get("reason", "").strip()[:REASON_LENGTH]
    queue = Queue.objects.using(conf.DATABASE).filter(name=name).first()
    if queue is None or action not in ("pause", "resume"):
        page.say(_("Nothing was done: there is no such queue or action."))
        return page.back("queue_changelist")
    try:
        if action == "pause":
            changed = pause_queue(queue.name, by=page.actor, reason=reason)
            done, why_not = _("Queue %(name)s was paused."), _("was paused already")
        else:
            changed = resume_queue(queue.name)
            done, why_not = _("Queue %(name)s was resumed."), _("was not paused")
    except JobsError as error:
        page.say(str(error))
        return page.back("queue_changelist")
    if changed:
        log(page, queue, (_("Paused") if action == "pause" else _("Resumed")), reason)
        page.say(done % {"name": queue.name}, good=True)
    else:
        page.say(_("Nothing was done: queue %(name)s") % {"name": queue.name} + f" {why_not}.")
    return page.back("queue_changelist")


def _rows() -> tuple[list[Row], bool]:
    """Return the rows and whether there are more, by three statements."""
    jobs = Job.objects.using(conf.DATABASE)
    own = jobs.filter(queue=OuterRef("name"))
    first = own.filter(state=State.ENQUEUED).order_by("-priority", "run_at", "id")
    found: list[Any] = list(
        Queue.objects.using(conf.DATABASE)
        .order_by("name")
        .annotate(
            length=BoundedCount(own.filter(state=State.ENQUEUED)),
            running=BoundedCount(own.filter(state=State.PROCESSING)),
            oldest=BoundedOldest(own.filter(state=State.ENQUEUED)),
            next_id=Subquery(first.values("pk")[:1]),
        )[: QUEUES + 1]
    )
    now: datetime | None = database_now() if found else None
    ids = [queue.next_id for queue in found if queue.next_id]
    known = {job.pk: job for job in jobs.filter(pk__in=ids).only("pk", "func", "run_at", "queue")}
    rows = []
    for queue in found[:QUEUES]:
        job = known.get(queue.next_id)
        oldest = queue.oldest
        waiting = max(0.0, (now - oldest).total_seconds()) if oldest and now else None
        rows.append(Row(queue, Count(queue.length), Count(queue.running), job, waiting))
    return rows, len(found) > QUEUES
