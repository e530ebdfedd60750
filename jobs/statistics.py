"""What the counters count, and reading them.

| name | counts, in its minute |
|---|---|
| `succeeded`, `failed`, `deleted` | executions after which the job ended so |
| `retry` | executions that raised and are to be tried again |
| `missing` | jobs put off because their function can't be imported |
| `wait<=0.1` | executions that began at most 0.1 s after they were due, but later than the bound before (0.05) |
| `wait>3600` | executions that began later than the last bound |
| `run<=0.1`, `run>3600` | the same for how long a worker was busy with an execution |

Bounds, in seconds: see BOUNDS. A job is due at its `run_at`; one that comes back (requeued, given
back, crashed) is due when it came back. Put-off jobs (`missing`) did not run, so they have neither
wait nor run time.

Counters are by minute for two days, then by hour. A reading from a moment to a moment takes every
counter whose first minute lies in between, the end not included.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.db.models import Sum

from .conf import conf
from .models import Counter, Span
from .outcomes import Kind, Outcome

#: Upper bounds of the histograms' buckets, in seconds, about two to a factor of five.
BOUNDS = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
    *(1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0),
)


def _names(measure: str) -> tuple[str, ...]:
    return (*(f"{measure}<={bound:g}" for bound in BOUNDS), f"{measure}>{BOUNDS[-1]:g}")


#: The names of each histogram's buckets, in order.
BUCKETS = {"wait": _names("wait"), "run": _names("run")}
_WAIT, _RUN = BUCKETS["wait"], BUCKETS["run"]
#: The names that count outcomes.
OUTCOMES = tuple(kind.value for kind in Kind)


def count(outcomes: Iterable[Outcome]) -> Tally[str]:
    """Return by how much `outcomes` raise which counters."""
    names: list[str] = []
    for outcome in outcomes:
        names.append(outcome.kind)
        if outcome.waited is not None:
            names.append(_WAIT[bisect_left(BOUNDS, outcome.waited)])
            names.append(_RUN[bisect_left(BOUNDS, outcome.seconds)])
    return Tally(names)


def totals(start: datetime, end: datetime, names: Sequence[str] | None = None) -> dict[str, int]:
    """Return the sums of the counters (`names`: these only) from `start` to before `end`."""
    counters = Counter.objects.using(conf.DATABASE).filter(minute__gte=start, minute__lt=end)
    # One span after the other: the index begins with it.
    sums: Tally[str] = Tally()
    for span in Span:
        rows = counters.filter(span=span)
        if names is not None:
            rows = rows.filter(name__in=names)
        sums.update(dict(rows.order_by().values_list("name").annotate(Sum("value"))))
    return dict(sums)


class Point(NamedTuple):
    """What was counted in one step of a series; names that are not there count 0."""

    start: datetime
    values: dict[str, int]


def series(
    start: datetime, end: datetime, names: Sequence[str] = OUTCOMES, *, step: Span = Span.MINUTE
) -> list[Point]:
    """Return what was counted in each minute or hour from `start` to before `end`, without gaps.

    `start` is rounded down to a whole step (of UTC); the points come in its time zone. By the
    minute there is nothing older than two days.
    """
    # In UTC: local time has hours twice, and arithmetic with it leaves out or repeats some.
    first, end = _floor(start, step), end.astimezone(UTC)
    counters = Counter.objects.using(conf.DATABASE).filter(
        minute__gte=first, minute__lt=end, name__in=names
    )
    found: dict[datetime, Tally[str]] = {}
    for span in Span:
        if span > step:
            continue
        rows = counters.filter(span=span).order_by().values_list("minute", "name")
        for minute, name, value in rows.annotate(Sum("value")):
            found.setdefault(_floor(minute, step), Tally())[name] += value
    points, length = [], timedelta(seconds=step)
    while first < end:
        points.append(Point(first.astimezone(start.tzinfo), dict(found.get(first, {}))))
        first += length
    return points


def _floor(moment: datetime, step: Span) -> datetime:
    return datetime.fromtimestamp(moment.timestamp() // step * step, UTC)


def percentiles(
    measure: str, start: datetime, end: datetime, fractions: Sequence[float] = (0.5, 0.95)
) -> dict[float, float | None]:
    """Return below how many seconds these fractions of the executions stayed.

    `measure`: "wait" or "run". Exact to the width of a bucket, within which an even spread is
    supposed; what lies beyond the last bound counts as that. None when nothing was counted.
    """
    found = totals(start, end, BUCKETS[measure])
    return percentiles_of([found.get(name, 0) for name in BUCKETS[measure]], fractions)


def percentiles_of(counts: Sequence[int], fractions: Sequence[float]) -> dict[float, float | None]:
    """Return the percentiles of a histogram, given as the counts of its buckets in order."""
    return {fraction: _percentile(counts, fraction) for fraction in fractions}


def _percentile(counts: Sequence[int], fraction: float) -> float | None:
    rank, below = fraction * sum(counts), 0
    if not sum(counts):
        return None
    for number, found in enumerate(counts[:-1]):
        if found and below + found >= rank:
            lower = BOUNDS[number - 1] if number else 0.0
            return lower + (BOUNDS[number] - lower) * max(0.0, rank - below) / found
        below += found
    return BOUNDS[-1]
