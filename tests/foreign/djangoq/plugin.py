"""A pytest plugin: commits in every test, and failures that are expected by name.

django-q2's tests keep everything in a transaction, which the processes they start can't see.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol
from django.db import connections

# They fork with a connection open, which their brokers happen to have closed by then: it would
# be shared, and the child's close_all() end it for both.
os.register_at_fork(before=connections.close_all)

FOLDER = Path(__file__).parent
#: A test that may hang is ended after so many seconds and tried so often.
HANG_SECONDS, TRIES = 25, 3


def named(file: str) -> dict[str, str]:
    """Return the reasons in `file` by the test's name, without its parameters."""
    found: dict[str, str] = {}
    for line in FOLDER.joinpath(file).read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, reason = line.partition(": ")
            assert reason.strip(), f"{file}: no reason in {line!r}"
            found[name.strip()] = reason.strip()
    return found


HANGS = named("known_hangs.txt")


def name_of(item: pytest.Item) -> str:
    """Return `module::test`, or `module::Class::test`."""
    return f"{item.path.stem}::{item.nodeid.partition('::')[2].partition('[')[0]}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    expected = named("expected_failures.txt")
    unknown = {*expected, *HANGS} - {name_of(item) for item in items}
    if unknown and len(items) > 30:  # the whole suite, not one test of it
        raise pytest.UsageError(f"named, but there is no such test: {', '.join(sorted(unknown))}")
    for item in items:
        for mark in item.iter_markers("django_db"):
            mark.kwargs["transaction"] = True
        if reason := expected.get(name_of(item)):
            # Strict: one that passes by now fails the run as well.
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
        if name_of(item) in HANGS:
            item.add_marker(pytest.mark.timeout(HANG_SECONDS))


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Try a test that hung, and may, again; any other failure stands."""
    if name_of(item) not in HANGS:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for _ in range(TRIES):
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
        if not any(report.failed and "Timeout (>" in report.longreprtext for report in reports):
            break
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.fixture(autouse=True)
def _nothing_left_in_the_cache() -> None:
    """One test's clusters are not to be counted by the next."""
    from django.core.cache import cache

    cache.clear()
