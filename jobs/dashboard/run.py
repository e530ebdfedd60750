"""Running the function of a job again, with other arguments."""

from __future__ import annotations

import inspect
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.html import format_html
from django.utils.translation import gettext as _

from .. import client, masking
from ..conf import conf, queue_name
from ..exceptions import InvalidArguments, InvalidFunction, InvalidOption
from ..foreign import VIA
from ..functions import check_call, resolve_for_enqueue
from ..models import Job, Queue
from ..options import Options
from ..retry import LONGEST_SECONDS
from . import details, literals, offered, snippet, words
from .pages import Page

#: An argument that is longer as JSON is not sent to the browser, but kept.
LONGEST = 20_000
#: So many characters of arguments are read, and so many queues suggested.
READ, QUEUES = 1_000_000, 100

#: An annotation that was not evaluated stands in a signature as text.
_ANNOTATION = re.compile(r"(: |-> )(['\"])([\w.\[\], |]+)\2")


@dataclass
class Form:
    """What stands in the form, and what is wrong with it."""

    arguments: str
    queue: str
    delay: str = ""
    errors: dict[str, str] = field(default_factory=dict)


def page(page: Page, pk: int) -> HttpResponse:
    """The form, and what it is sent to."""
    job = details.find(pk)
    if job is None:
        return details.missing(page, pk)
    problem = refusal(job)
    if page.request.method == "POST":
        return _refuse(page, job, problem) if problem else _run(page, job)
    shown = json.dumps(_shown(job), ensure_ascii=False, indent=2)
    return _form(page, job, Form(shown, job.queue), problem)


def refusal(job: Job) -> str:
    """Return why the function of `job` can't be run by form, or ""."""
    if isinstance(job.options, dict) and VIA in job.options:
        return _("It came through another API, which keeps its arguments; requeue the job instead.")
    return offered.refusal(job.func)


def _form(page: Page, job: Job, form: Form, problem: str, status: int = 200) -> HttpResponse:
    short = details.short_name(job.func)
    names = Queue.objects.using(conf.DATABASE).order_by("name").values_list("name", flat=True)
    return page.render(
        "run.html",
        {
            "job": job,
            "form": form,
            "problem": problem,
            "short": short,
            "signature": "" if problem else _signature(job.func),
            "mask": masking.MASK,
            "queues": list(names[:QUEUES]),
        },
        title=_("Run %(name)s with other arguments") % {"name": short},
        side=True,
        status=status,
    )


def _signature(path: str) -> Any:
    target = resolve_for_enqueue(path)
    try:
        written = _ANNOTATION.sub(r"\1\3", str(inspect.signature(target)))
    except (TypeError, ValueError):
        return ""
    return snippet.highlighted(f"{details.short_name(path)}{written}"[:2_000])


def _refuse(page: Page, job: Job, problem: str) -> HttpResponse:
    _log(page, job, CHANGE, f"Refused to run {job.func} with other arguments: {problem}")
    form = Form("", job.queue)
    return _form(page, job, form, problem, status=400)


def _run(page: Page, job: Job) -> HttpResponse:
    post = page.request.POST
    form = Form(
        post.get("arguments", ""), post.get("queue", "").strip(), post.get("delay", "").strip()
    )
    call = _arguments(job, form)
    delay = _delay(form)
    if problem := queue_name(form.queue):
        form.errors["queue"] = _("The queue %(problem)s.") % {"problem": problem}
    if not form.errors and call is not None:
        try:
            options = _options(job, form.queue, delay)
            made = client.create(job.func, tuple(call["args"]), call["kwargs"], options)
        except (InvalidArguments, InvalidFunction, InvalidOption) as error:
            form.errors["arguments"] = _hide(job, call, str(error))
        else:
            return _made(page, job, made)
    why = " ".join(form.errors.values())[:500]
    _log(page, job, CHANGE, f"Refused to run {job.func} with other arguments: {why}")
    form.arguments = _shortened(form.arguments)
    return _form(page, job, form, "", status=400)


def _made(page: Page, job: Job, made: Job) -> HttpResponse:
    _log(page, job, CHANGE, f"Run with other arguments as #{made.pk}")
    _log(page, made, ADDITION, f"Made from #{job.pk} with other arguments, queue {made.queue}")
    url = page.url("job_change", made.pk)
    text = _("{} was enqueued as job {}, with the arguments given.")
    shown = format_html(text, details.short_name(job.func), f"#{made.pk}")
    messages.success(page.request, shown)
    return redirect(url)


def _options(job: Job, queue: str, delay: float) -> Options:
    """Return the options of the job, with the queue and the delay that were asked for."""
    kept, _unknown = Options.restored(job.options if isinstance(job.options, dict) else {})
    said: dict[str, Any] = {"queue": queue, "priority": job.priority}
    if delay:
        said["run_after"] = timedelta(seconds=delay)
    return Options.build(said).over(kept)


def _delay(form: Form) -> float:
    try:
        delay = float(form.delay.replace(",", ".") or 0)
    except ValueError:
        delay = math.nan
    if not 0 <= delay <= LONGEST_SECONDS:  # nor is nan
        most = words.number(LONGEST_SECONDS)
        form.errors["delay"] = _("The delay must be seconds from 0 to %(most)s.") % {"most": most}
        return 0.0
    return delay


def _arguments(job: Job, form: Form) -> dict[str, Any] | None:
    """Return the call that was asked for, or None with what is wrong in `form.errors`."""
    try:
        call = restored(job, parse(form.arguments))
        target = resolve_for_enqueue(job.func)
        check_call(job.func, target, tuple(call["args"]), call["kwargs"])
    except (ValueError, InvalidArguments) as error:
        form.errors["arguments"] = str(error)
        return None
    return call


def parse(text: str) -> dict[str, Any]:
    """Return `{"args": […], "kwargs": {…}}` from JSON; raise ValueError that says what is wrong."""
    if len(text) > READ:
        most = {"most": words.number(READ)}
        raise ValueError(_("The arguments have more than %(most)s characters.") % most)
    try:
        found = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_doubles)
    except RecursionError:
        raise ValueError(_("The arguments are nested too deeply.")) from None
    except json.JSONDecodeError as error:
        raise ValueError(_("This is not JSON: %(error)s") % {"error": error}) from None
    if (
        not isinstance(found, dict)
        or found.keys() != {"args", "kwargs"}
        or not isinstance(found["args"], list)
        or not isinstance(found["kwargs"], dict)
    ):
        raise ValueError(_('Arguments have this form: {"args": […], "kwargs": {…}}.'))
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(_("%(name)s is no JSON; use null or text.") % {"name": name})


def _no_doubles(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(_("“%(key)s” stands there twice.") % {"key": key[:100]})
        found[key] = value
    return found


# What is not sent to the browser ----------------------------------------------------------------


def _shown(job: Job) -> dict[str, Any]:
    """Return the arguments as the form shows them: secrets and very long ones as marks."""
    call = masking.masked_call(job.func, job.arguments)
    return {
        "args": [_or_mark(value) for value in call["args"]],
        "kwargs": {name: _or_mark(value) for name, value in call["kwargs"].items()},
    }


def _or_mark(value: Any) -> Any:
    length = len(json.dumps(value, ensure_ascii=False))
    return f"{masking.MASK} ({length})" if length > LONGEST else value


def restored(job: Job, given: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments asked for, with what the job keeps wherever its mark was left.

    Raises ValueError for a mark in another place, where nothing is kept.
    """
    args, kwargs = masking.call(job.arguments)
    try:
        return dict(_restored(given, _shown(job), {"args": args, "kwargs": kwargs}))
    except RecursionError:
        raise ValueError(_("The arguments are nested too deeply.")) from None


def _restored(given: Any, shown: Any, kept: Any) -> Any:
    if isinstance(given, str):
        if given == shown:
            return kept
        if masking.MASK in given:
            raise ValueError(
                _("%(mask)s stands where the job keeps no such value; give it anew.")
                % {"mask": masking.MASK}
            )
        return given
    if isinstance(given, dict):
        of_shown = shown if isinstance(shown, dict) else {}
        of_kept = kept if isinstance(kept, dict) else {}
        return {
            key: _restored(value, of_shown.get(key), of_kept.get(key))
            for key, value in given.items()
        }
    if isinstance(given, list):
        known = shown if isinstance(shown, list) and isinstance(kept, list) else []
        return [
            _restored(value, *((known[i], kept[i]) if i < len(known) else (None, None)))
            for i, value in enumerate(given)
        ]
    return given


def _hide(job: Job, call: dict[str, Any], text: str) -> str:
    return masking.secrets(job.func, call)(text)


def _shortened(text: str) -> str:
    """Return what was typed, to be mended; not more than a form should hold."""
    return text if len(text) <= READ else literals.text(text, LONGEST)


def _log(page: Page, job: Job, flag: int, text: str) -> None:
    LogEntry.objects.create(
        user_id=page.request.user.pk or 0,
        content_type=ContentType.objects.get_for_model(Job),
        object_id=str(job.pk),
        object_repr=str(job)[:200],
        action_flag=flag,
        change_message=text[:2_000],
    )
