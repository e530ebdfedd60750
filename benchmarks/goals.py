"""What is to be reached, and whether it was."""

from __future__ import annotations

from dataclasses import dataclass

from .results import Figure, Results


@dataclass(frozen=True)
class Where:
    """One figure in the results."""

    measure: str
    system: str
    store: str
    key: str
    label: str | None = None

    def find(self, results: Results) -> Figure | None:
        return results.figure(self.measure, self.system, self.store, self.key, self.label)


@dataclass(frozen=True)
class Goal:
    """A figure, or its ratio to another one, that is to be `least` (or at most) so much."""

    title: str
    figure: Where
    floor: float
    goal: float
    unit: str = ""
    against: Where | None = None
    at_most: bool = False

    def value(self, results: Results) -> tuple[float | None, str]:
        """Return what was measured, and a remark: why there is nothing, or what it is out of."""
        ours = self.figure.find(results)
        if ours is None:
            return None, "not run"
        if self.against is None:
            return ours.median, f"{ours.runs} run{'s'[: ours.runs > 1]}"
        theirs = self.against.find(results)
        if theirs is None:
            return None, f"{self.against.system} not run"
        runs = min(ours.runs, theirs.runs)
        remark = f"{runs} run{'s'[: runs > 1]}"
        if ours.session != theirs.session:
            remark += ", not interleaved"
        return ours.median / theirs.median, f"{ours.median:,.0f} : {theirs.median:,.0f}, {remark}"

    def reached(self, value: float) -> str:
        """Return which of the two was reached."""
        for word, bound in (("goal", self.goal), ("floor", self.floor)):
            if value <= bound if self.at_most else value >= bound:
                return word
        return "**not reached**"


TWO = "2 workers"
LONG = "2 workers, backlog 100,000"


def _drain(store: str, system: str, other_store: str, name: str, floor: float, goal: float) -> Goal:
    return Goal(
        f"drain, {STORES[store]}, against {name}",
        Where("drain", "bonfire", store, "rate", TWO),
        floor,
        goal,
        "×",
        Where("drain", system, other_store, "rate", TWO),
    )


def _most(
    title: str, measure: str, store: str, key: str, floor: float, goal: float, unit: str
) -> Goal:
    where = Where(measure, "bonfire", store, key)
    return Goal(f"{title}, {STORES[store]}", where, floor, goal, unit, at_most=True)


STORES = {
    "postgresql": "PostgreSQL",
    "sqlite": "SQLite",
    "mysql": "MariaDB/MySQL",
    "redis": "Redis",
}

PG, LITE = "postgresql", "sqlite"

GOALS = (
    _drain(PG, "django-q2-tuned", PG, "tuned django-q2", 12, 20),
    _drain(PG, "celery", "redis", "Celery + Redis", 5, 8),
    _drain(PG, "pgqueuer", PG, "pgqueuer", 0.6, 1.2),
    Goal(
        "drain, PostgreSQL, backlog 100,000 against 10,000",
        Where("drain", "bonfire", PG, "rate", LONG),
        0.8,
        0.8,
        "×",
        Where("drain", "bonfire", PG, "rate", TWO),
    ),
    Goal(
        "drain, PostgreSQL, backlog 100,000, against pgqueuer",
        Where("drain", "bonfire", PG, "rate", LONG),
        0.6,
        1.2,
        "×",
        Where("drain", "pgqueuer", PG, "rate", LONG),
    ),
    _drain(LITE, "django-q2", LITE, "django-q2 with defaults", 40, 60),
    _drain(LITE, "huey", LITE, "Huey + SQLite", 2, 4),
    _most("start, idle, p50", "latency", PG, "p50_ms", 5, 2.5, "ms"),
    _most("start, idle, p95", "latency", PG, "p95_ms", 15, 6, "ms"),
    _most("start, idle, p50", "latency", LITE, "p50_ms", 20, 12, "ms"),
    _most("start, idle, p95", "latency", LITE, "p95_ms", 40, 25, "ms"),
    _most("idle CPU of one core", "idle", PG, "cpu_percent", 0.7, 0.4, "%"),
    _most("idle CPU of one core", "idle", LITE, "cpu_percent", 1.2, 1.0, "%"),
    _most("idle statements a second", "idle", PG, "statements", 2, 1, ""),
    _most("memory, 2 workers", "idle", PG, "pss_mib", 110, 80, "MiB"),
    _most("memory, 2 workers", "idle", LITE, "pss_mib", 110, 80, "MiB"),
    *(
        _most("claim, 1,000,000 finished against none", "claim", s, "ratio_1000000", 1.3, 1.1, "×")
        for s in (PG, LITE, "mysql")
    ),
    *(
        _most("the same, old transaction held", "claim", s, "ratio_1000000_held", 1.3, 1.1, "×")
        for s in (PG, LITE, "mysql")
    ),
)
