"""The numbers in Prometheus' format, for those who include `jobs.dashboard.metrics_urls`.

| name | labels | what |
|---|---|---|
| `bonfire_jobs` | `state` | jobs in each state, counted to 10,000 |
| `bonfire_queue_jobs` | `queue` | jobs that wait in each of the first QUEUES queues, counted so too |
| `bonfire_queue_paused` | `queue` | 1 while it is paused |
| `bonfire_retries` | | scheduled jobs that are retries |
| `bonfire_servers` | `status` | servers that are `live` or `silent` |
| `bonfire_workers` | | workers of the live ones |
| `bonfire_oldest_job_seconds` | | how long the oldest job waits that could run; 0 without one |
| `bonfire_executions_total` | `outcome` | executions: succeeded, failed, retry, deleted, missing |
| `bonfire_wait_seconds`, `bonfire_run_seconds` | `le` | histograms; without sums, which nobody counts |

All processes answer with the same totals, whoever is asked. They begin at 0 with each month of UTC
(each day, if counters are kept for less than that), which Prometheus takes as a counter's restart.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from .. import statistics
from ..conf import conf
from ..models import Job, Queue
from ..states import State
from ..statistics import BOUNDS, BUCKETS, OUTCOMES
from . import attention, metrics
from .counting import BoundedCount
from .permissions import Permission

#: So many queues have numbers of their own.
QUEUES = 100
#: How old the numbers may be.
SECONDS = 5.0
#: Minutes as old as that change no more, but for servers whose clock is late.
SETTLED = timedelta(minutes=5)


def view(request: HttpRequest) -> HttpResponse:
    """Answer a scraper that shows the token, or a user who may see jobs."""
    if not conf.PROMETHEUS:
        raise Http404
    if not _permitted(request):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    try:
        from prometheus_client import CollectorRegistry
        from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
    except ImportError as error:
        raise ImproperlyConfigured(
            "JOBS['PROMETHEUS'] needs the package prometheus-client: install "
            "django-bonfire[prometheus]."
        ) from error
    registry = CollectorRegistry()
    registry.register(Collector())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _permitted(request: HttpRequest) -> bool:
    given = request.headers.get("Authorization", "").partition("Bearer ")[2].strip()
    if conf.PROMETHEUS_TOKEN and given:
        return constant_time_compare(given, conf.PROMETHEUS_TOKEN)
    user = getattr(request, "user", None)
    return user is not None and Permission("view", Job).held_by(user)


class Collector:
    """What is asked at each scrape."""

    def describe(self) -> list[Any]:
        """Return nothing: registering asks no database."""
        return []

    def collect(self) -> Iterator[Any]:
        """Yield the families of numbers."""
        yield from _gauges()
        yield from _totals()


def _gauges() -> Iterator[Any]:
    from prometheus_client.core import GaugeMetricFamily as Gauge

    numbers, oldest = metrics.snapshot(), attention.facts().oldest
    jobs = Gauge("bonfire_jobs", "Jobs in each state, counted to 10,000.", labels=["state"])
    for state in State:
        jobs.add_metric([str(state)], numbers.states[state])
    yield jobs
    waiting = Gauge("bonfire_queue_jobs", "Jobs that wait, counted to 10,000.", labels=["queue"])
    paused = Gauge("bonfire_queue_paused", "1 while the queue is paused.", labels=["queue"])
    for name, (length, is_paused) in metrics.shared("lengths", SECONDS, _lengths).items():
        waiting.add_metric([name], length)
        paused.add_metric([name], is_paused)
    yield waiting
    yield paused
    servers = Gauge("bonfire_servers", "Servers that live, and silent ones.", labels=["status"])
    servers.add_metric(["live"], numbers.servers)
    servers.add_metric(["silent"], numbers.servers_silent)
    yield servers
    yield Gauge("bonfire_workers", "Workers of live servers.", value=numbers.workers)
    yield Gauge("bonfire_retries", "Scheduled jobs that are retries.", value=numbers.retries)
    yield Gauge(
        "bonfire_oldest_job_seconds",
        "How long the oldest job waits that could run.",
        value=oldest[1] if oldest else 0.0,
    )


def _totals() -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

    counted = metrics.shared("totals", SECONDS, lambda: totals(timezone.now()))
    outcomes = CounterMetricFamily(
        "bonfire_executions", "Executions by their outcome.", labels=["outcome"]
    )
    for name in OUTCOMES:
        outcomes.add_metric([name], counted[name])
    yield outcomes
    bounds = [*(f"{bound:g}" for bound in BOUNDS), "+Inf"]
    for measure, title in (("wait", "From due to start."), ("run", "How long a worker was busy.")):
        sums = accumulate(counted[name] for name in BUCKETS[measure])
        yield HistogramMetricFamily(
            f"bonfire_{measure}_seconds",
            title,
            buckets=list(zip(bounds, sums, strict=True)),
            sum_value=None,
        )


def _lengths() -> dict[str, tuple[int, bool]]:
    """Return how many jobs wait in each queue and whether it is paused, by two statements."""
    queues = Queue.objects.using(conf.DATABASE).values_list("name", "paused_at")
    found = {f"n{number}": queue for number, queue in enumerate(queues.order_by("name")[:QUEUES])}
    jobs = Job.objects.using(conf.DATABASE)
    counts = {
        column: BoundedCount(jobs.filter(queue=name, state=State.ENQUEUED))
        for column, (name, _paused) in found.items()
    }
    row = jobs.order_by("-pk").values(**counts).first() if counts else None
    lengths: dict[str, Any] = {**row} if row else {}
    return {
        name: (lengths.get(column, 0), paused is not None)
        for column, (name, paused) in found.items()
    }


#: By database and beginning: up to when it was summed for good, and the sums.
_settled: dict[tuple[str, datetime], tuple[datetime, Tally[str]]] = {}


def totals(now: datetime) -> Tally[str]:
    """Return the counters since the month began; what is settled is summed only once."""
    now = now.astimezone(UTC)
    start = _beginning(now)
    until, sums = _settled.get((conf.DATABASE, start), (start, Tally[str]()))
    edge = max(start, now.replace(second=0, microsecond=0) - SETTLED)
    if edge - until >= SETTLED:
        sums = Tally(sums)
        sums.update(statistics.totals(until, edge))
        until = edge
        _settled.clear()  # of months that are over
        _settled[conf.DATABASE, start] = until, sums
    result = Tally(sums)
    result.update(statistics.totals(until, now + timedelta(hours=1)))
    return result


def forget() -> None:
    """Forget the sums, for tests."""
    _settled.clear()


def _beginning(now: datetime) -> datetime:
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    kept_for_a_month = conf.COUNTERS_EXPIRE_SECONDS > 32 * 86_400
    return today.replace(day=1) if kept_for_a_month else today
