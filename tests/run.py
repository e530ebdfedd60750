"""`make test`: all that can be tested here, part by part; says at the end what ran and what did not.

TEST_DATABASE_URLS names the databases, TEST_PARTS the parts, with commas between (default: all).
Given arguments go to pytest, which then runs once for each database, in no parts.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from typing import NamedTuple
from urllib.parse import urlsplit

PORTS = {"postgres": 5432, "mysql": 3306}
#: The exit status of a part that could not run here, with the reason in what it printed.
COULD_NOT_RUN = 77


class Part(NamedTuple):
    """A part of the tests. `databases`: on which of the given ones it runs."""

    command: tuple[str, ...]
    databases: str = "all"


#: For tests that mostly wait for their servers: so many at once keep two cores half busy.
AT_ONCE = ("-n", "2", "--maxschedchunk", "1")
# Tests without processes share the machine's cores.
_UNIT = ("pytest", "-m", "unit", "-n", "logical", "--maxprocesses", "8")
PARTS = {
    "unit": Part(_UNIT),
    "sql-server": Part((*_UNIT, "--as-sql-server"), "sqlite"),
    "process": Part(("pytest", "-m", "process and not alone", *AT_ONCE)),
    # Of those, the ones that measure times.
    "alone": Part(("pytest", "-m", "process and alone")),
    "smoke": Part(("pytest", "-m", "smoke")),
    "browser": Part(("pytest", "-m", "browser"), "first"),
    "django-tasks": Part(("tests.foreign.djangotasks",), "first"),
    "django-q": Part(("tests.foreign.djangoq",), "sqlite postgres"),
    "chaos": Part(("tests.chaos", "--short")),
}
#: The smoke tests are some of those of "process" and "alone".
ALL = [name for name in PARTS if name != "smoke"]


def missing(url: str) -> str:
    """Return why the database at `url` can't be tested here, or ""."""
    if url == "sqlite":
        return ""
    parts = urlsplit(url)
    if parts.scheme == "mysql" and find_spec("MySQLdb") is None:
        return "mysqlclient is not installed (it needs the headers of MariaDB's client)"
    address = (parts.hostname or "127.0.0.1", parts.port or PORTS.get(parts.scheme, 0))
    try:
        socket.create_connection(address, 3).close()
    except OSError as error:
        return f"{address[0]}:{address[1]} does not answer ({error})"
    return ""


def scheme_of(url: str) -> str:
    return urlsplit(url).scheme or url


def runs_on(part: Part, url: str, first: str) -> bool:
    """Whether `part` is one for the database at `url`; `first`: the first one that answers."""
    if part.databases == "first":
        return url == first
    return part.databases == "all" or scheme_of(url) in part.databases.split()


def exists(module: str) -> bool:
    """Whether `python -m module` finds something to run."""
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:  # not even the package it is in
        return False
    if spec is None or not spec.submodule_search_locations:
        return spec is not None
    return find_spec(f"{module}.__main__") is not None


def run(command: tuple[str, ...], url: str) -> tuple[int, str]:
    """Run a module of Python on a database; return its exit status and how that is said."""
    if not exists(command[0]):
        return 0, f"NOT RUN, there is no {command[0]}"
    env = {key: value for key, value in os.environ.items() if key != "TEST_DATABASE_URL"}
    env["TEST_DATABASE_URLS"] = url  # for what runs its own pytest, once for each
    if url != "sqlite":
        env["TEST_DATABASE_URL"] = url
    print(f"\n{scheme_of(url)}: {' '.join(command)}", flush=True)  # noqa: T201
    began = time.monotonic()
    code = subprocess.run([sys.executable, "-m", *command], env=env).returncode
    seconds = time.monotonic() - began
    if code == COULD_NOT_RUN:
        return 0, "NOT RUN, for the reason above"
    return code, f"{'passed' if code == 0 else f'FAILED (status {code})'}, {seconds:.0f} s"


def main() -> int:
    """Run every part on its databases and return the first exit status that is not 0."""
    urls = os.environ.get("TEST_DATABASE_URLS", "sqlite").split()
    reasons = {url: missing(url) for url in urls}
    first = next((url for url in urls if not reasons[url]), "")
    chosen = os.environ.get("TEST_PARTS", "all")
    names = ALL if chosen == "all" else chosen.split(",")
    commands = {name: PARTS[name] for name in names}
    if sys.argv[1:]:
        commands = {"pytest": Part(("pytest", *sys.argv[1:]))}
    status, said = 0, []
    for url in urls:
        if reasons[url]:
            said.append(f"{scheme_of(url)}: NOT RUN, {reasons[url]}")
            continue
        for name, part in commands.items():
            if runs_on(part, url, first):
                code, how = run(part.command, url)
                status = status or code
                said.append(f"{scheme_of(url)}, {name}: {how}")
    print(f"\nPython {sys.version.split()[0]}:", *said, sep="\n  ", flush=True)  # noqa: T201
    return status


if __name__ == "__main__":
    sys.exit(main())
