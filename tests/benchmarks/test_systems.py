"""What a measure asks of a system, on SQLite with real processes."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from benchmarks import stores
from benchmarks.harness import Contender, Failed
from benchmarks.measures.drain import drained
from benchmarks.systems import SYSTEMS

JOBS = 20


@pytest.fixture
def contender(tmp_path: Path, request: pytest.FixtureRequest) -> Contender:
    return Contender(SYSTEMS[request.param], f"sqlite:///{tmp_path / 'bench.sqlite3'}", tmp_path)


@pytest.mark.parametrize("contender", ["bonfire", "django-q2-tuned"], indirect=True)
def test_a_backlog_is_drained_to_the_last_stored_outcome(contender: Contender) -> None:
    with drained(contender, JOBS, timeout=60) as (group, found):
        family = group.tree()
        assert len(family) >= 5
        assert 0 < group.pss_mib() < 1000
        assert found["rate"] > 0
        assert (found["lost"], found["reruns"]) == (0, 0)
        assert sorted(number for number, _ in contender.events()) == list(range(JOBS))
        if contender.entry.name == "bonfire":
            assert sorted(group.roles().values()).count("worker") == 2
    psutil.wait_procs(family, 5)
    assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("contender", ["bonfire"], indirect=True)
def test_statements_of_all_processes_are_counted(contender: Contender) -> None:
    env = {"BENCH_STATEMENTS": str(contender.statements)}
    with drained(contender, JOBS, timeout=60, **env) as (_, found):
        assert 0 < found["statements"] * JOBS <= contender.statement_count()


@pytest.mark.parametrize("contender", ["bonfire"], indirect=True)
def test_a_step_that_fails_says_why(contender: Contender) -> None:
    contender.reset()
    with pytest.raises(Failed, match="no_such_function"):
        contender.step("fill", function="no_such_function", count=1)


@pytest.mark.parametrize("contender", ["bonfire"], indirect=True)
def test_an_outcome_that_never_comes_is_not_waited_for_without_end(contender: Contender) -> None:
    contender.reset()
    contender.step("fill", function="nothing", count=1)
    with contender.settling(1, 1, timeout=0.5) as settled:
        assert settled() is None


def test_only_a_database_for_benchmarks_is_emptied(tmp_path: Path) -> None:
    precious = tmp_path / "precious.sqlite3"
    precious.write_text("data")
    with pytest.raises(ValueError, match="bench"):
        stores.empty(f"sqlite:///{precious}")
    assert precious.read_text() == "data"
