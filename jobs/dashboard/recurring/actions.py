"""Trigger, pause, resume and delete: one recurring job or several, each noted in the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from django.contrib import messages
from django.contrib.admin.models import CHANGE, DELETION
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ... import recurring_jobs
from ...conf import conf
from ...exceptions import JobsError, UnknownRecurringJob
from ...models import RecurringJob
from ..pages import Page
from . import log

#: So many at once; a page has fewer rows.
LIMIT = 500
#: So many reasons of those left alone are told each for itself.
TOLD = 5


@dataclass
class Done:
    """What an action did, and what it left alone and why."""

    rows: list[tuple[RecurringJob, str]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def act(page: Page) -> HttpResponse:
    """Do what was asked for, after asking for a reason (pause) or whether it is meant (delete)."""
    request = page.request
    given = request.POST if request.method == "POST" else request.GET
    name = given.get("action", "")
    if name not in _ACTIONS:
        raise Http404(_("There is no such action for recurring jobs."))
    page.require(_VERBS.get(name, name), RecurringJob)
    # A row's own button acts on that row, whatever else is selected.
    only = request.GET.get("only")
    wanted = [only] if only else given.getlist("recurring_job")
    ids = [int(text) for text in wanted if text.isdecimal() and len(text) < 19][:LIMIT]
    rows = list(RecurringJob.objects.using(conf.DATABASE).filter(pk__in=ids).order_by("name"))
    if request.method != "POST":
        return ask(page, name, rows)
    if not rows:
        messages.warning(
            request,
            _("Nothing was done: what was selected is no longer there.")
            if ids
            else _("Nothing was done: no recurring job was selected."),
        )
        return page.back("recurringjob_changelist")
    if name in _ASKS and _ASKS[name] not in given:
        chosen = [("action", name), *(("recurring_job", row.pk) for row in rows)]
        where = page.url("recurringjob_act")
        query = "&".join(f"{key}={value}" for key, value in chosen)
        return redirect(f"{where}?{query}")
    done = _ACTIONS[name](page, rows, given.get("reason", "").strip()[:255])
    if gone := len(set(ids)) - len(rows):
        done.left.append(
            ngettext("%(n)d is no longer there", "%(n)d are no longer there", gone) % {"n": gone}
        )
    _tell(page, name, done)
    return page.back("recurringjob_changelist")


def delete_page(page: Page, pk: int) -> HttpResponse:
    """Ask whether one recurring job is to be deleted."""
    rows = list(RecurringJob.objects.using(conf.DATABASE).filter(pk=pk))
    return ask(page, "delete", rows)


def ask(page: Page, name: str, rows: Sequence[RecurringJob]) -> HttpResponse:
    """Show what an action is about, and ask for its reason."""
    back = page.url("recurringjob_changelist"), _("All recurring jobs")
    if not rows:
        return page.missing(_("This recurring job is not there, or no longer."), back=back)
    count = len(rows)
    titles = {
        "trigger": ngettext("Trigger %(n)d recurring job?", "Trigger %(n)d recurring jobs?", count),
        "pause": ngettext("Pause %(n)d recurring job?", "Pause %(n)d recurring jobs?", count),
        "resume": ngettext("Resume %(n)d recurring job?", "Resume %(n)d recurring jobs?", count),
        "delete": ngettext("Delete %(n)d recurring job?", "Delete %(n)d recurring jobs?", count),
    }
    context = {"rows": rows, "action": name, "list_url": back[0]}
    context["declared"] = [row for row in rows if row.declared]
    return page.render("recurring/ask.html", context, title=titles[name] % {"n": count})


def _trigger(page: Page, rows: Sequence[RecurringJob], reason: str) -> Done:
    done = Done()
    for row in rows:
        try:
            job = recurring_jobs.trigger(row.name)
        except JobsError as error:
            done.left.append(str(error))
        else:
            done.rows.append((row, _("Triggered: job #%(id)d") % {"id": job.pk}))
    log.note(page, CHANGE, done.rows)
    return done


def _pause(page: Page, rows: Sequence[RecurringJob], reason: str) -> Done:
    said = _("Paused: %(reason)s") % {"reason": reason} if reason else _("Paused")

    def pause(name: str) -> bool:
        return recurring_jobs.pause(name, by=page.actor, reason=reason)

    return _switch(page, rows, pause, said, _("was paused already"))


def _resume(page: Page, rows: Sequence[RecurringJob], reason: str) -> Done:
    return _switch(page, rows, recurring_jobs.resume, _("Resumed"), _("was not paused"))


def _switch(
    page: Page,
    rows: Sequence[RecurringJob],
    verb: Callable[[str], bool],
    said: str,
    why_not: str,
) -> Done:
    done = Done()
    for row in rows:
        try:
            changed = verb(row.name)
        except UnknownRecurringJob:
            done.left.append(_("is no longer there"))
        else:
            done.rows.append((row, said)) if changed else done.left.append(why_not)
    log.note(page, CHANGE, done.rows)
    return done


def _delete(page: Page, rows: Sequence[RecurringJob], reason: str) -> Done:
    said = _("Deleted: %(reason)s") % {"reason": reason} if reason else _("Deleted")
    done = Done()
    for row in rows:
        try:
            recurring_jobs.remove_recurring(row.name)
        except UnknownRecurringJob:
            done.left.append(_("is no longer there"))
        else:
            done.rows.append((row, said))
    log.note(page, DELETION, done.rows)
    return done


#: By the name in the form. The permission has the same name, but for:
_ACTIONS = {"trigger": _trigger, "pause": _pause, "resume": _resume, "delete": _delete}
_VERBS = {"resume": "pause"}
#: What must have been answered before.
_ASKS = {"pause": "reason", "delete": "confirmed"}


def _tell(page: Page, name: str, done: Done) -> None:
    count = len(done.rows)
    texts = {
        "trigger": ngettext("Enqueued %(n)d job.", "Enqueued %(n)d jobs.", count),
        "pause": ngettext("Paused %(n)d recurring job.", "Paused %(n)d recurring jobs.", count),
        "resume": ngettext("Resumed %(n)d recurring job.", "Resumed %(n)d recurring jobs.", count),
        "delete": ngettext("Deleted %(n)d recurring job.", "Deleted %(n)d recurring jobs.", count),
    }
    text = texts[name] % {"n": count}
    if done.left:
        counted = Counter(done.left)
        told = [f"{why} ({n})" if n > 1 else why for why, n in counted.most_common(TOLD)]
        if len(counted) > TOLD:
            told.append("…")
        why = _("Left alone: %(why)s.") % {"why": "; ".join(told).rstrip(".")}
        text = f"{text} {why}"
    messages.add_message(page.request, messages.SUCCESS if count else messages.WARNING, text)
