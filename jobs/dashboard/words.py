"""How numbers, durations and moments are written."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import Any

from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from .. import masking
from . import literals

MINUTE, HOUR, DAY = 60, 3600, 86_400


def number(value: float) -> str:
    """Return a number with the language's thousands separators: `12,480`."""
    return formats.number_format(value, use_l10n=True, force_grouping=True)


def duration(seconds: float | None) -> str:
    """Return a duration by its two largest units: `1.24 s`, `2 min 6 s`, `3 h 5 min`, `4 d 2 h`."""
    if seconds is None:
        return "–"
    seconds = max(0.0, seconds)
    if seconds < 0.9995:
        milliseconds = seconds * 1000
        return _("%(n)s ms") % {"n": _decimal(milliseconds, 1 if milliseconds < 9.95 else 0)}
    if seconds < 9.995:
        return _("%(n)s s") % {"n": _decimal(seconds, 2)}
    whole = round(seconds)
    if whole < MINUTE:
        return _("%(n)s s") % {"n": whole}
    if whole < HOUR:
        return _pair(_("%(n)s min"), whole // MINUTE, _("%(n)s s"), whole % MINUTE)
    if whole < DAY:
        return _pair(_("%(n)s h"), whole // HOUR, _("%(n)s min"), whole % HOUR // MINUTE)
    return _pair(_("%(n)s d"), whole // DAY, _("%(n)s h"), whole % DAY // HOUR)


def _decimal(value: float, places: int) -> str:
    text = f"{value:.{places}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace(".", str(formats.get_format("DECIMAL_SEPARATOR")))


def _pair(large: str, count: int, small: str, rest: int) -> str:
    shown = large % {"n": number(count)}
    return f"{shown} {small % {'n': rest}}" if rest else shown


def relative(moment: datetime, now: datetime) -> str:
    """Return how long ago `moment` was or how soon it comes: `2 min ago`, `in 3 h`."""
    seconds = (now - moment).total_seconds()
    away = abs(seconds)
    if away < 1:
        return _("now")
    text = _largest(away)
    return _("in %(time)s") % {"time": text} if seconds < 0 else _("%(time)s ago") % {"time": text}


def _largest(seconds: float) -> str:
    for unit, word in ((DAY, _("%(n)s d")), (HOUR, _("%(n)s h")), (MINUTE, _("%(n)s min"))):
        if seconds >= unit:
            return word % {"n": number(int(seconds // unit))}
    return _("%(n)s s") % {"n": int(seconds)}


def exact(moment: datetime) -> str:
    """Return a moment in the user's time zone with seconds and zone."""
    local = timezone.localtime(moment)
    return f"{formats.date_format(local, 'DATE_FORMAT')}, {local:%H:%M:%S} {local:%Z}"


def time_tag(moment: datetime | None, now: datetime | None = None) -> SafeString | str:
    """Return a moment as `<time>`: in relation to now, exact as its title; kept true by script."""
    if moment is None:
        return "–"
    return format_html(
        '<time datetime="{}" title="{}" data-relative>{}</time>',
        moment.isoformat(),
        exact(moment),
        relative(moment, now or timezone.now()),
    )


def call_text(call: Any, limit: int = 200) -> str:
    """Return arguments as they are written in a call, masked, cut at `limit` characters.

    `call`: a job or recurring job, whose function's signature tells which positional arguments
    are secrets; or the arguments alone.
    """
    func = getattr(call, "func", "")
    args, kwargs = masking.call(call.arguments if func else call)
    name_of = masking.names(func)
    given = [("", name_of(position), value) for position, value in enumerate(args[:limit])]
    given += [(f"{name}=", name, value) for name, value in islice(kwargs.items(), limit)]
    parts: list[str] = []
    length = 0
    for prefix, name, value in given:
        shown = masking.MASK if masking.hides(name, value) else value
        parts.append(prefix + literals.short(shown))
        length += len(parts[-1]) + 2
        if length > limit:
            break
    joined = ", ".join(parts)
    return f"({joined})" if len(joined) <= limit else f"({joined[:limit]}…)"


def reason(job: Any) -> str:
    """Return why a job is in its state, without the secrets among its arguments."""
    return masking.secrets(job.func, job.arguments)(job.reason) if job.reason else ""


def jobs(count: int) -> str:
    """Return `1 job`, `12,480 jobs`."""
    return ngettext("%(count)s job", "%(count)s jobs", count) % {"count": number(count)}
