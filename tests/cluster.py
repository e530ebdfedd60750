"""Real servers for tests: `manage.py qcluster` as its own process, ended by pid."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import psutil
from django.db import connection

ROOT = Path(__file__).resolve().parent.parent
T = TypeVar("T")


def until(what: Callable[[], T], seconds: float = 15.0, *, message: str = "") -> T:
    """Return the first true value of `what`, asking again for up to `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := what()):
        if time.monotonic() > deadline:
            raise AssertionError(message or f"not within {seconds} s: {what}")
        time.sleep(0.01)
    return value


def database_url(port: int | None = None) -> str:
    """Return the URL of the database this test uses; `port`: through a proxy there."""
    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{settings['NAME']}"
    scheme = {"postgresql": "postgres", "mysql": "mysql"}[connection.vendor]
    user, password = quote(settings["USER"] or ""), quote(settings["PASSWORD"] or "")
    host = settings["HOST"] or "127.0.0.1"
    at = f"{user}:{password}@{host}:{port or settings['PORT'] or ''}"
    return f"{scheme}://{at}/{settings['NAME']}"


class Server:
    """A running cluster and its processes."""

    def __init__(
        self,
        log: Path,
        jobs: dict[str, Any],
        env: dict[str, str],
        *args: str,
        wait: bool = True,
        prefix: Sequence[str] = (),
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.log = log
        self._file = log.open("ab")
        settings = {"HEARTBEAT_SECONDS": 1, "SERVER_TIMEOUT_SECONDS": 4, **jobs}
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "manage.py", "qcluster", *args],
            cwd=ROOT,
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "tests.settings",
                "TEST_CLUSTER_DATABASE_URL": database_url(),
                "TEST_JOBS": json.dumps(settings),
                **env,
            },
            stdout=self._file,
            stderr=self._file,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=pass_fds,
        )
        self.main = psutil.Process(self.process.pid)
        if wait:
            try:
                until(self._is_up, 20, message=f"the cluster did not start:\n{self.text}")
            except BaseException:
                self.end()
                raise

    def _is_up(self) -> bool:
        assert self.process.poll() is None, self.text
        return len(self.workers) >= 1 and len(self.helpers) == 2

    @property
    def text(self) -> str:
        """What it has logged."""
        return self.log.read_text()

    @property
    def sentinel(self) -> psutil.Process | None:
        children = self.main.children()
        return children[0] if children else None

    def _parts(self) -> list[psutil.Process]:
        sentinel = self.sentinel
        try:
            return sentinel.children() if sentinel else []
        except psutil.NoSuchProcess:  # it has just died, or was no more than a program of its start
            return []

    @property
    def workers(self) -> list[psutil.Process]:
        """The workers: each leads its own process group."""
        return [p for p in self._parts() if _group(p) == p.pid]

    @property
    def helpers(self) -> list[psutil.Process]:
        """Housekeeping and the dispatcher, in the order in which they were first started."""
        return [p for p in self._parts() if _group(p) != p.pid]

    @property
    def housekeeping(self) -> psutil.Process:
        return self.helpers[0]

    @property
    def dispatcher(self) -> psutil.Process:
        return self.helpers[1]

    @property
    def family(self) -> list[psutil.Process]:
        try:
            return [self.main, *self.main.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def signal_all(self, signum: int) -> None:
        for process in self.family:
            try:
                process.send_signal(signum)
            except psutil.NoSuchProcess:
                pass

    def stop(self, seconds: float = 20) -> int:
        """Ask it to stop and return its exit status."""
        if self.process.poll() is None:
            self.main.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def end(self) -> None:
        """End whatever of it is left, and check that nothing stays behind."""
        family = self.family
        if self.process.poll() is None:
            try:
                self.main.send_signal(signal.SIGTERM)
                self.process.wait(20)
            except psutil.NoSuchProcess:
                pass  # in a container, whose first process has ended
            except subprocess.TimeoutExpired:
                pass
        for process in family:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                pass
        self.process.wait(10)
        psutil.wait_procs(family, 5)
        self._file.close()


def _group(process: psutil.Process) -> int:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return -1


@contextmanager
def running(
    folder: Path,
    *args: str,
    jobs: dict[str, Any] | None = None,
    env: dict[str, str] | None = None,
    wait: bool = True,
) -> Iterator[Server]:
    """Run a cluster for the time of the block. `wait`: until it is up."""
    log = folder / f"cluster-{time.monotonic_ns()}.log"
    server = Server(log, jobs or {}, env or {}, *args, wait=wait)
    try:
        yield server
    finally:
        server.end()
