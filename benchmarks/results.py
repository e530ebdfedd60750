"""Results as JSON lines, and their medians."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parent.parent / "var" / "benchmarks.jsonl"


@dataclass(frozen=True)
class Figure:
    """The median of some runs, and their range."""

    median: float
    least: float
    most: float
    runs: int
    session: str


class Results:
    """The newest session's rows of each measure and store: only these ran interleaved."""

    def __init__(self, rows: Iterable[dict[str, Any]]) -> None:
        everything = list(rows)
        newest: dict[tuple[str, str], str] = {}
        for row in everything:
            newest[_place(row)] = max(row["session"], newest.get(_place(row), ""))
        self.rows = [row for row in everything if newest[_place(row)] == row["session"]]

    @classmethod
    def read(cls, path: Path = FILE) -> Results:
        if not path.exists():
            return cls([])
        return cls(json.loads(line) for line in path.read_text().splitlines())

    def of(self, measure: str) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["measure"] == measure and "error" not in row]

    def errors(self) -> Iterator[dict[str, Any]]:
        return (row for row in self.rows if "error" in row)

    def figure(
        self, measure: str, system: str, store: str, key: str, label: str | None = None
    ) -> Figure | None:
        """Return the median of one figure, or None where there is none."""
        rows = [
            row
            for row in self.of(measure)
            if (row["system"], row["store"]) == (system, store)
            and label in (None, row["label"])
            and isinstance(row.get(key), (int, float))
        ]
        if not rows:
            return None
        values = [row[key] for row in rows]
        return Figure(
            statistics.median(values), min(values), max(values), len(values), rows[0]["session"]
        )


def _place(row: dict[str, Any]) -> tuple[str, str]:
    return row["measure"], row["store"]


def append(row: dict[str, Any], path: Path = FILE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")
