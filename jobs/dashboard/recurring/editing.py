"""Making and editing recurring jobs."""

from __future__ import annotations

import inspect
import logging
from typing import Any
from zoneinfo import available_timezones

from django.contrib import messages
from django.contrib.admin.models import ADDITION, CHANGE
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError
from django.http import HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _

from ... import recurring_jobs
from ...conf import conf
from ...exceptions import InvalidFunction, InvalidSchedule
from ...functions import resolve_for_enqueue
from ...models import RecurringJob
from ...recurrence import schedule_for
from .. import offered
from ..pages import TEMPLATES, Page
from . import cron, log
from .details import differences, missing, title_of
from .forms import RecurringJobForm

logger = logging.getLogger(__name__)

#: How many occurrences the form shows while one types.
PREVIEWED = 5


def add(page: Page) -> HttpResponse:
    """Make a recurring job."""
    title = _("New recurring job")
    if page.request.method != "POST":
        copied = {name: page.request.GET.get(name, "") for name in ("func", "cron")}
        return _show(page, RecurringJobForm(initial=copied), title)
    form = RecurringJobForm(page.request.POST)
    if "preview" in page.request.POST or not _accepted(page, form):
        return _show(page, form, title)
    row: RecurringJob = form.instance
    try:
        recurring_jobs.made(row)
    except IntegrityError:  # somebody else was faster
        form.add_error("name", _("There is a recurring job of this name already."))
        return _show(page, form, title)
    log.note(page, ADDITION, [(row, _("Created in the dashboard: %(func)s") % {"func": row.func})])
    messages.success(page.request, _("Created the recurring job “%(name)s”.") % {"name": row.name})
    return redirect(page.url("recurringjob_change", row.pk))


def edit(page: Page, pk: int) -> HttpResponse:
    """Edit a recurring job: when and how it runs."""
    row = RecurringJob.objects.using(conf.DATABASE).filter(pk=pk).first()
    if row is None:
        return missing(page)
    title = _("Edit %(name)s") % {"name": row.name}
    if page.request.method != "POST":
        return _show(page, RecurringJobForm(instance=row), title)
    form = RecurringJobForm(page.request.POST, instance=row)
    if "preview" in page.request.POST or not _accepted(page, form):
        return _show(page, form, title)
    if fields := form.changed:
        recurring_jobs.edited(row, fields)
        names = ", ".join(title_of(name) for name in fields)
        log.note(page, CHANGE, [(row, _("Changed: %(fields)s") % {"fields": names})])
        messages.success(page.request, _("Changed: %(fields)s.") % {"fields": names})
    else:
        messages.info(page.request, _("Nothing was changed."))
    return redirect(page.url("recurringjob_change", row.pk))


def preview(page: Page) -> HttpResponse:
    """Answer with what a schedule means, while it is being typed."""
    if not (page.can("add", RecurringJob) or page.can("change", RecurringJob)):
        raise PermissionDenied
    given = page.request.GET
    context = _preview(given.get("cron", ""), given.get("time_zone", ""), given.get("func", ""))
    return TemplateResponse(
        page.request, f"{TEMPLATES}/recurring/preview.html", {"preview": context}
    ).render()


def _accepted(page: Page, form: RecurringJobForm) -> bool:
    """Whether the form is right. A function that was refused goes into the log."""
    if form.is_valid():
        return True
    if form.refused:
        logger.warning("%s asked for the function %r: refused", page.actor, form.refused[:255])
        known = form.instance if form.instance.pk else None
        said = _("Refused to run %(func)s: not on offer") % {"func": form.refused[:255]}
        log.note(page, CHANGE if known else ADDITION, [(known, said)])
    return False


def _show(page: Page, form: RecurringJobForm, title: str) -> HttpResponse:
    row = form.instance
    context = {
        "form": form,
        "row": None if form.is_new else row,
        "differences": [] if form.is_new or form.is_bound else differences(row),
        "preview": _preview(*(str(form[n].value() or "") for n in ("cron", "time_zone", "func"))),
        "functions": offered.names() if form.is_new else (),
        "zones": sorted(available_timezones()),
    }
    # A form with faults is a page that was understood and refused.
    status = 422 if form.is_bound and form.errors and not page.is_update else 200
    return page.render("recurring/form.html", context, title=title, status=status)


def _preview(expression: str, time_zone: str, func: str) -> dict[str, Any]:
    shown: dict[str, Any] = {"signature": _signature(func), "time_zone": time_zone}
    if not expression.strip():
        return shown
    try:
        schedule = schedule_for(expression.strip(), time_zone.strip() or conf.TIME_ZONE)
        shown["words"] = cron.in_words(schedule)
        shown["occurrences"] = cron.upcoming(schedule, timezone.now(), PREVIEWED)
    except InvalidSchedule as error:
        shown["problem"] = str(error)
    return shown


def _signature(func: str) -> str:
    """Return what a function on offer takes: `send(user_id, *, template=None)`."""
    if offered.refusal(func.strip()):
        return ""
    try:
        function = resolve_for_enqueue(func.strip())
        signature = inspect.signature(function)
    except (InvalidFunction, TypeError, ValueError):
        return ""
    bare = [
        parameter.replace(annotation=parameter.empty) for parameter in signature.parameters.values()
    ]
    return f"{func.strip().rpartition('.')[2]}{inspect.Signature(bare)}"
