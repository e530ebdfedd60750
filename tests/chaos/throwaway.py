"""Database servers of a test's own, which it may restart, kill and starve."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import environ
from django.core.management import call_command
from django.db import connections

from config import databases
from jobs import wakeup
from tests.cluster import until

#: So many connections each of them takes, few enough to use them all up.
MAX_CONNECTIONS = 40


class NotHere(Exception):
    """Why such a server can't be had on this machine."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


class Throwaway(Protocol):
    """What tests need of such a server."""

    port: int

    def url(self, name: str) -> str:
        """Return the URL of its database `name`."""

    def connect(self, name: str = "") -> Any:
        """Return a fresh DB-API connection in autocommit mode."""

    def start(self) -> None:
        """Start it, and wait until it answers."""

    def stop(self, signum: int) -> None:
        """End it by this signal, SIGKILL for all its processes at once, and wait for that."""


class _Server:
    """A server process in a folder of its own, as a user that its program accepts."""

    user: str
    command: list[str]

    def __init__(self, folder: Path) -> None:
        self.folder, self.data, self.port = folder, folder / "data", free_port()
        self.owner: dict[str, Any] = {}
        if os.geteuid() == 0:  # PostgreSQL refuses to be root
            try:
                account = pwd.getpwnam(self.user)
            except KeyError:
                raise NotHere(f"root can't run it, and there is no user {self.user!r}") from None
            os.chown(folder, account.pw_uid, account.pw_gid)
            self.owner = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        self._log = (folder / "log").open("ab")
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, *command: str) -> None:
        subprocess.run(
            command, check=True, cwd=self.folder, stdout=self._log, stderr=self._log, **self.owner
        )

    def start(self) -> None:
        self._process = subprocess.Popen(
            self.command,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
            **self.owner,
        )
        until(self._answers, 60, message="the database server does not start")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()
        with suppress(self.error):
            self.connect().close()
            return True
        return False

    error: type[Exception]

    def connect(self, name: str = "") -> Any:
        raise NotImplementedError

    def stop(self, signum: int) -> None:
        if self._process is not None:
            if signum == signal.SIGKILL:
                os.killpg(self._process.pid, signum)
            else:
                self._process.send_signal(signum)
            self._process.wait(60)
            self._process = None

    def discard(self) -> None:
        self.stop(signal.SIGKILL)
        self._log.close()


class PostgreSQL(_Server):
    user = "postgres"

    def __init__(self, folder: Path) -> None:
        import psycopg

        self.error = psycopg.Error
        super().__init__(folder)
        postgres = self._program("postgres")
        self.run(
            self._program("initdb"),
            *("-D", str(self.data), "-U", "postgres", "--auth=trust", "--no-sync"),
            *("--encoding=UTF8", "--locale=C"),
        )
        self.command = [
            postgres,
            *("-D", str(self.data), "-p", str(self.port), "-h", "127.0.0.1", "-k", str(folder)),
            *("-c", f"max_connections={MAX_CONNECTIONS}"),
        ]

    @staticmethod
    def _program(name: str) -> str:
        # Debian keeps them out of the PATH, a folder for each version.
        found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
        if path := shutil.which(name) or (str(found[-1]) if found else ""):
            return path
        raise NotHere(f"PostgreSQL's {name} is not installed here")

    def url(self, name: str) -> str:
        return f"postgres://postgres@127.0.0.1:{self.port}/{name}"

    def connect(self, name: str = "") -> Any:
        import psycopg

        return psycopg.connect(self.url(name or "postgres"), autocommit=True, connect_timeout=5)


class MariaDB(_Server):
    user = "mysql"

    def __init__(self, folder: Path) -> None:
        import MySQLdb

        self.error = MySQLdb.Error
        super().__init__(folder)
        server = self._program("mariadbd")
        self.run(
            self._program("mariadb-install-db"),
            *("--no-defaults", f"--datadir={self.data}", "--skip-test-db"),
            "--auth-root-authentication-method=normal",
        )
        self.command = [
            server,
            *("--no-defaults", f"--datadir={self.data}", f"--port={self.port}"),
            *("--bind-address=127.0.0.1", f"--socket={folder / 'socket'}"),
            *(f"--pid-file={folder / 'pid'}", f"--max-connections={MAX_CONNECTIONS}"),
            f"--tmpdir={folder}",  # at its start it removes the temporary tables in it
        ]

    @staticmethod
    def _program(name: str) -> str:
        if path := shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/libexec"):
            return path
        raise NotHere(f"MariaDB's {name} is not installed here")

    def url(self, name: str) -> str:
        return f"mysql://root@127.0.0.1:{self.port}/{name}"

    def connect(self, name: str = "") -> Any:
        import MySQLdb

        options = {"host": "127.0.0.1", "port": self.port, "user": "root", "connect_timeout": 5}
        return MySQLdb.connect(**options, database=name, autocommit=True)


KINDS: dict[str, type[PostgreSQL] | type[MariaDB]] = {"postgresql": PostgreSQL, "mysql": MariaDB}


@contextmanager
def server(vendor: str) -> Iterator[Throwaway]:
    """Run a server of this kind for the time of the block. Raises NotHere."""
    if vendor not in KINDS:
        raise NotHere(f"{vendor} has no server")
    # Not pytest's folder, in which only its owner may look.
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    made = None
    try:
        made = KINDS[vendor](folder)
        made.start()
        yield made
    finally:
        if made is not None:
            made.discard()
        shutil.rmtree(folder)


@contextmanager
def default_database(url: str) -> Iterator[None]:
    """Let the database at `url`, migrated, be the default one of this process for the block."""
    settings = connections["default"].settings_dict  # the same in all threads
    before = dict(settings)
    new = databases.prepare(environ.Env().db_url_config(url))
    connections["default"].close()
    settings.update({k: new[k] for k in ("NAME", "USER", "PASSWORD", "HOST", "PORT")})
    wakeup.forget_known_queues()
    try:
        call_command("migrate", verbosity=0)
        yield
    finally:
        connections["default"].close()
        settings.update(before)
