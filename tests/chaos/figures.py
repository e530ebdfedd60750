"""What a test of this suite measured, and what it must be."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

Number = int | float


def show(value: Number, unit: str = "") -> str:
    """Return a number for people: counts in full, measured values with three digits or so."""
    if isinstance(value, int):
        text = f"{value:,}"
    else:
        text = f"{value:,.{2 if abs(value) < 10 else 1 if abs(value) < 100 else 0}f}"
    return f"{text} {unit}".rstrip()


@dataclass(frozen=True)
class Must:
    """A condition on a figure and its words, so that assertion and table can't differ."""

    sign: str
    limit: Number | None
    holds: Callable[[Number], bool]

    def words(self, unit: str) -> str:
        if self.limit is None:
            return self.sign
        limit = int(self.limit) if float(self.limit).is_integer() else self.limit
        return f"{self.sign} {show(limit, unit)}".strip()


def at_most(limit: Number) -> Must:
    return Must("≤", limit, lambda value: value <= limit)


def at_least(limit: Number) -> Must:
    return Must("≥", limit, lambda value: value >= limit)


def exactly(wanted: Number) -> Must:
    return Must("", wanted, lambda value: value == wanted)


#: Nothing is promised; the figure is shown all the same.
shown = Must("shown", None, lambda value: True)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest of `values` that at least `share` (0 to 1) of them don't exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True)
class Figure:
    """One row of the table, for one database."""

    number: int
    fault: str
    measure: str
    must: str
    value: str
    holds: bool

    def __str__(self) -> str:
        verdict = "" if self.holds else "  ← NOT HELD"
        return f"{self.number:>3}  {self.fault}: {self.measure} {self.value} ({self.must}){verdict}"


@dataclass
class Run:
    """What one run of the suite found on one database."""

    database: str
    facts: dict[str, str]
    figures: list[Figure] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False))

    @classmethod
    def load(cls, path: Path) -> Run:
        data = json.loads(path.read_text())
        data["figures"] = [Figure(**figure) for figure in data["figures"]]
        return cls(**data)

    @classmethod
    def joined(cls, parts: list[Run]) -> Run:
        """Return what the parts of a run on one database have found together."""
        figures = [figure for part in parts for figure in part.figures]
        failed = [name for part in parts for name in part.failed]
        return cls(parts[0].database, parts[0].facts, figures, failed)


class Record:
    """The `figure` fixture: call it once for each figure of a test.

    The conditions are asserted when the test's body has ended, so that one that is not held
    hides none of the others.
    """

    def __init__(self, run: Run, say: Callable[[str], None]) -> None:
        self._run, self._say = run, say
        self._broken: list[Figure] = []

    def __call__(
        self, number: int, fault: str, measure: str, value: Number, unit: str, must: Must
    ) -> None:
        """Report `value` (in `unit`, "" for counts) as `measure` of `fault`.

        `number`: the test's, in the table. A row is known by its first three arguments: they must
        not hold anything that differs from run to run.
        """
        figure = Figure(
            number, fault, measure, must.words(unit), show(value, unit), must.holds(value)
        )
        self._run.figures.append(figure)
        if not figure.holds:
            self._broken.append(figure)
        self._say(str(figure))

    def spread(
        self, number: int, fault: str, measure: str, values: Sequence[float], unit: str, must: Must
    ) -> None:
        """Report the median, the 95th percentile and the largest of `values`, which has the must."""
        self(number, fault, f"{measure}, p50", quantile(values, 0.5), unit, shown)
        self(number, fault, f"{measure}, p95", quantile(values, 0.95), unit, shown)
        self(number, fault, f"{measure}, max", max(values), unit, must)

    def check(self) -> None:
        assert not self._broken, "\n".join(map(str, self._broken))


def facts(connection: Any, python: str, django: str, cores: int) -> dict[str, str]:
    """Return what a reader has to know about a run to compare it."""
    version = ".".join(map(str, connection.get_database_version()))
    if connection.vendor == "sqlite":
        version = ".".join(map(str, connection.Database.sqlite_version_info))
    return {
        "Database": f"{connection.display_name} {version}",
        "Python": python,
        "Django": django,
        "Cores": str(cores),
    }
