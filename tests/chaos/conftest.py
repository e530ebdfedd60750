"""Fixtures of the chaos suite."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import django
import pytest
from django.db import connection

from .figures import Record, Run, facts

T = TypeVar("T")

FORM = os.environ.get("CHAOS", "")
#: A plain run of pytest leaves this suite out.
collect_ignore_glob = [] if FORM in ("short", "long") else ["*"]

#: A single test may take so long.
LIMIT_SECONDS = {"short": 120, "long": 1200}
_RECORD = pytest.StashKey[Record]()
_RUN = pytest.StashKey[Run]()
#: Under this name a test's report carries its figures, to where they are printed.
FIGURE = "figure"


class Printer:
    """Prints the figures of each test, whichever of several processes it ran in."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is None or report.when != "call":  # in a process that only runs tests
            return
        for name, line in report.user_properties:
            if name == FIGURE:
                reporter.ensure_newline()
                reporter.write_line(line)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Printer(config))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(LIMIT_SECONDS[FORM]))


@pytest.fixture
def scale() -> Callable[[T, T], T]:
    """Return `scale(short, long)`: the value for the form of this run."""
    return lambda short, long: short if FORM == "short" else long


@pytest.fixture(scope="session")
def _run(request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: Any) -> Run:
    with django_db_blocker.unblock():
        about = facts(
            connection, platform.python_version(), django.get_version(), os.cpu_count() or 0
        )
        run = Run(connection.display_name, about)
    request.config.stash[_RUN] = run
    return run


@pytest.fixture
def figure(request: pytest.FixtureRequest, _run: Run, transactional_db: None) -> Record:
    """Report a figure: `figure(number, fault, measure, value, unit, must)`; see `Record`."""

    def say(line: str) -> None:
        request.node.user_properties.append((FIGURE, line))

    record = request.node.stash[_RECORD] = Record(_run, say)
    return record


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    yield
    if (record := item.stash.get(_RECORD, None)) is not None:
        record.check()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[pytest.TestReport]:
    report = yield
    run = item.config.stash.get(_RUN, None)
    if report.failed and run is not None and item.name not in run.failed:
        run.failed.append(item.name)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    run, path = session.config.stash.get(_RUN, None), os.environ.get("CHAOS_RESULTS")
    if run is not None and path:
        run.save(Path(path))
