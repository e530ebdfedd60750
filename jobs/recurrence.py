"""When a recurring job is due, and what becomes of the occurrences it missed.

Pure: no database, no clock; every time is a parameter. The cron syntax is cronsim's: five fields
(minute, hour, day of month, month, weekday) or six with the second first; `L` is the last day of
the month, `LW` its last weekday, `5L` the last Friday, `1#2` the second Monday.

When clocks are set, Debian's rules hold:

- A job at a fixed time (neither minute nor hour begins with `*`) runs once on each day it names:
  where the clock jumps over its time, as soon as the jump is over; where the clock shows its time
  twice, the first time.
- Every other job runs whenever the clock shows a matching time: no interval gets longer or shorter.

What cron can't say (every two weeks, every 45 minutes) is an interval, counted from a moment:
`every 2 weeks from 2026-01-05T09:00:00+00:00`, with minutes, hours, days, weeks, months or years.
From days up it keeps to what the clock shows, and to the last day of a month that is too short.
"""

from __future__ import annotations

import difflib
from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain, islice
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError
from django.db import models
from django.utils.translation import gettext_lazy as _

from .exceptions import InvalidSchedule

#: One pass creates at most so many jobs of one recurring job.
LIMIT = 1000
MAX_CRON_LENGTH = 255
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
#: The units of intervals: how long one is, or how many months.
_LENGTHS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": DAY, "week": 7 * DAY}
_MONTHS = {"month": 1, "year": 12}
#: An interval may begin when every time zone has a date for it.
_FIRST = datetime.min.replace(tzinfo=UTC)
_CALENDAR = datetime.max - datetime.min - 2 * DAY


class Misfire(models.TextChoices):
    """What happens to the occurrences that were missed."""

    ONCE = "once", _("Run once for all")
    ALL = "all", _("Run each")
    SKIP = "skip", _("Skip")


class Schedule:
    """A cron expression, read on the clocks of a time zone. Moments that go in must be aware."""

    def __init__(self, cron: str, time_zone: str) -> None:
        """Raise InvalidSchedule that names the wrong parameter and says what is wrong."""
        if problem := cron_problem(cron):
            raise InvalidSchedule(f"cron={cron!r} {problem}.", "cron")
        if problem := time_zone_problem(time_zone):
            raise InvalidSchedule(f"timezone={time_zone!r} {problem}.", "time_zone")
        self.cron, self.zone = cron, ZoneInfo(time_zone)
        minute, hour = cron.split()[-5:-3]
        self._at_fixed_time = not (minute.startswith("*") or hour.startswith("*"))

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the occurrences later than `moment`, in order and in UTC."""
        moment = moment.astimezone(UTC).replace(microsecond=0)
        return self._fixed_times(moment) if self._at_fixed_time else self._matches(moment)

    def next_after(self, moment: datetime) -> datetime | None:
        """Return the first occurrence later than `moment`."""
        return next(self.after(moment), None)

    def upcoming(self, moment: datetime, number: int) -> list[datetime]:
        """Return the first `number` occurrences later than `moment`."""
        return list(islice(self.after(moment), number))

    def latest(self, *, after: datetime, before: datetime) -> datetime | None:
        """Return the last occurrence between two moments, without walking through them all."""
        window = timedelta(minutes=1)
        while True:
            start = max(after, before - window)
            found = None
            for found in self._until(before, start):  # noqa: B007
                pass
            if found or start == after:
                return found
            window *= 2

    def _until(self, end: datetime, start: datetime) -> Iterator[datetime]:
        for occurrence in self.after(start):
            if occurrence >= end:
                return
            yield occurrence

    def _fixed_times(self, moment: datetime) -> Iterator[datetime]:
        last = moment
        for shown in CronSim(self.cron, _shown(moment, self.zone)):
            occurrence = _first_shown(shown, self.zone)
            if occurrence > last:  # else two fell together in a jump, or this hour comes again
                yield occurrence
                last = occurrence

    def _matches(self, moment: datetime) -> Iterator[datetime]:
        since, clock = moment, _shown(moment, self.zone)
        start = clock
        while True:
            offset = clock - since.replace(tzinfo=None)
            for match in CronSim(self.cron, start):
                occurrence = (match - offset).replace(tzinfo=UTC)
                change = _next_change(self.zone, since, occurrence)
                if change is not None:
                    break
                yield occurrence
                since = occurrence
            else:
                return
            # Go on with what the clock shows from then on; that moment itself may match.
            since, clock = change, _shown(change, self.zone)
            start = clock - SECOND


class Interval(Schedule):
    """Every so many minutes, days or months from a moment on, itself the first occurrence."""

    def __init__(self, text: str, time_zone: str) -> None:
        """Raise InvalidSchedule that names the wrong parameter and says what is wrong."""
        if problem := _interval_problem(text):
            raise InvalidSchedule(f"cron={text!r} {problem}.", "cron")
        if problem := time_zone_problem(time_zone):
            raise InvalidSchedule(f"timezone={time_zone!r} {problem}.", "time_zone")
        self.cron, self.zone = text, ZoneInfo(time_zone)
        _, number, unit, _, start = text.split()
        self._number, self._unit = int(number), unit.removesuffix("s")
        self._start = datetime.fromisoformat(start).astimezone(UTC)
        self._clock = _shown(self._start, self.zone)

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the occurrences later than `moment`, in order and in UTC."""
        # A little too early is put right below; what the clocks were set by is less than a day.
        number = max(0, self._passed(moment.astimezone(UTC) - DAY))
        while (occurrence := self._occurrence(number)) is not None:
            if occurrence > moment:
                yield occurrence
            number += 1

    def _passed(self, moment: datetime) -> int:
        """Return about how many intervals there are from the start to `moment`, never too many."""
        if self._unit in _LENGTHS:
            return (moment - self._start) // (self._number * _LENGTHS[self._unit])
        months = (moment.year - self._start.year) * 12 + moment.month - self._start.month
        return (months - 1) // (self._number * _MONTHS[self._unit])

    def _occurrence(self, number: int) -> datetime | None:
        """Return occurrence `number`, from 0, or None beyond the end of the calendar."""
        try:
            if self._unit in ("minute", "hour"):
                return self._start + number * self._number * _LENGTHS[self._unit]
            if self._unit in _LENGTHS:
                shown = self._clock + number * self._number * _LENGTHS[self._unit]
            else:
                month = self._clock.month - 1 + number * self._number * _MONTHS[self._unit]
                year, month = self._clock.year + month // 12, month % 12 + 1
                day = min(self._clock.day, monthrange(year, month)[1])
                shown = self._clock.replace(year=year, month=month, day=day)
            return self._start if number == 0 else _first_shown(shown, self.zone)
        except (OverflowError, ValueError):
            return None


@lru_cache(maxsize=4096)
def schedule_for(cron: str, time_zone: str) -> Schedule:
    """Return the Schedule, made once; raises as it does."""
    kind = Interval if isinstance(cron, str) and cron.startswith("every ") else Schedule
    return kind(cron, time_zone)


class Plan(NamedTuple):
    """Which occurrences become jobs now, and when to look again (None: never)."""

    occurrences: list[datetime]
    next_run: datetime | None


def plan(
    schedule: Schedule,
    next_run: datetime,
    as_of: datetime,
    *,
    misfire: str,
    grace_seconds: float,
    limit: int = LIMIT,
) -> Plan:
    """Decide about the occurrences from `next_run`, the first one not dealt with, to `as_of`.

    Missed is what is more than `grace_seconds` late. Of the missed ones `misfire` makes one job
    (for the latest of them), a job each, or none; the others always get theirs. Not more than
    `limit`: the rest stays for the next pass.
    """
    on_time = as_of - timedelta(seconds=grace_seconds)
    chosen: list[datetime] = []
    if next_run < on_time and misfire != Misfire.ALL:
        if misfire == Misfire.ONCE:
            chosen.append(schedule.latest(after=next_run, before=on_time) or next_run)
        rest = schedule.after(on_time - timedelta(microseconds=1))
    else:
        rest = chain([next_run], schedule.after(next_run))
    for occurrence in rest:
        if occurrence > as_of or len(chosen) >= limit:
            return Plan(chosen, occurrence)
        chosen.append(occurrence)
    return Plan(chosen, None)


# What is wrong with what people write ----------------------------------------------------------


def cron_problem(cron: object) -> str | None:
    """Return what is wrong with a cron expression, or None."""
    if not isinstance(cron, str) or not cron.strip():
        return "must be text such as '30 23 L * *'"
    if len(cron) > MAX_CRON_LENGTH:
        return f"must have at most {MAX_CRON_LENGTH} characters"
    fields = cron.split()
    if len(fields) not in (5, 6):
        return (
            "must have five fields (minute, hour, day of month, month, weekday), "
            "or six with the second first"
        )
    if error := _cron_error(cron):
        any_month = " ".join([*fields[:-2], "*", fields[-1]])
        if _cron_error(any_month) or error == "Bad month":
            return f"has a {error[0].lower()}{error[1:]}"
        return "names a date that never comes"
    return None


def _interval_problem(text: str) -> str | None:
    if len(text) > MAX_CRON_LENGTH:
        return f"must have at most {MAX_CRON_LENGTH} characters"
    match text.split():
        case ["every", number, unit, "from", start]:
            if not number.isdecimal() or not 1 <= int(number) <= 100_000:
                return "must have a whole number from 1 to 100000 after 'every'"
            if unit.removesuffix("s") not in {*_LENGTHS, *_MONTHS}:
                return "must have minutes, hours, days, weeks, months or years after the number"
            try:
                moment = datetime.fromisoformat(start)
                if moment.tzinfo is not None and DAY < moment - _FIRST < _CALENDAR:
                    return None
            except (ValueError, OverflowError):
                pass
            return "must have a moment after 'from', such as 2026-01-05T09:00:00+00:00"
    return "must be like 'every 2 weeks from 2026-01-05T09:00:00+00:00'"


def _cron_error(cron: str) -> str | None:
    try:
        found = next(CronSim(cron, datetime(2000, 1, 1)), None)
    except CronSimError as error:
        return str(error)
    # It looks ahead for 50 years.
    return None if found else "Bad day-of-month"


def time_zone_problem(name: object) -> str | None:
    """Return what is wrong with the name of a time zone, or None."""
    if not isinstance(name, str) or not name:
        return "must be the IANA name of a time zone, such as 'Europe/Berlin'"
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # not a path in the database; a folder; not there
        close = difflib.get_close_matches(name, available_timezones(), 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return f"is not the IANA name of a time zone known here{hint}"
    return None


# What a clock shows ----------------------------------------------------------------------------


def _shown(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return what the clocks of `zone` show at `moment`, without a zone."""
    return moment.astimezone(zone).replace(tzinfo=None)


def _first_shown(shown: datetime, zone: ZoneInfo) -> datetime:
    """Return when the clocks of `zone` first show that time, or jump over it."""
    # In a jump, the two folds give it by the clock before and the clock after.
    earlier, later = sorted(shown.replace(tzinfo=zone, fold=f).astimezone(UTC) for f in (0, 1))
    if _shown(earlier, zone) == shown:
        return earlier
    return _next_change(zone, earlier, later) or later


def _next_change(zone: ZoneInfo, start: datetime, end: datetime) -> datetime | None:
    """Return the first second after `start`, up to `end`, at which the clocks of `zone` are set."""
    offset = start.astimezone(zone).utcoffset()
    while start < end:
        stop = min(start + DAY, end)
        if stop.astimezone(zone).utcoffset() != offset:
            while stop - start > SECOND:
                middle = start + (stop - start) // 2
                middle = middle.replace(microsecond=0)
                if middle.astimezone(zone).utcoffset() == offset:
                    start = middle
                else:
                    stop = middle
            return stop
        start = stop
    return None
