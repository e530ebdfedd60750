"""A load as it comes: some jobs fail once, some take longer, each asks the database."""

from __future__ import annotations

from typing import Any

from ..harness import Contender
from .base import RIVALS, Case, Column, Measure
from .drain import drained

#: The shortest that django-q2 allows with a time limit that a job of 200 ms can't reach.
RETRY_SECONDS = 5


def _run(contender: Contender, jobs: int) -> dict[str, Any]:
    with drained(
        contender,
        jobs,
        function="mixed",
        starts=jobs + jobs // 10,
        timeout=300,
        BENCH_RETRY_SECONDS=str(RETRY_SECONDS),
    ) as (_, found):
        ends = sorted(at for _, at in contender.ends())
        first = contender.events()[0][1]
        # The sleeping alone takes two workers so long.
        least = 0.2 * (jobs // 10) / 2
        return {
            "jobs": jobs,
            "rate": found["rate"],
            "us": found["us"],
            "most_rate": 0.9 * jobs / (ends[int(0.9 * jobs) - 1] - first),
            "over_least": found["seconds"] / least,
            "lost": found["lost"],
        }


MEASURE = Measure(
    "mixed",
    "Mixed load",
    "80 % no-op, 10 % raise at their first attempt and are retried, 10 % take 200 ms; each asks one "
    "ORM query. Bonfire retries at once; django-q2 when its lock has run out, "
    f"{RETRY_SECONDS} s here, which is most of what it waits for in the end; so the rate of the "
    "first 90 % stands beside it. The naps alone keep two workers busy for 10 ms per job.",
    (
        Column("jobs", "jobs", 0),
        Column("rate", "jobs/s", 0, ratio=True),
        Column("most_rate", "jobs/s, first 90 %", 0, ratio=True),
        Column("over_least", "time ÷ that of the naps", 2),
        Column("lost", "lost", 0),
    ),
    lambda plan: [Case(RIVALS, parameters={"jobs": plan.size(200, 1_000)})],
    _run,
)
