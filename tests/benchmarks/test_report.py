"""The page is written out of results, and says what was reached."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import report, results
from benchmarks.goals import GOALS, Goal, Where
from benchmarks.measures import MEASURES
from benchmarks.measures.base import Plan
from benchmarks.results import Results
from benchmarks.systems import SYSTEMS


def row(system: str, rate: float, **given: Any) -> dict[str, Any]:
    return {
        "session": "2026-01-02T03:04:05",
        "measure": "drain",
        "system": system,
        "store": "postgresql",
        "label": "2 workers",
        "run": 0,
        "rate": rate,
        "us": 1e6 / rate,
        **given,
    }


def goal_of(rows: list[dict[str, Any]]) -> tuple[float | None, str]:
    return GOALS[0].value(Results(rows))


def test_a_ratio_is_one_of_medians() -> None:
    rows = [row("bonfire", rate) for rate in (900, 1000, 5000)]
    rows += [row("django-q2-tuned", rate) for rate in (10, 100, 110)]
    value, remark = goal_of(rows)
    assert value == 10
    assert remark == "1,000 : 100, 3 runs"


def test_figures_of_different_sessions_are_named_as_such() -> None:
    # Redis and PostgreSQL may have been measured at different times.
    celery = row("celery", 100, store="redis", session="2026-01-01T00:00:00")
    value, remark = GOALS[1].value(Results([row("bonfire", 1000), celery]))
    assert value == 10
    assert remark.endswith("not interleaved")


def test_only_the_newest_session_of_a_measure_and_store_counts() -> None:
    old = row("bonfire", 1, session="2025-12-31T00:00:00")
    other = row("bonfire", 7, store="sqlite", session="2025-12-31T00:00:00")
    rates = [r["rate"] for r in Results([old, row("bonfire", 1000), other]).rows]
    assert rates == [1000, 7]


def test_what_was_not_run_is_said() -> None:
    assert goal_of([]) == (None, "not run")
    assert goal_of([row("bonfire", 1000)]) == (None, "django-q2-tuned not run")


@pytest.mark.parametrize(
    ("value", "word"), [(0.5, "goal"), (1.0, "goal"), (1.5, "floor"), (2.1, "**not reached**")]
)
def test_a_bound_from_above(value: float, word: str) -> None:
    where = Where("idle", "bonfire", "sqlite", "cpu_percent")
    assert Goal("", where, 2, 1, at_most=True).reached(value) == word


@pytest.mark.parametrize(("value", "word"), [(20, "goal"), (12, "floor"), (11, "**not reached**")])
def test_a_bound_from_below(value: float, word: str) -> None:
    assert GOALS[0].reached(value) == word


def test_the_page_keeps_what_is_written_by_hand(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"by hand\n\n{report.BEGIN}\nstale\n{report.END}\n\nbelow\n")
    failed = {**row("celery", 1, store="redis"), "error": "No module named 'celery'"}
    report.write(Results([row("bonfire", 2000), row("django-q2-tuned", 100), failed]), page)
    text = page.read_text()
    assert text.startswith("by hand\n")
    assert text.endswith("\n\nbelow\n")
    assert "stale" not in text
    assert (
        "| drain, PostgreSQL, against tuned django-q2 | ≥ 12 × | ≥ 20 × | **20.00** × | goal |"
        in text
    )
    assert "| django-q2, tuned | 2 workers | 100 | 0.05 | 10,000.0 |" in text
    assert (
        "- drain 2 workers: Celery + Redis, with results, Redis: No module named 'celery'" in text
    )


def test_a_page_without_markers_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("by hand")
    with pytest.raises(ValueError, match="lacks"):
        report.write(Results([]), page)


def test_results_are_appended_and_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "results.jsonl"
    results.append(row("bonfire", 1), path)
    results.append(row("bonfire", 2), path)
    assert [r["rate"] for r in Results.read(path).rows] == [1, 2]


@pytest.mark.parametrize("level", ["quick", "usual", "full"])
def test_every_goal_is_measured(level: str) -> None:
    """Each goal names a measure, a case and a column that exist; the long ones need a long run."""
    for goal in GOALS:
        for where in filter(None, (goal.figure, goal.against)):
            measure = MEASURES[where.measure]
            assert where.key in {column.key for column in measure.columns}
            assert where.store in SYSTEMS[where.system].stores
            labels = {c.label for c in measure.cases(Plan(level)) if where.system in c.systems}
            if level == "full":
                assert where.label is None or where.label in labels
