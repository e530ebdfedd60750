"""Three servers, two hundred recurring jobs at one second, and clocks that are wrong or set."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

import jobs
from jobs import occurrences, wakeup
from jobs.models import Job, RecurringJob
from jobs.models import Server as ServerRow
from jobs.states import State
from tests import functions
from tests.cluster import Server as Cluster
from tests.cluster import until
from tests.faults.test_clocks import LIBRARY, Clock

from .figures import Record, at_most, exactly, quantile, shown
from .work import runs, stamp

Start = Callable[..., Cluster]
Scale = Callable[[Any, Any], Any]
pytestmark = pytest.mark.timeout(300)

NUMBER = 200
#: SQLite's clock is the host's; where a server has its own, the hosts' may be wrong.
CAN_BE_WRONG = LIBRARY is not None and connection.vendor != "sqlite"


@pytest.mark.alone
def test_two_hundred_at_one_second_while_clocks_are_wrong(
    cluster: Start, journal: Path, tmp_path: Path, figure: Record, scale: Scale
) -> None:
    clocks = [Clock(tmp_path) for _ in range(3)] if CAN_BE_WRONG else []
    if clocks:
        clocks[1].set(300)
        clocks[2].set(-300)
    for n in range(NUMBER):
        jobs.recurring(f"r{n}", stamp, cron="0 0 29 2 *", args=(str(journal), n))
    for n in range(3):
        cluster(env=clocks[n].env if clocks else {})
    until(lambda: ServerRow.objects.filter(beat__gte=1).count() == 3, 30)
    expected: Counter[datetime] = Counter()
    late: list[float] = []
    for hour in [3600, -3600] * scale(1, 4):
        due = timezone.now().replace(microsecond=0) + timedelta(seconds=2)
        RecurringJob.objects.update(next_run=due)
        wakeup.announce_due()
        expected[due] = NUMBER
        if clocks:
            clocks[0].set(hour)  # the first server's clock jumps just before they are due
        seen = len(runs(journal))
        until(lambda seen=seen: len(runs(journal)) >= seen + NUMBER, 20)
        offset = time.time() - time.monotonic()
        late += [run.at + offset - due.timestamp() for run in runs(journal)[seen:]]
    until(lambda: not Job.objects.exclude(state=State.SUCCEEDED).exists(), 20)
    made = Counter(Job.objects.values_list("recurring_job", "occurrence"))
    found = Counter(occurrence for _, occurrence in made.elements())
    fault = f"3 servers, {NUMBER} recurring jobs at one second, again and again"
    figure(
        9, fault, "servers whose clock is 5 minutes off or set by an hour", len(clocks), "", shown
    )
    figure(9, fault, "occurrences", expected.total(), "", shown)
    figure(9, fault, "missing", (expected - found).total(), "", exactly(0))
    figure(9, fault, "duplicates, or at another time", (found - expected).total(), "", exactly(0))
    figure(
        9,
        fault,
        "runs too many or too few",
        abs(len(runs(journal)) - expected.total()),
        "",
        exactly(0),
    )
    figure(9, fault, "late, p95", quantile(late, 0.95), "s", at_most(1))
    assert min(late) >= 0, "none before its time"


@pytest.mark.parametrize(
    ("which", "day"), [("forward", datetime(2026, 3, 28)), ("back", datetime(2026, 10, 24))]
)
def test_clocks_set_for_summer_and_winter(
    figure: Record, scale: Scale, which: str, day: datetime
) -> None:
    """Three days around it: a job at a fixed time once a day, one each half hour as time goes."""
    each = scale(20, 100)
    for n in range(each):
        for name, cron in (("daily", "30 2 * * *"), ("interval", "*/30 * * * *")):
            jobs.recurring(
                f"{name}-{n}",
                functions.nothing,
                cron=cron,
                timezone="Europe/Berlin",
                misfire="all",
            )
    start = day.replace(tzinfo=UTC)
    for row in RecurringJob.objects.all():
        first = next(iter(row.schedule.after(start)))
        RecurringJob.objects.filter(pk=row.pk).update(next_run=first)
        wakeup.announce_due()
    for hours in range(0, 73, 6):
        while occurrences.create_due(start + timedelta(hours=hours)):
            pass
    rows = Job.objects.values_list("recurring_job__name", "occurrence")
    per_job = Counter(name for name, _ in set(rows))
    wrong = sum(
        count != (3 if name.startswith("daily") else 144) for name, count in per_job.items()
    )
    fault = f"recurring jobs while the clocks are set {which}"
    figure(9, fault, "occurrences", len(set(rows)), "", exactly(each * (3 + 144)))
    figure(9, fault, "duplicates", len(rows) - len(set(rows)), "", exactly(0))
    figure(9, fault, "jobs with too many or too few", wrong, "", exactly(0))
