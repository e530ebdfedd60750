"""`make test`: all tests, once for each database of TEST_DATABASE_URLS; says which ran."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from importlib.util import find_spec
from urllib.parse import urlsplit

PORTS = {"postgres": 5432, "mysql": 3306}


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


def main() -> int:
    """Run pytest per database and return the worst exit status."""
    status, said = 0, []
    for url in os.environ.get("TEST_DATABASE_URLS", "sqlite").split():
        name = urlsplit(url).scheme or url
        if reason := missing(url):
            said.append(f"{name}: NOT RUN, {reason}")
            continue
        env = dict(os.environ)
        if url != "sqlite":
            env["TEST_DATABASE_URL"] = url
        code = subprocess.run([sys.executable, "-m", "pytest", *sys.argv[1:]], env=env).returncode
        said.append(f"{name}: {'passed' if code == 0 else f'FAILED (status {code})'}")
        status = status or code
    print(f"\nPython {sys.version.split()[0]}, databases:", *said, sep="\n  ")  # noqa: T201
    return status


if __name__ == "__main__":
    sys.exit(main())
