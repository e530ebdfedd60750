"""`python -m tests.foreign.djangotasks`: Django's own tests of tasks, with our backend.

On the database of TEST_DATABASE_URL, SQLite without. The tests are only in Django's source archive;
the one that matches the installed version is fetched with pip into var/, once. Exit status: 0 when
just the failures named in expected_failures.txt have happened, 1 when others have or one of those
has not, 77 when the tests can't be had, which is said.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
import unittest
from pathlib import Path

import django

ROOT = Path(__file__).resolve().parents[3]
CACHE = ROOT / "var" / "foreign"
EXPECTED = Path(__file__).with_name("expected_failures.txt")
FETCH_SECONDS = 180
NOT_RUN = 77


class NotToBeHad(Exception):
    """The tests are not here and can't be fetched; the message says why."""


def tests_folder() -> Path:
    """Return the folder that holds Django's `tasks` tests, fetched if need be."""
    version = django.get_version()
    if django.VERSION < (6, 0):
        raise NotToBeHad(
            f"Django {version} has no Tasks framework, and the source archive of its back-port "
            "django-tasks holds no tests"
        )
    folder = CACHE / f"django-{version}"
    if not (folder / "tasks" / "test_tasks.py").exists():
        _extract(_fetch(version), f"django-{version}/tests/tasks/", folder)
    return folder


def _fetch(version: str) -> Path:
    CACHE.mkdir(parents=True, exist_ok=True)
    archive = CACHE / f"django-{version}.tar.gz"
    if archive.exists():
        return archive
    command = [sys.executable, "-m", "pip", "download", f"django=={version}", "--no-deps"]
    command += ["--no-binary", "django", "--quiet", "--disable-pip-version-check"]
    try:
        done = subprocess.run(
            [*command, "--dest", str(CACHE)], capture_output=True, text=True, timeout=FETCH_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise NotToBeHad(f"pip did not fetch Django {version} in {FETCH_SECONDS} s") from None
    if done.returncode or not archive.exists():
        last = (done.stderr.strip() or "no archive of that name came").splitlines()[-1]
        raise NotToBeHad(f"pip could not fetch the source archive of Django {version}: {last}")
    return archive


def _extract(archive: Path, prefix: str, folder: Path) -> None:
    with tarfile.open(archive) as file:
        members = [member for member in file if member.name.startswith(prefix)]
        if not members:
            raise NotToBeHad(f"{archive.name} holds no {prefix}")
        for member in members:
            member.name = f"tasks/{member.name.removeprefix(prefix)}"
        file.extractall(folder, members, filter="data")


def expected_failures() -> dict[str, str]:
    """Return the reasons by the test's name: module.Class.test."""
    found: dict[str, str] = {}
    for line in EXPECTED.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, reason = line.partition(": ")
            if not reason.strip():
                raise SystemExit(f"{EXPECTED.name}: no reason in {line!r}")
            found[name.strip()] = reason.strip()
    return found


def judge(
    ran: set[str], failed: set[str], skipped: set[str], expected: dict[str, str]
) -> list[str]:
    """Return what is wrong with this run, a line each."""
    return [
        *(f"UNEXPECTED FAILURE: {name}" for name in sorted(failed - expected.keys())),
        *(f"UNEXPECTED PASS: {name}" for name in sorted((expected.keys() & ran) - failed)),
        *(f"UNKNOWN TEST in {EXPECTED.name}: {name}" for name in sorted(expected.keys() - ran)),
        *(f"SKIPPED: {name}" for name in sorted(skipped)),
    ]


def run(folder: Path) -> int:
    """Run the tests and print what came of them."""
    os.environ["DJANGO_SETTINGS_MODULE"] = f"{__package__}.settings"
    sys.path.insert(0, str(folder))
    django.setup()
    from django.test.runner import DiscoverRunner

    from . import repoint

    runner = DiscoverRunner(verbosity=0, interactive=False)
    runner.setup_test_environment()
    # As at a terminal, for the test of Ctrl-C: neither unittest's handler nor a script's.
    unittest.removeHandler()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    databases = runner.setup_databases()
    try:
        suite = repoint.suite()
        ran = {repoint.name_of(test) for test in suite}
        with (CACHE / "last-run.log").open("w") as log:
            result = unittest.TextTestRunner(stream=log, verbosity=2).run(suite)
    finally:
        runner.teardown_databases(databases)
        runner.teardown_test_environment()
    failed = {repoint.name_of(test) for test, _ in [*result.failures, *result.errors]}
    skipped = {repoint.name_of(test) for test, _ in result.skipped}
    expected = expected_failures()
    wrong = judge(ran, failed, skipped, expected)
    for test, text in [*result.failures, *result.errors]:
        if repoint.name_of(test) not in expected:
            print(text)  # noqa: T201
    print(  # noqa: T201
        f"Django {django.get_version()}: {result.testsRun} tests of tasks, "
        f"{len(ran - failed - skipped)} pass, {len(failed)} fail, {len(expected)} failures expected",
        *(f"{name}: {reason}" for name, reason in expected.items()),
        *wrong,
        sep="\n  ",
    )
    return 1 if wrong else 0


def main() -> int:
    """Run Django's tests and return the exit status."""
    try:
        folder = tests_folder()
    except NotToBeHad as error:
        print(f"NOT RUN: {error}", file=sys.stderr)  # noqa: T201
        return NOT_RUN
    return run(folder)


if __name__ == "__main__":
    sys.exit(main())
