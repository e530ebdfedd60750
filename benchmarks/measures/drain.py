"""Draining a backlog: from the first start to the last stored outcome."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .. import stores
from ..harness import Contender, Failed
from ..processes import Group
from .base import ALL, RIVALS, Case, Column, Measure, Plan


@contextmanager
def drained(
    contender: Contender,
    jobs: int,
    *,
    function: str = "nothing",
    starts: int | None = None,
    workers: int = 2,
    groups: int = 1,
    timeout: float = 600,
    **env: str,
) -> Iterator[tuple[Group, dict[str, Any]]]:
    """Drain a new backlog; the block sees the living group and what was found."""
    contender.reset()
    contender.step("fill", timeout=timeout, function=function, count=jobs)
    starts, commits = starts or jobs, stores.commits(contender.url)
    with (
        contender.settling(starts, jobs, timeout) as settled,
        contender.workers(workers, groups, **env) as group,
    ):
        if not contender.wait(lambda: contender.started(1), group, 60):
            raise Failed(f"nothing started within a minute, see {contender.log}")
        before, statements = group.cpu(), contender.statement_count()
        end = settled()
        if end is None:
            raise Failed(f"not done within {timeout:.0f} s, see {contender.log}")
        after, events = group.cpu(), contender.events()
        first = events[0][1]
        distinct = len({number for number, _ in events})
        yield (
            group,
            {
                "rate": jobs / (end - first),
                "us": 1e6 * (end - first) / jobs,
                "body_rate": len(events) / max(1e-9, events[-1][1] - first),
                "seconds": end - first,
                "lost": jobs - distinct,
                "reruns": len(events) - starts,
                "statements": (contender.statement_count() - statements) / jobs,
                "commits_before": commits,
                "cpu": {pid: after[pid] - before.get(pid, 0) for pid in after},
            },
        )


def _run(
    contender: Contender, jobs: int, workers: int, groups: int = 1, exact: bool = False
) -> dict[str, Any]:
    count = jobs if exact else min(jobs, contender.entry.drain)
    with drained(contender, count, workers=workers, groups=groups) as (_, found):
        cpu = sum(found.pop("cpu").values())
        del found["statements"], found["commits_before"]
    return {**found, "jobs": count, "cpu_us": 1e6 * cpu / count}


def _cases(plan: Plan) -> list[Case]:
    jobs = plan.size(2_000, 10_000)
    cases = [Case(ALL, "2 workers", parameters={"jobs": jobs, "workers": 2})]
    for workers in (1, 4):
        few = Case(RIVALS if not plan.full else ALL, f"{workers} worker{'s'[: workers - 1]}")
        cases.append(Case(few.systems, few.label, parameters={"jobs": jobs, "workers": workers}))
    two = {"jobs": jobs, "workers": 2, "groups": 2}
    cases.append(Case(RIVALS, "two clusters of 2", parameters=two))
    if plan.full:
        long = {"jobs": 100_000, "workers": 2, "exact": True}
        cases.append(
            Case(("bonfire", "pgqueuer"), "2 workers, backlog 100,000", ("postgresql",), long)
        )
    return cases


MEASURE = Measure(
    "drain",
    "Draining a backlog",
    "No-op jobs are enqueued, then the workers start; jobs/s from the first start to the moment "
    "when the last outcome is stored, which is when a user could see it. `CPU` is that of all "
    "processes of the worker group, from the first start on.",
    (
        Column("jobs", "backlog", 0),
        Column("rate", "jobs/s", 0, ratio=True),
        Column("us", "µs per job", 1),
        Column("cpu_us", "CPU, µs per job", 1),
        Column("lost", "lost", 0),
        Column("reruns", "run twice", 0),
    ),
    _cases,
    _run,
)
