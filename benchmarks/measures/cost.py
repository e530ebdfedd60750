"""What a job costs: statements, commits, and CPU by process."""

from __future__ import annotations

from typing import Any

from .. import stores
from ..harness import Contender
from .base import RIVALS, Case, Column, Measure, Plan
from .drain import drained


def _run(contender: Contender, jobs: int, counted: bool) -> dict[str, Any]:
    jobs = min(jobs, contender.entry.drain)
    # Counting costs CPU, so it has runs of its own.
    env = {"BENCH_STATEMENTS": str(contender.statements)} if counted else {}
    with drained(contender, jobs, **env) as (group, found):
        if counted:
            group.stop()  # a session tells the server what it has counted when it ends
            result: dict[str, Any] = {"statements": found["statements"]}
            if (commits := stores.commits(contender.url)) is not None:
                result["commits"] = (commits - found["commits_before"]) / jobs
            return result
        result = {"cpu_us": 1e6 * sum(found["cpu"].values()) / jobs}
        if contender.entry.name == "bonfire":
            roles = group.roles()
            for role in ("worker", "dispatcher"):
                spent = sum(s for pid, s in found["cpu"].items() if roles.get(pid) == role)
                result[f"{role}_us"] = 1e6 * spent / jobs
        return result


def _cases(plan: Plan) -> list[Case]:
    jobs = plan.size(2_000, 10_000)
    return [
        Case(RIVALS, "counted", parameters={"jobs": jobs, "counted": True}),
        Case(RIVALS, "timed", parameters={"jobs": jobs, "counted": False}),
    ]


MEASURE = Measure(
    "cost",
    "Cost of a job",
    "While a backlog of no-op jobs is drained by two workers: statements as Django counts them "
    "(without BEGIN and COMMIT), commits as PostgreSQL counts them, and the CPU of the worker "
    "processes and the dispatcher, which is all there is in Bonfire.",
    (
        Column("statements", "statements per job", 3),
        Column("commits", "commits per job", 3),
        Column("worker_us", "workers, µs per job", 1),
        Column("dispatcher_us", "dispatcher, µs per job", 1),
        Column("cpu_us", "all processes, µs per job", 1),
    ),
    _cases,
    _run,
)
