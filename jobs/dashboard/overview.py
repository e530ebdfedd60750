"""The overview: what is happening now, what happened, and what needs attention."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.http import HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils import formats, timezone
from django.utils.translation import get_language, gettext_lazy, pgettext_lazy
from django.utils.translation import gettext as _

from ..states import State
from . import attention, charts, counting, figures, metrics, words
from .figures import PERIODS, Period, Recent, Step
from .pages import Page


class Series(NamedTuple):
    """What a graph shows in one colour."""

    names: tuple[str, ...]
    tone: str
    title: Any
    soft: bool = False


#: The layers of the realtime graph, the first at the bottom.
REALTIME = (
    Series(("failed",), "failed", gettext_lazy("Failed")),
    Series(("retry", "missing"), "processing", gettext_lazy("Attempt failed, retry planned")),
    Series(("deleted",), "deleted", gettext_lazy("Deleted")),
    Series(("succeeded",), "succeeded", gettext_lazy("Succeeded"), soft=True),
)
#: In the history failures have a lane of their own, or 100 among 20,000 would not be seen.
SUCCEEDED = Series(("succeeded",), "succeeded", gettext_lazy("Succeeded"), soft=True)
LANE = (
    Series(("failed",), "failed", gettext_lazy("Failed")),
    Series(("retry", "missing"), "processing", gettext_lazy("Attempt failed")),
    Series(("deleted",), "deleted", gettext_lazy("Deleted")),
)
OUTCOMES = ("succeeded", "failed", "retry", "deleted")
PERIOD_TITLES = {
    "day": pgettext_lazy("period", "Day"),
    "week": pgettext_lazy("period", "Week"),
    "month": pgettext_lazy("period", "Month"),
}
#: Rows of the realtime graph's table.
ROWS = 12
#: Labels under a history graph.
LABELS = 8


def page(page: Page) -> HttpResponse:
    """Tiles, graphs, and what needs attention."""
    wanted = page.request.GET.get("period", "day")
    period = PERIODS.get(wanted, PERIODS["day"])
    return page.render(
        "overview.html",
        {
            "tiles": tiles(),
            "realtime": realtime(figures.recent()),
            "history": _drawn_history(period),
            "periods": [
                (name, title, name == period.name) for name, title in PERIOD_TITLES.items()
            ],
            "unknown_period": wanted if wanted not in PERIODS else "",
            "attention": attention.lines(page),
        },
        title=_("Overview"),
        live=(
            "tiles.html",
            "realtime.html",
            "realtime_table.html",
            "history.html",
            "history_table.html",
            "attention.html",
        ),
    )


def tiles() -> dict[str, Any]:
    """Return the numbers on top of the page; those of the last day end with the current hour."""
    numbers, recent, found = metrics.snapshot(), figures.recent(), attention.facts()
    day = _sum(figures.history(PERIODS["day"], timezone.get_current_timezone(), recent.now))
    return {
        "rate": recent.rate(*OUTCOMES),
        "processing": numbers.states[State.PROCESSING],
        "workers": numbers.workers,
        "backlog": numbers.states[State.ENQUEUED],
        "oldest": found.oldest[1] if found.oldest else None,
        "late": bool(found.oldest and found.oldest[1] > attention.WAIT_SECONDS),
        "failed": day["failed"],
        "attempts": day["failed"] + day["retry"],
        "wait": _percentiles(recent.wait),
        "run": _percentiles(recent.run),
    }


def _percentiles(found: dict[float, float | None]) -> dict[str, float | None]:
    return {"p50": found[0.5], "p95": found[0.95]}


def realtime(recent: Recent) -> dict[str, Any]:
    """Return the graph of the last minute: a point is the mean since the point before."""
    start = recent.now - timedelta(seconds=figures.WINDOW_SECONDS)
    times: list[float] = []
    layers: list[list[float]] = [[] for _layer in REALTIME]
    for sample in recent.samples:
        # A rate holds for the whole of its time: an edge at both ends, unless it is a short one.
        ends = (sample.start, sample.end)
        long = (sample.end - sample.start).total_seconds() > 2 * metrics.INTERVAL_SECONDS
        for moment in ends if long or not times else ends[1:]:
            away = (max(moment, start) - start).total_seconds()
            times.append(min(away / figures.WINDOW_SECONDS, 1.0))
            for layer, series in zip(layers, REALTIME, strict=True):
                layer.append(sample.rate(*series.names))
    largest = max((sum(values) for values in zip(*layers, strict=True)), default=0.0)
    axis = charts.axis(largest)
    bands = charts.stack(times, layers, axis.top)
    last = recent.samples[-1:]
    every = max(1, math.ceil(len(recent.samples) / ROWS))
    return {
        "ticks": [_tick(tick) for tick in axis.ticks],
        "grid": charts.grid(),
        "bands": list(zip(REALTIME, bands, strict=True)),
        "legend": [
            (series, words.rate(last[0].rate(*series.names) if last else 0.0))
            for series in reversed(REALTIME)
        ],
        "labels": [_clock(start + timedelta(seconds=10 * number)) for number in range(7)],
        "mean": words.rate(recent.rate("succeeded")),
        "failures": words.rate(recent.rate("failed", "retry", "missing")),
        "columns": [series.title for series in reversed(REALTIME)],
        "rows": [
            (
                _clock(sample.end),
                [words.rate(sample.rate(*series.names)) for series in reversed(REALTIME)],
            )
            for sample in recent.samples[::-1][::every]
        ],
    }


def _drawn_history(period: Period) -> dict[str, Any]:
    """Return the graph and its table as HTML: they change slowly, and are most of a live answer."""

    def draw() -> dict[str, Any]:
        values = {"history": history(period)}
        return {
            "period": period,
            "graph": render_to_string("jobs/dashboard/history_graph.html", values),
            "table": render_to_string("jobs/dashboard/history_rows.html", values),
        }

    key = ("history", period, str(timezone.get_current_timezone()), get_language())
    return metrics.shared(key, figures.HOUR_SECONDS, draw)


def history(period: Period) -> dict[str, Any]:
    """Return the graph of a period, in the user's time zone."""
    zone = timezone.get_current_timezone()
    steps = figures.history(period, zone, figures.recent().now)
    shown, failures = _values(steps, SUCCEEDED), [_values(steps, series) for series in LANE]
    axis = charts.axis(max(shown), 4)
    lane = charts.axis(max(sum(values) for values in zip(*failures, strict=True)), 4)
    total = _sum(steps)
    labels = _labels(steps, period)
    # A divisor, or the labels would not stand under their points.
    every = next(
        n for n in range(1, len(steps) + 1) if len(steps) <= n * LABELS and len(steps) % n == 0
    )
    return {
        "period": period,
        "ticks": [_tick(tick) for tick in axis.ticks],
        "grid": charts.grid(),
        "bars": list(
            zip(charts.columns([shown], axis.top)[0], _current(steps), labels, shown, strict=True)
        ),
        "lane": list(
            zip(LANE, charts.columns(failures, lane.top, charts.LANE_HEIGHT), strict=True)
        ),
        "lane_top": _tick(lane.top),
        "legend": [
            (series, words.number(sum(total[name] for name in series.names)))
            for series in (SUCCEEDED, *LANE)
        ],
        "labels": [label if not n % every else "" for n, label in enumerate(labels)],
        "columns": [series.title for series in (SUCCEEDED, *LANE)],
        "rows": [
            (
                label,
                step.start,
                [words.number(_value(step, series)) for series in (SUCCEEDED, *LANE)],
            )
            for label, step in zip(labels, steps, strict=True)
        ][::-1],
        "zone": str(zone),
        "most": words.number(max(shown)),
        "most_at": labels[shown.index(max(shown))],
    }


def _current(steps: list[Step]) -> list[bool]:
    return [number == len(steps) - 1 for number in range(len(steps))]


def _values(steps: list[Step], series: Series) -> list[int]:
    return [_value(step, series) for step in steps]


def _value(step: Step, series: Series) -> int:
    return sum(step.counts[name] for name in series.names)


def _sum(steps: list[Step]) -> Any:
    total: dict[str, int] = dict.fromkeys(("succeeded", "failed", "retry", "deleted", "missing"), 0)
    for step in steps:
        for name in total:
            total[name] += step.counts[name]
    return total


def _labels(steps: list[Step], period: Period) -> list[str]:
    """Return what is written under each point; an hour that comes twice names its zone."""
    if period.by_day:
        return [
            formats.date_format(step.start, "D j" if period.points < 8 else "j M") for step in steps
        ]
    hours = [f"{step.start:%H:%M}" for step in steps]
    return [
        f"{hour} {step.start:%Z}" if _repeats(step.start) else hour
        for hour, step in zip(hours, steps, strict=True)
    ]


def _repeats(moment: datetime) -> bool:
    """Whether the clocks show this moment twice that day."""
    return moment.replace(fold=0).utcoffset() != moment.replace(fold=1).utcoffset()


def _clock(moment: datetime) -> str:
    return f"{timezone.localtime(moment):%H:%M:%S}"


def _tick(value: float) -> str:
    return words.number(int(value) if value == int(value) else round(value, 2))


def stats(page: Page) -> HttpResponse:
    """The numbers of the overview as JSON.

    | key | what |
    |---|---|
    | `time` | when they were taken, by the database's clock (ISO 8601) |
    | `states` | jobs in each state; counted to 10,000, see `counted_up_to` |
    | `retries` | scheduled jobs that are retries, counted so too |
    | `servers`, `servers_silent`, `workers` | servers that live, those that don't, workers |
    | `queues`, `queues_paused`, `recurring` | how many there are |
    | `per_second` | `succeeded`, `failed`, `retry`, `deleted`: means of the last minute |
    | `last_24_hours` | the same as sums: 23 hours and the current one |
    | `oldest_seconds` | how long the oldest job waits that could run, or null |
    | `wait_seconds`, `run_seconds` | `p50`, `p95` of the last five minutes, or null |
    | `attention` | what needs attention: `id`, `title`, `text`, `url` |
    """
    numbers, recent, shown = metrics.snapshot(), figures.recent(), tiles()
    day = _sum(figures.history(PERIODS["day"], timezone.get_current_timezone(), recent.now))
    return JsonResponse(
        {
            "time": numbers.database_time,
            "states": {str(state): _bounded(numbers.states[state]) for state in State},
            "counted_up_to": counting.LIMIT,
            "retries": _bounded(numbers.retries),
            "servers": numbers.servers,
            "servers_silent": numbers.servers_silent,
            "workers": shown["workers"],
            "queues": numbers.queues,
            "queues_paused": numbers.queues_paused,
            "recurring": int(numbers.recurring),
            "per_second": {name: round(recent.rate(name), 3) for name in OUTCOMES},
            "last_24_hours": {name: day[name] for name in OUTCOMES},
            "oldest_seconds": shown["oldest"],
            "wait_seconds": shown["wait"],
            "run_seconds": shown["run"],
            "attention": [
                {"id": line.id, "title": line.title, "text": line.text, "url": line.url}
                for line in attention.lines(page)
            ],
        }
    )


def _bounded(count: int) -> int:
    return min(int(count), counting.LIMIT)
