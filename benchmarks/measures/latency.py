"""From the return of enqueue to the start: idle, under load, and beside a poisonous job."""

from __future__ import annotations

from typing import Any

from ..harness import Contender
from .base import ALL, RIVALS, Case, Column, Measure, delays

#: Jobs of 10 ms on two workers, 70 % of what these can do.
NAP_SECONDS = 0.01
LOAD_PER_SECOND = 0.7 * 2 / NAP_SECONDS


def _idle(contender: Contender, count: int) -> dict[str, Any]:
    contender.reset()
    with contender.workers() as group:
        contender.warm_up(group)
        returned = contender.step("paced", function="nothing", count=count, gap=0.2)["returned"]
        contender.wait(lambda: contender.started(count), group, 30)
        return delays(contender, returned)


def _loaded(contender: Contender, seconds: int) -> dict[str, Any]:
    contender.reset()
    count = int(seconds * LOAD_PER_SECOND)
    with contender.workers() as group:
        contender.warm_up(group)
        returned = contender.step(
            "paced",
            function="nap",
            count=count,
            gap=1 / LOAD_PER_SECOND,
            extra=[NAP_SECONDS],
            jitter="poisson",
        )["returned"]
        contender.wait(lambda: contender.started(2 * count), group, 60)
        return {
            **delays(contender, returned),
            "rate": (count - 1) / (returned[-1] - returned[0]),
        }


def _poisoned(contender: Contender, seconds: int) -> dict[str, Any]:
    contender.reset()
    count, poisons, first = 50 * seconds, 5, 900_000
    with contender.workers() as group:
        contender.warm_up(group)
        contender.step("fill", function="poison", count=poisons, first=first)
        returned = contender.step("paced", function="nothing", count=count, gap=0.02)["returned"]

        def all_ran() -> bool:
            return len({number for number, _ in contender.events() if number < first}) == count

        contender.wait(all_ran, group, 60, 0.1)
        deaths = sum(number >= first for number, _ in contender.events())
        return {
            **delays(contender, returned),
            "deaths": deaths,
            "unrun": count - len({number for number, _ in contender.events() if number < first}),
        }


DELAYS = (
    Column("p50_ms", "p50 ms", 1, ratio=True),
    Column("p95_ms", "p95 ms", 1, ratio=True),
    Column("max_ms", "max ms", 1),
)

IDLE = Measure(
    "latency",
    "Enqueue to start, idle",
    "One job every 200 ms on average, at uneven times, on idle workers; from the return of the "
    "enqueue call, after its commit, to the first line of the job.",
    DELAYS,
    lambda plan: [Case(ALL, parameters={"count": plan.size(30, 60)})],
    _idle,
)

LOADED = Measure(
    "loaded",
    "Enqueue to start under 70 % load",
    f"Jobs of {1000 * NAP_SECONDS:.0f} ms come at random (Poisson), {LOAD_PER_SECOND:.0f} a second, "
    "which is 70 % of what two workers can do; `came` is what the one enqueuing process reached. "
    "Waiting for busy workers is part of it.",
    (*DELAYS, Column("rate", "came, jobs/s", 0)),
    lambda plan: [Case(RIVALS, parameters={"seconds": plan.size(5, 15)})],
    _loaded,
)

POISONED = Measure(
    "poison",
    "Beside a poisonous job",
    "Five jobs that kill their worker with SIGKILL, then 50 harmless ones a second: how late these "
    "start, and how many workers died meanwhile. Bonfire sets a job aside after three deaths; "
    "django-q2 runs it again each time that its lock runs out (60 s), for ever.",
    (*DELAYS, Column("deaths", "workers killed", 0), Column("unrun", "harmless, not run", 0)),
    lambda plan: [Case(RIVALS, parameters={"seconds": plan.size(5, 10)})],
    _poisoned,
)
