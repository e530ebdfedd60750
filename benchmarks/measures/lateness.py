"""Delayed jobs: how late they start."""

from __future__ import annotations

from typing import Any

from ..harness import Contender
from .base import ALL, Case, Column, Measure, delays


def _run(contender: Contender, count: int) -> dict[str, Any]:
    contender.reset()
    with contender.workers() as group:
        contender.warm_up(group)
        due = contender.step("later", count=count, seconds=5, gap=0.37)["due"]
        contender.wait(lambda: contender.started(count), group, 75)
        return delays(contender, due)


MEASURE = Measure(
    "lateness",
    "Delayed jobs",
    "Jobs put off by 5 s, one each 0.37 s, on idle workers: from the moment at which they are due "
    "to their start.",
    (
        Column("started", "started", 0),
        Column("p50_ms", "p50 late, ms", 1),
        Column("max_ms", "max late, ms", 1),
    ),
    lambda plan: [
        Case(("bonfire",) if plan.quick else ALL, parameters={"count": plan.size(8, 15)})
    ],
    _run,
)
