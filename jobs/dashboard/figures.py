"""What the counters say, read once per process for all tabs: the last minutes, hours and days."""

from __future__ import annotations

from collections import Counter as Tally
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import NamedTuple

from django.db.models import Sum
from django.utils import timezone

from .. import statistics
from ..conf import conf
from ..models import Counter, Span
from ..statistics import BUCKETS, OUTCOMES
from . import metrics

#: The realtime graph reaches back so far.
WINDOW_SECONDS = 60
#: Waits and run times are those of so many minutes.
MINUTES = 5
#: Nobody looked for so long: what happened meanwhile is told by the minutes, not as one point.
GAP_SECONDS = 20.0

Minutes = dict[datetime, Tally[str]]


class Sample(NamedTuple):
    """How often what happened between two moments."""

    start: datetime
    end: datetime
    counts: Tally[str]

    def rate(self, *names: str) -> float:
        """Events per second."""
        seconds = (self.end - self.start).total_seconds()
        return sum(self.counts[name] for name in names) / seconds


class Watch:
    """The last minute of one database, as this process saw it.

    The counters are by the minute. What they grew by between two looks happened between these; of
    the time before the first look there are only the minutes' means.
    """

    def __init__(self) -> None:
        self.samples: deque[Sample] = deque(maxlen=WINDOW_SECONDS)
        self._seen: Minutes = {}

    def look(self, now: datetime, minutes: Minutes) -> list[Sample]:
        """Return the samples of the window, with what has been counted since the last look."""
        last = self.samples[-1].end if self.samples else None
        if last is None or not 0 <= (now - last).total_seconds() <= GAP_SECONDS:
            self._begin(now, minutes)
        elif (now - last).total_seconds() >= 0.5:
            grown: Tally[str] = Tally()
            for minute, counts in minutes.items():
                grown += counts - self._seen.get(minute, Tally())
            self.samples.append(Sample(last, now, grown))
        else:
            return list(self.samples)
        self._seen = minutes
        start = now - timedelta(seconds=WINDOW_SECONDS)
        while self.samples and self.samples[0].end <= start:
            self.samples.popleft()
        return list(self.samples)

    def _begin(self, now: datetime, minutes: Minutes) -> None:
        self.samples.clear()
        this = now.replace(second=0, microsecond=0)
        before = this - timedelta(minutes=1)
        self.samples.append(Sample(before, this, minutes.get(before, Tally())))
        if (now - this).total_seconds() >= 1:
            self.samples.append(Sample(this, now, minutes.get(this, Tally())))


@dataclass(frozen=True)
class Recent:
    """The last minutes."""

    now: datetime
    samples: list[Sample]
    wait: dict[float, float | None]
    run: dict[float, float | None]

    def rate(self, *names: str) -> float:
        """Events per second over the window."""
        seconds = sum((sample.end - sample.start).total_seconds() for sample in self.samples)
        found = sum(sample.counts[name] for sample in self.samples for name in names)
        return found / seconds if seconds else 0.0


_watches: dict[str, Watch] = {}


def recent() -> Recent:
    """Return the last minutes; one statement, or none."""
    return metrics.shared("recent", metrics.INTERVAL_SECONDS, _recent)


def _recent() -> Recent:
    now = timezone.now().astimezone(UTC)
    first = now.replace(second=0, microsecond=0) - timedelta(minutes=MINUTES)
    minutes = _minutes(first)
    samples = _watches.setdefault(conf.DATABASE, Watch()).look(now, minutes)
    counted: Tally[str] = Tally()
    for counts in minutes.values():
        counted += counts
    wait, run = (
        statistics.percentiles_of([counted[name] for name in BUCKETS[measure]], (0.5, 0.95))
        for measure in ("wait", "run")
    )
    return Recent(now, samples, wait, run)


def _minutes(first: datetime) -> Minutes:
    """Return all counters from a minute on; those of servers whose clock is ahead, too."""
    rows = Counter.objects.using(conf.DATABASE).filter(span=Span.MINUTE, minute__gte=first)
    found: Minutes = {}
    for minute, name, value in rows.order_by().values_list("minute", "name").annotate(Sum("value")):
        found.setdefault(minute.astimezone(UTC), Tally())[name] += value
    return found


def forget() -> None:
    """Forget what was watched, for tests."""
    _watches.clear()


class Period(NamedTuple):
    """What a history graph shows: so many points of an hour or a day."""

    name: str
    points: int
    by_day: bool


PERIODS = {
    period.name: period
    for period in (Period("day", 24, False), Period("week", 7, True), Period("month", 30, True))
}
#: Hours that are over change no more, but for servers whose clock is late.
OVER_SECONDS = 600.0
#: How old the numbers of the current hour may be.
HOUR_SECONDS = 10.0


class Step(NamedTuple):
    """One point of the history: an hour or a day on the user's clocks, and how long it is."""

    start: datetime
    counts: Tally[str]
    hours: int


def history(period: Period, zone: tzinfo, now: datetime) -> list[Step]:
    """Return the points of a period, the last one not over, by the clocks of `zone`."""
    if not period.by_day:
        first = _hour(now) - timedelta(hours=period.points - 1)
        found = _hours(first, _hour(now))
        return [
            Step(moment.astimezone(zone), found.get(moment, Tally()), 1)
            for moment in _steps(first, now)
        ]
    today = now.astimezone(zone).date()
    days = [today - timedelta(days=back) for back in range(period.points - 1, -1, -1)]
    first = _hour(_midnight(days[0], zone))
    found = _hours(first, _hour(now))
    sums = {day: Tally[str]() for day in days}
    hours = Tally[date]()
    for moment in _steps(first, now):
        day = moment.astimezone(zone).date()
        hours[day] += 1
        if day in sums:
            sums[day].update(found.get(moment, {}))
    return [Step(_midnight(day, zone), sums[day], hours[day]) for day in days]


def _hours(first: datetime, current: datetime) -> Minutes:
    """Return what was counted in each hour of UTC from `first` on, up to now."""
    edge = current - timedelta(hours=1)
    over = metrics.shared(("hours", first, edge), OVER_SECONDS, lambda: _series(first, edge))
    end = current + timedelta(hours=1)
    rest = metrics.shared(("hours", edge, end), HOUR_SECONDS, lambda: _series(edge, end))
    return {**over, **rest}


def _series(start: datetime, end: datetime) -> Minutes:
    """Return what was counted by hour, by one statement for minutes and hours alike."""
    rows = Counter.objects.using(conf.DATABASE).filter(
        span__in=Span.values, minute__gte=start, minute__lt=end, name__in=OUTCOMES
    )
    found: Minutes = {}
    for minute, name, value in rows.order_by().values_list("minute", "name").annotate(Sum("value")):
        found.setdefault(_hour(minute), Tally())[name] += value
    return found


def _hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _steps(first: datetime, now: datetime) -> Iterable[datetime]:
    while first <= now:
        yield first
        first += timedelta(hours=1)


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone)
