"""Enqueueing: one by one, in bulk, and from eight processes."""

from __future__ import annotations

import time
from typing import Any

from ..harness import Contender
from .base import ALL, RIVALS, Case, Column, Measure, Plan

COLUMNS = (Column("rate", "jobs/s", 0, ratio=True), Column("us", "µs per job", 1))


def _result(jobs: int, seconds: float) -> dict[str, Any]:
    return {"rate": jobs / seconds, "us": 1e6 * seconds / jobs}


def _run(contender: Contender, way: str, count: int) -> dict[str, Any]:
    contender.reset()
    if way == "bulk":
        found = contender.step("enqueue_bulk", count=count)
        return _result(count, found["ended"] - found["began"]) if found["able"] else {}
    count = min(count, contender.entry.enqueue)
    if way == "one":
        found = contender.step("enqueue", count=count)
        return _result(count, found["ended"] - found["began"])
    at = time.monotonic() + 6  # all have imported what they need by then, also on a busy machine
    every = [{"count": count // 8, "first": 100_000 * n, "at": at} for n in range(8)]
    ways = contender.steps("enqueue", every)
    seconds = max(w["ended"] for w in ways) - min(w["began"] for w in ways)
    return _result(8 * (count // 8), seconds)


def _cases(plan: Plan) -> list[Case]:
    bulk = ("bonfire", "pgqueuer", "procrastinate")
    one, many = plan.size(500, 2_000), plan.size(2_000, 10_000)
    return [
        Case(ALL, "one by one", parameters={"way": "one", "count": one}),
        Case(bulk, "in bulk", parameters={"way": "bulk", "count": many}),
        Case(RIVALS, "from 8 processes", parameters={"way": "eight", "count": 2 * one}),
    ]


MEASURE = Measure(
    "enqueue",
    "Enqueueing",
    "One process enqueues no-op jobs, each call in a transaction of its own; `in bulk` is one call "
    "for all of them, where a system has such a call; `from 8 processes` is the sum of eight that "
    "start at one moment. The first 20 calls of a process, which connect, are not counted.",
    COLUMNS,
    _cases,
    _run,
)
