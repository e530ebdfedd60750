"""What the dashboard's templates need beside Django's own."""

from __future__ import annotations

from typing import Any

from django import template
from django.urls import NoReverseMatch
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ..dashboard import progress, words
from ..states import State

register = template.Library()

register.filter("duration", words.duration)
register.filter("number", words.number)
register.filter("exact", words.exact)
register.filter("call_text", words.call_text)
register.filter("reason", words.reason)


@register.filter
def ago(moment: Any) -> SafeString | str:
    """A moment in relation to now."""
    return words.time_tag(moment)


@register.simple_tag
def icon(name: str, extra: str = "") -> SafeString:
    """One glyph of sprite.html, for the eye only. `extra`: more classes."""
    return format_html(
        '<svg class="i {}" aria-hidden="true"><use href="#i-{}"/></svg>', extra, name
    )


@register.simple_tag
def state_label(state: str) -> SafeString:
    """A state as glyph and word, in its colours."""
    return format_html(
        '<span class="label s-{}">{}{}</span>', state, icon(state), State(state).label
    )


@register.simple_tag(takes_context=True)
def page_url(context: Any, name: str, *args: Any, **query: Any) -> str:
    """The address of a page of the dashboard on the site that is shown."""
    return str(context["page"].url(name, *args, **query))


@register.simple_tag(takes_context=True)
def can(context: Any, verb: str, model: str = "Job") -> bool:
    """Whether the user may do `verb` on rows of a model of ours."""
    from .. import models

    return bool(context["page"].can(verb, getattr(models, model)))


@register.simple_tag
def job_log(job: Any) -> progress.Log:
    """What a job told of itself: progress and log."""
    return progress.log(job)


@register.simple_tag(takes_context=True)
def oob(context: Any) -> str:
    """What a fragment's root element carries when it replaces that of an open page."""
    return SafeString('hx-swap-oob="true"') if context.get("oob") else ""


@register.simple_tag(takes_context=True)
def query_with(context: Any, **changes: Any) -> str:
    """The page's query string with other values; empty ones are left out."""
    query = context["page"].request.GET.copy()
    query.pop("last", None)
    for name, value in changes.items():
        query.pop(name, None)
        if value not in ("", None):
            query[name] = str(value)
    return str(query.urlencode())


@register.simple_tag(takes_context=True)
def page_url_or(context: Any, name: str) -> str:
    """The address of a page that may not be there (yet), or ""."""
    try:
        return str(context["page"].url(name))
    except NoReverseMatch:
        return ""
