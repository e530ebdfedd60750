"""Actions on jobs, one or many: the one address that all their buttons post to."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from django.contrib import messages
from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from .. import operations
from ..races import Raced
from ..states import State
from ..steering import ACTIONS, BATCH, Action, Steered, steer
from . import audit, matching, words
from .pages import Page

#: The history of each job has room for so much of it.
REASON_LENGTH = 200
#: No list's address is longer.
QUERY_LENGTH = 2000


class Refused(Exception):
    """A request that nothing is done for; its text says why."""


class Asked(NamedTuple):
    """What a form asks for: jobs by their ids, or all that match a list's address."""

    action: Action
    ids: list[int]
    everything: bool
    query: str
    seen: State | None
    reason: str


def act(page: Page) -> HttpResponse:
    """Do an action, or ask for confirmation, and go back with a message of what came of it."""
    action = ACTIONS.get(page.request.POST.get("action", ""))
    if action is None:
        messages.error(page.request, _("There is no such action; nothing was done."))
        return page.back("job_changelist")
    page.require(action.verb)
    try:
        asked = _asked(page, action)
        ids = _matching(asked) if asked.everything else asked.ids
    except (Refused, matching.NotMatching) as error:
        messages.error(page.request, _("%(why)s Nothing was done.") % {"why": error})
        return page.back("job_changelist")
    if action.target == State.DELETED and page.request.POST.get("confirmed") != "1":
        return _confirm(page, asked, len(ids))
    if len(ids) > BATCH:
        _start(page, asked)
    else:
        _steer(page, asked, ids)
    return page.back("job_changelist")


def _steer(page: Page, asked: Asked, ids: list[int]) -> None:
    action = asked.action
    try:
        result = steer(action, ids, by=page.actor, reason=asked.reason, seen=asked.seen)
    except Raced:
        text = _("The jobs changed again and again while they were to be moved; try once more.")
        messages.error(page.request, text)
        return
    audit.note_action(page, action, result.moved, asked.reason)
    level = messages.SUCCESS if result.moved else messages.WARNING
    messages.add_message(page.request, level, told(action, result))


def _asked(page: Page, action: Action) -> Asked:
    post = page.request.POST
    state, query = post.get("seen", ""), post.get("query", "")
    if state and state not in State.values:
        raise Refused(_("The state shown is unknown."))
    everything = post.get("all") == "1"
    if everything and not state:
        raise Refused(_("“All” needs the state that was shown."))
    if len(query) > QUERY_LENGTH:
        raise Refused(_("The filter is too long."))
    ids = [] if everything else _ids(post.getlist("job"))
    reason = " ".join(post.get("reason", "").replace("\0", "").split())[:REASON_LENGTH]
    return Asked(action, ids, everything, query, State(state) if state else None, reason)


def _ids(given: list[str]) -> list[int]:
    # isdecimal and short: int() would take signs and blanks, and no database an id of 20 digits.
    good = {t for t in given if t.isascii() and t.isdecimal() and len(t) < 19}
    if bad := [text for text in given if text not in good]:
        raise Refused(_("“%(id)s” is no id of a job.") % {"id": bad[0][:40]})
    if not good:
        raise Refused(_("No job was selected."))
    ids = sorted({int(text) for text in good})
    if len(ids) > BATCH:
        raise Refused(
            _("At most %(count)d jobs can be selected one by one; use “all that match”.")
            % {"count": BATCH}
        )
    return ids


def _matching(asked: Asked) -> list[int]:
    """Return the ids of all that match, one more than fit a request if there are so many."""
    assert asked.seen is not None
    found = matching.jobs(asked.query, asked.seen).order_by("pk")
    return list(found.values_list("pk", flat=True)[: BATCH + 1])


def _confirm(page: Page, asked: Asked, count: int) -> HttpResponse:
    """Ask once more: without script the page, with script a dialog has asked before."""
    context = {
        "asked": asked,
        "count": None if count > BATCH else count,
        "limit": BATCH,
        "back": page.request.POST.get("next", ""),
        "running": asked.seen == State.PROCESSING,
    }
    return page.render("confirm.html", context, title=_("Delete jobs?"))


def _start(page: Page, asked: Asked) -> None:
    assert asked.seen is not None
    operation, is_new = operations.start(
        asked.action, asked.seen, asked.query, by=page.actor, reason=asked.reason
    )
    if is_new:
        audit.note_operation(page, asked.action, operation)
        text = _(
            "More than %(limit)d jobs match: an operation in the background goes through them. "
            "Its progress is shown above the lists."
        )
        messages.info(page.request, text % {"limit": BATCH})
    else:
        text = _("%(by)s has started the same already; it was not started twice.")
        messages.warning(page.request, text % {"by": operation.by})


def told(action: Action, result: Steered) -> str:
    """Return how many jobs changed, and why others did not."""
    done = len(result.moved)
    sentences = [_done(action, done)]
    if result.skipped or result.missing:
        sentences += _left_alone(result.left_alone, len(result.stopping), len(result.missing))
    if refused := len(result.failed):
        text = ngettext(
            "%(count)s was refused by the database.",
            "%(count)s were refused by the database.",
            refused,
        )
        sentences.append(text % {"count": words.number(refused)})
    return " ".join(sentences)


def _done(action: Action, count: int) -> str:
    if action.target == State.DELETED:
        text = ngettext("%(count)s job deleted.", "%(count)s jobs deleted.", count)
    else:
        text = ngettext("%(count)s job enqueued.", "%(count)s jobs enqueued.", count)
    return text % {"count": words.number(count)}


def _left_alone(states: Counter[State], stopping: int, missing: int) -> list[str]:
    parts = [
        _("%(count)s in state %(state)s") % {"count": words.number(n), "state": state.label}
        for state, n in sorted(states.items())
    ]
    if stopping:
        parts.append(_("%(count)s still stopping") % {"count": words.number(stopping)})
    if missing:
        parts.append(_("%(count)s no longer there") % {"count": words.number(missing)})
    return [_("Left alone, as they are now: %(which)s.") % {"which": ", ".join(parts)}]
