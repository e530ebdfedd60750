"""The tables of docs/reliability.md: read, brought up to date, written."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from .figures import Run

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- figures: written by make chaos -->", "<!-- end of figures -->"
DATABASES = ["SQLite", "PostgreSQL", "MariaDB", "MySQL"]
HEAD = ["#", "Fault", "Measured", "Must"]
#: A figure that does not hold is shown like this.
BROKEN = "**{}** (not held)"

Row = tuple[int, str, str]


@dataclass
class Tables:
    """The generated part of the page."""

    facts: dict[str, dict[str, str]] = field(default_factory=dict)  # fact → database → text
    musts: dict[Row, str] = field(default_factory=dict)
    cells: dict[Row, dict[str, str]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)  # database → names of tests

    @classmethod
    def parse(cls, text: str) -> Tables:
        """Read what `render` has written."""
        tables, databases, about_figures = cls(), [], False
        for line in text.splitlines():
            if line.startswith("Failed on "):
                database, _, names = line.removeprefix("Failed on ").partition(": ")
                tables.failed[database] = names
            if not line.startswith("|") or line.startswith("|--"):
                continue
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if cells[0] in ("", "#"):
                about_figures = cells[0] == "#"
                databases = cells[len(HEAD) if about_figures else 1 :]
            elif about_figures:
                row = (int(cells[0]), cells[1], cells[2])
                tables.musts[row] = cells[3]
                tables.cells[row] = dict(zip(databases, cells[4:], strict=True))
            else:
                tables.facts[cells[0]] = dict(zip(databases, cells[1:], strict=True))
        return tables

    def update(self, run: Run, *, whole: bool) -> None:
        """Take over what a run has measured; `whole`: all of the suite, so nothing else is left."""
        if whole:
            for cells in self.cells.values():
                cells.pop(run.database, None)
        for name, text in run.facts.items():
            self.facts.setdefault(name, {})[run.database] = text
        for figure in run.figures:
            row = (figure.number, figure.fault, figure.measure)
            self.musts[row] = figure.must
            text = figure.value if figure.holds else BROKEN.format(figure.value)
            self.cells.setdefault(row, {})[run.database] = text
        self.failed.pop(run.database, None)
        if run.failed:
            self.failed[run.database] = ", ".join(run.failed)

    def render(self) -> str:
        """Return the Markdown."""
        measured = {name for cells in self.cells.values() for name, text in cells.items() if text}
        databases = [name for name in DATABASES if name in measured]
        lines = _table(
            ["", *databases],
            [[fact, *_pick(cells, databases)] for fact, cells in self.facts.items()],
        )
        rows = [row for row, cells in self.cells.items() if any(cells.values())]
        rows.sort(key=lambda row: row[0])  # stable: otherwise as measured
        lines += _table(
            [*HEAD, *databases],
            [
                [str(row[0]), row[1], row[2], self.musts[row], *_pick(self.cells[row], databases)]
                for row in rows
            ],
        )
        for database in databases:
            if database in self.failed:
                lines += [f"Failed on {database}: {self.failed[database]}", ""]
        return "\n".join(lines)


def _pick(cells: dict[str, str], databases: list[str]) -> list[str]:
    return [cells.get(database, "") for database in databases]


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = [f"| {' | '.join(cells)} |" for cells in [head, *rows]]
    return ["", lines[0], "|--" * len(head) + "|", *lines[1:], ""]


def write(runs: list[Run], *, whole: bool, page: Path = PAGE) -> None:
    """Bring the tables of the page up to date; all else on it stays as it is."""
    before, begin, rest = page.read_text().partition(BEGIN)
    old, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page} must hold the lines {BEGIN!r} and {END!r}, in this order")
    tables = Tables.parse(old)
    for run in runs:
        tables.update(run, whole=whole)
    page.write_text(f"{before}{BEGIN}\n{tables.render()}\n{END}{after}")
