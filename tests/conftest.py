"""Fixtures for all tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from jobs import wakeup

from .cluster import Server, running


@pytest.fixture(autouse=True)
def _nothing_known_of_other_tests() -> Iterator[None]:
    wakeup.forget_known_queues()
    yield
    wakeup.forget_known_queues()


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
