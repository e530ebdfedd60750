"""Queues: how many jobs wait in each since when, and pausing them."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import OuterRef, Subquery
from django.http import HttpResponse
from django.utils.translation import gettext as _

from ..conf import conf
from ..exceptions import JobsError
from ..models import Job, Queue
from ..queues import pause_queue, resume_queue
from ..states import State
from .counting import BoundedCount, Count
from .pages import Page

#: So many queues are shown.
QUEUES = 200


def page(page: Page) -> HttpResponse:
    """All queues, by one statement."""
    waiting = Job.objects.filter(queue=OuterRef("name"), state=State.ENQUEUED)
    running = Job.objects.filter(queue=OuterRef("name"), state=State.PROCESSING)
    rows = Queue.objects.using(conf.DATABASE).annotate(
        length=BoundedCount(waiting),
        running=BoundedCount(running),
        oldest=Subquery(waiting.in_claim_order().values("state_changed_at")[:1]),
    )
    context: dict[str, Any] = {"queues": list(rows[:QUEUES]), "may_pause": page.can("pause", Queue)}
    for row in context["queues"]:
        row.length = Count(row.length)
    return page.render("queues.html", context, title=_("Queues"), live=("queues_rows.html",))


def act(page: Page) -> HttpResponse:
    """Pause or resume one queue."""
    post = page.request.POST
    name, reason = post.get("queue", ""), post.get("reason", "")[:255]
    try:
        if post.get("action") == "pause":
            changed = pause_queue(name, by=page.actor, reason=reason)
            done, not_done = _("“%(name)s” is paused."), _("“%(name)s” was paused already.")
            note = f"Paused: {reason}" if reason else "Paused"
        elif post.get("action") == "resume":
            changed = resume_queue(name)
            done, not_done = _("“%(name)s” goes on."), _("“%(name)s” was not paused.")
            note = "Resumed"
        else:
            messages.error(page.request, _("There is no such action; nothing was done."))
            return page.back("queue_changelist")
    except JobsError as error:
        messages.error(page.request, str(error))
        return page.back("queue_changelist")
    if changed:
        row = Queue.objects.using(conf.DATABASE).filter(pk=name)
        actor: Any = page.request.user.pk
        LogEntry.objects.log_actions(actor, row, CHANGE, change_message=note, single_object=True)
    level = messages.SUCCESS if changed else messages.WARNING
    messages.add_message(page.request, level, (done if changed else not_done) % {"name": name})
    return page.back("queue_changelist")
