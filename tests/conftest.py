"""Fixtures for all tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from jobs import wakeup
from jobs.models import compiled

from .cluster import Server, running

#: Which part of the tests a folder is; see tests/run.py.
FOLDERS = {"browser": "browser", "faults": "process", "chaos": "chaos", "foreign": "foreign"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        # A foreign suite may lie elsewhere.
        ours = item.path.is_relative_to(here)
        folder = item.path.relative_to(here).parts[0] if ours else "foreign"
        starts_servers = "cluster" in getattr(item, "fixturenames", ())
        item.add_marker(FOLDERS.get(folder, "process" if starts_servers else "unit"))
    # Where several run at once, the others fill the time that the long ones take.
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(autouse=True)
def _nothing_known_of_other_tests() -> Iterator[None]:
    wakeup.forget_known_queues()
    compiled.forget()
    yield
    wakeup.forget_known_queues()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--as-sql-server",
        action="store_true",
        help="treat the database as SQL Server, and judge by its rules whatever is asked",
    )


@pytest.fixture(autouse=True)
def _as_sql_server(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.config.getoption("--as-sql-server"):
        from . import sql_server

        with sql_server.judging(connection):
            yield
    else:
        yield


@pytest.fixture
def cluster(tmp_path: Path, transactional_db: None) -> Iterator[Callable[..., Server]]:
    """Start real servers on the test's database; they are ended after the test."""
    with ExitStack() as stack:

        def start(*args: str, **options: Any) -> Server:
            return stack.enter_context(running(tmp_path, *args, **options))

        yield start


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A file in which jobs note what they do."""
    path = tmp_path / "journal"
    path.touch()
    return path


def pytest_report_header() -> str:
    from django.conf import settings

    database = settings.DATABASES["default"]
    return f"database: {database['ENGINE'].rpartition('.')[2]} {connection.settings_dict['NAME']}"
