"""Schedules in words, and the moments they come to."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from cron_descriptor import (  # type: ignore[import-untyped]
    Options,
    get_description,
)
from django.utils import formats, timezone, translation
from django.utils.dates import MONTHS, WEEKDAYS
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ...recurrence import Interval, Schedule

#: The weekdays as cron names them; Sunday is both 0 and 7.
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_ENGLISH = (
    *("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_ENGLISH_NAME = re.compile(rf"\b({'|'.join(_ENGLISH)})\b")
#: What cron-descriptor calls a language when it is not `xx_XX`.
_LOCALES = {
    "cs": "cs_CZ",
    "da": "da_DK",
    "el": "el_GR",
    "en": "en_US",
    "fa": "fa_IR",
    "he": "he_IL",
    "ja": "ja_JP",
    "kk": "kk_KZ",
    "ko": "ko_KR",
    "nb": "nb_NO",
    "sl": "sl_SI",
    "sv": "sv_SE",
    "ta": "ta_IN",
    "uk": "uk_UA",
    "vi": "vi_VN",
    "zh": "zh_CN",
}


def in_words(schedule: Schedule) -> str:
    """Return when a schedule comes, in the user's language: `At 08:00 on day 1 of the month`.

    Empty for what nobody has words for; the expression itself is always shown beside it.
    """
    return _in_words(schedule, translation.get_language() or "en")


@lru_cache(maxsize=4096)
def _in_words(schedule: Schedule, language: str) -> str:
    if isinstance(schedule, Interval):
        return _interval(schedule)
    return _at_a_time(schedule.cron) or _described(schedule.cron, language)


def _interval(schedule: Interval) -> str:
    _every, number, unit, _from, start = schedule.cron.split()
    count, unit = int(number), unit.removesuffix("s")
    words: dict[str, Callable[[int], str]] = {
        "minute": lambda n: ngettext("Every minute", "Every %(n)s minutes", n),
        "hour": lambda n: ngettext("Every hour", "Every %(n)s hours", n),
        "day": lambda n: ngettext("Every day", "Every %(n)s days", n),
        "week": lambda n: ngettext("Every week", "Every %(n)s weeks", n),
        "month": lambda n: ngettext("Every month", "Every %(n)s months", n),
        "year": lambda n: ngettext("Every year", "Every %(n)s years", n),
    }
    first = timezone.localtime(datetime.fromisoformat(start), schedule.zone)
    return _("%(interval)s, counted from %(date)s, %(time)s") % {
        "interval": words[unit](count) % {"n": formats.number_format(count, use_l10n=True)},
        "date": formats.date_format(first, "SHORT_DATE_FORMAT"),
        "time": f"{first:%H:%M}",
    }


def _at_a_time(cron: str) -> str:
    """Return what is said of one time on one day of the month: most schedules of reports."""
    fields = cron.split()
    if len(fields) == 6 and fields[0] == "0":
        fields = fields[1:]
    if len(fields) != 5 or not fields[0].isdecimal() or not fields[1].isdecimal():
        return ""
    time = f"{int(fields[1]):02}:{int(fields[0]):02}"
    match [fields[2].upper(), fields[3], fields[4].upper()]:
        case [day, "*", "*"] if day.isdecimal():
            text = _("At %(time)s on day %(day)s of the month")
            return text % {"time": time, "day": int(day)}
        case ["L", "*", "*"]:
            return _("At %(time)s on the last day of the month") % {"time": time}
        case ["LW", "*", "*"]:
            return _("At %(time)s on the last weekday of the month") % {"time": time}
        case ["*", "*", day] if name := _weekday(day.removesuffix("L")):
            if day.endswith("L"):
                text = _("At %(time)s on the last %(weekday)s of the month")
            else:
                text = _("At %(time)s every %(weekday)s")
            return text % {"time": time, "weekday": name}
        case ["*", "*", day] if "#" in day:
            weekday, _hash, number = day.partition("#")
            ordinal = {
                "1": _("At %(time)s on the first %(weekday)s of the month"),
                "2": _("At %(time)s on the second %(weekday)s of the month"),
                "3": _("At %(time)s on the third %(weekday)s of the month"),
                "4": _("At %(time)s on the fourth %(weekday)s of the month"),
                "5": _("At %(time)s on the fifth %(weekday)s of the month"),
            }.get(number, "")
            if ordinal and (name := _weekday(weekday)):
                return ordinal % {"time": time, "weekday": name}
    return ""


def _weekday(text: str) -> str:
    if text in _DAYS:
        number = _DAYS.index(text)
    elif text.isdecimal() and int(text) <= 7:
        number = int(text) % 7
    else:
        return ""
    return str(WEEKDAYS[(number - 1) % 7])


def _described(cron: str, language: str) -> str:
    options = Options()
    options.use_24hour_time_format = True
    options.locale_code = _locale(language)
    try:
        text = get_description(cron, options)
    except Exception:  # whatever it stumbles over, the schedule itself is sound
        return ""
    # It takes these names from the process's locale, not from the language asked for.
    return _ENGLISH_NAME.sub(lambda found: _own_name(found[1]), str(text))


def _own_name(english: str) -> str:
    number = _ENGLISH.index(english)
    return str(WEEKDAYS[number] if number < 7 else MONTHS[number - 6])


def _locale(language: str) -> str:
    base, _dash, region = language.partition("-")
    if len(region) == 2:
        return f"{base}_{region.upper()}"
    return _LOCALES.get(base, f"{base}_{base.upper()}")


@dataclass(frozen=True)
class Occurrence:
    """A moment to come, on the clocks of the schedule's own zone."""

    moment: datetime
    date: str
    time: str
    #: The zone as it is called then: `CEST`.
    zone: str
    #: By how much the clocks were set since the one before: ahead, back, or nothing.
    change: str = ""


def upcoming(schedule: Schedule, now: datetime, number: int) -> list[Occurrence]:
    """Return the next occurrences, and at which of them the clocks have been set meanwhile."""
    found: list[Occurrence] = []
    offset = now.astimezone(schedule.zone).utcoffset() or timedelta()
    for moment in schedule.upcoming(now, number):
        local = moment.astimezone(schedule.zone)
        shift = (local.utcoffset() or timedelta()) - offset
        offset += shift
        shown = f"{local:%H:%M}" if local.second == 0 else f"{local:%H:%M:%S}"
        date = f"{WEEKDAYS[local.weekday()]}, {formats.date_format(local, 'DATE_FORMAT')}"
        found.append(Occurrence(moment, date, shown, local.tzname() or "", _set_by(shift)))
    return found


def _set_by(shift: timedelta) -> str:
    minutes = abs(shift.total_seconds()) // 60
    if shift > timedelta():
        return _("clocks have gone forward by %(n)d min") % {"n": minutes}
    if shift < timedelta():
        return _("clocks have gone back by %(n)d min") % {"n": minutes}
    return ""
