"""Browsers on a live server, and a real cluster behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.chromium import Browser, missing, start
from tests.cluster import Server, running


@pytest.fixture
def open_browser(
    tmp_path: Path, transactional_db: None, live_server: Any, settings: Any
) -> Iterator[Callable[..., Browser]]:
    """Start browsers, each with a profile of its own; they are closed after the test."""
    if reason := missing():
        pytest.skip(reason)
    settings.DEBUG = True
    settings.MAIL_DIR = str(tmp_path / "mails")
    drivers: list[Any] = []

    def open_one(language: str = "en") -> Browser:
        drivers.append(start(tmp_path / f"profile-{len(drivers)}", language))
        return Browser(drivers[-1], live_server.url)

    yield open_one
    for driver in drivers:
        driver.quit()


@pytest.fixture
def browser(open_browser: Callable[..., Browser]) -> Browser:
    return open_browser()


@pytest.fixture
def worker(tmp_path: Path, open_browser: Any) -> Iterator[Server]:
    """A cluster that works the jobs of the live server and sends mails into its mailbox."""
    with running(tmp_path, env={"MAIL_DIR": str(tmp_path / "mails")}) as server:
        yield server
