"""docs/reliability.md: its tables can be read back and be brought up to date in part."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos import report
from tests.chaos.figures import Record, Run, at_least, at_most, exactly, quantile, show, shown


def run(database: str, *figures: tuple[str, float], failed: list[str] | None = None) -> Run:
    made = Run(database, {"Database": f"{database} 1", "Python": "3.13"}, failed=failed or [])
    record = Record(made, lambda line: None)
    for measure, value in figures:
        record(2, "SIGKILL", measure, value, "s", at_most(2))
    return made


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(f"before\n{report.BEGIN}\n{report.END}\nafter\n")
    return path


def test_a_run_replaces_only_what_it_measured(page: Path) -> None:
    report.write(
        [run("PostgreSQL", ("a", 0.5), ("b", 1.0)), run("SQLite", ("a", 0.25))],
        whole=True,
        page=page,
    )
    report.write([run("PostgreSQL", ("b", 3.0))], whole=False, page=page)
    text = page.read_text()
    assert "| # | Fault | Measured | Must | SQLite | PostgreSQL |" in text
    assert "| 2 | SIGKILL | a | ≤ 2 s | 0.25 s | 0.50 s |" in text
    assert "| 2 | SIGKILL | b | ≤ 2 s |  | **3.00 s** (not held) |" in text
    assert "| Database | SQLite 1 | PostgreSQL 1 |" in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")


def test_a_whole_run_leaves_nothing_of_its_database_s_last_one(page: Path) -> None:
    report.write(
        [run("SQLite", ("old", 1.0), failed=["test_x"]), run("MariaDB", ("kept", 1.0))],
        whole=True,
        page=page,
    )
    assert "Failed on SQLite: test_x" in page.read_text()
    report.write([run("SQLite", ("new", 1.0))], whole=True, page=page)
    text = page.read_text()
    assert "| old |" not in text
    assert "| kept | ≤ 2 s |  | 1.00 s |" in text
    assert "Failed" not in text


def test_writing_what_was_read_changes_nothing() -> None:
    text = report.PAGE.read_text()
    generated = text.partition(report.BEGIN)[2].partition(report.END)[0]
    tables = report.Tables.parse(generated)
    assert not tables.cells or f"\n{tables.render()}\n" == generated


def test_a_figure_that_does_not_hold_fails_its_test_at_the_end() -> None:
    record = Record(Run("SQLite", {}), lambda line: None)
    record(1, "fault", "lost", 1, "", exactly(0))
    record(1, "fault", "rate kept", 80, "%", at_least(70))
    record(1, "fault", "reruns", 7, "", shown)
    with pytest.raises(AssertionError, match=r"lost 1 \(0\)"):
        record.check()


def test_quantiles_and_numbers() -> None:
    values = [0.4, 0.1, 0.3, 0.2]
    assert [quantile(values, share) for share in (0.5, 0.95, 0)] == [0.2, 0.4, 0.1]
    assert [show(2000), show(1.234, "s"), show(12.34, "ms"), show(1234.5)] == [
        "2,000",
        "1.23 s",
        "12.3 ms",
        "1,234",
    ]
