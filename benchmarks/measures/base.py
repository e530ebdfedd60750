"""What a measure is."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ..harness import Contender


@dataclass(frozen=True)
class Plan:
    """How much is measured: "quick" in some minutes, "usual", or "full" with the slow cases."""

    level: str = "usual"

    @property
    def quick(self) -> bool:
        return self.level == "quick"

    @property
    def full(self) -> bool:
        return self.level == "full"

    def size(self, quick: int, usual: int) -> int:
        return quick if self.quick else usual


@dataclass(frozen=True)
class Case:
    """One row of a table: these systems, with these parameters, which the row names.

    `stores`: None for every store that a system can use.
    """

    systems: tuple[str, ...]
    label: str = ""
    stores: tuple[str, ...] | None = None
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Column:
    """A figure of a table; `key` in the results. `ratio`: also shown as a multiple of Bonfire's."""

    key: str
    title: str
    digits: int = 1
    ratio: bool = False


@dataclass(frozen=True)
class Measure:
    """Something that is measured, and its table."""

    name: str
    title: str
    text: str
    columns: tuple[Column, ...]
    cases: Callable[[Plan], list[Case]]
    run: Callable[..., dict[str, Any]]


PEERS = ("django-tasks-db", "celery", "huey", "pgqueuer", "procrastinate")
RIVALS = ("bonfire", "django-q2-tuned")
ALL = ("bonfire", "django-q2", "django-q2-tuned", *PEERS)


def share(values: Iterable[float], part: float) -> float:
    """Return the value below which `part` of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def delays(contender: Contender, since: list[float], *, first: bool = True) -> dict[str, Any]:
    """Return the milliseconds from each job's moment in `since` to its first start."""
    starts: dict[int, float] = {}
    for number, at in contender.events():
        starts.setdefault(number, at)
    found = [1000 * (starts[number] - at) for number, at in enumerate(since) if number in starts]
    if not found:
        return {"started": 0}
    return {
        "started": len(found),
        "p50_ms": statistics.median(found),
        "p95_ms": share(found, 0.95),
        "max_ms": max(found),
    }
