"""A system on a store, its steps and its worker groups: started here, and ended here."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import stores
from .processes import Group
from .systems import Entry
from .workload import ENDED, STAMP, STARTED

ROOT = Path(__file__).resolve().parent.parent
SUBREAPER = 36  # prctl's PR_SET_CHILD_SUBREAPER


class Failed(Exception):
    """A step or a worker group did not do what it should."""


def adopt_orphans() -> None:
    """Become the parent of children whose own parent has died, so that none is left behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)


class Contender:
    """One system on one store. `folder` takes its logs and stamps."""

    def __init__(self, entry: Entry, url: str, folder: Path) -> None:
        self.entry = entry
        self.url = url
        self.store = stores.kind(url)
        self.folder = folder
        self.stamps = folder / "stamps"
        self.statements = folder / "statements"
        self.log = folder / f"{entry.name}-{self.store}.log"
        self.env = {
            **os.environ,
            "BENCH_SYSTEM": entry.name,
            "BENCH_DATABASE": url,
            "BENCH_STAMPS": str(self.stamps),
            "BENCH_WORKERS": "2",
            "BENCH_EXPECTED": "0",
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "ignore",
        }
        # Celery would take its presence for a Django project.
        self.env.pop("DJANGO_SETTINGS_MODULE", None)
        if entry.is_django:
            self.env["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"

    def _begin(self, name: str, arguments: dict[str, Any], **env: str) -> subprocess.Popen:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "benchmarks.step", name, json.dumps(arguments)],
                cwd=ROOT,
                env={**self.env, **env},
                stdout=subprocess.PIPE,
                stderr=log,
                stdin=subprocess.DEVNULL,
                text=True,
            )

    def _finish(self, name: str, process: subprocess.Popen, timeout: float) -> Any:
        try:
            out, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise Failed(f"{name} took more than {timeout:.0f} s, see {self.log}") from None
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
        if process.returncode:
            raise Failed(f"{name} exited with {process.returncode}, see {self.log}: {self.tail()}")
        return json.loads(out.splitlines()[-1])

    def step(self, name: str, timeout: float = 300, **arguments: Any) -> Any:
        """Do a step of `benchmarks.step` in a process of its own and return what it found."""
        return self._finish(name, self._begin(name, arguments), timeout)

    def steps(self, name: str, all_arguments: list[dict[str, Any]], timeout: float = 300) -> list:
        """Do a step in several processes at once."""
        processes = [self._begin(name, arguments) for arguments in all_arguments]
        try:
            return [self._finish(name, process, timeout) for process in processes]
        finally:
            for process in processes:
                if process.poll() is None:
                    process.kill()
                    process.communicate()

    def reset(self) -> None:
        self.step("reset")
        for path in self.folder.glob("stamps*"):
            path.unlink()
        self.stamps.touch()
        self.statements.unlink(missing_ok=True)

    @contextmanager
    def settling(
        self, starts: int, expected: int, timeout: float
    ) -> Iterator[Callable[[], float | None]]:
        """Watch for the last outcome; the block gets a function that waits for that moment.

        `starts`: how often a job will have started, `expected`: how many outcomes there must be.
        """
        arguments = {"starts": starts, "timeout": timeout}
        process = self._begin("settle", arguments, BENCH_EXPECTED=str(expected))
        try:
            assert process.stdout is not None
            if not process.stdout.readline():
                raise Failed(f"settle did not start, see {self.log}: {self.tail()}")
            yield lambda: self._finish("settle", process, timeout + 60)["at"]
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()

    @contextmanager
    def workers(self, count: int = 2, groups: int = 1, **env: str) -> Iterator[Group]:
        """Run worker groups for so many jobs at a time each; they are killed after the block."""
        env = {**self.env, "BENCH_WORKERS": str(count), **env}
        asked = subprocess.run(
            [sys.executable, "-m", "benchmarks.step", "describe", "{}"],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
        )
        if asked.returncode:
            raise Failed(f"describe: {asked.stderr.strip().splitlines()[-1]}")
        commands = json.loads(asked.stdout.splitlines()[-1])["commands"] * groups
        with self.log.open("ab") as log:
            group = Group(commands, ROOT, env, log)
            try:
                yield group
            finally:
                group.kill()

    def events(self, what: int = STARTED) -> list[tuple[int, float]]:
        """Return (job's number, monotonic seconds) of all starts, or ends, in their order."""
        data = self.stamps.read_bytes()
        records = STAMP.iter_unpack(data[: len(data) // STAMP.size * STAMP.size])
        return [(number, at) for number, found, at in records if found == what]

    def ends(self) -> list[tuple[int, float]]:
        return self.events(ENDED)

    def wait(
        self, until: Callable[[], bool], group: Group, timeout: float, pause: float = 0.005
    ) -> bool:
        """Wait until `until` holds; whether it did within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not until():
            if time.monotonic() > deadline:
                return False
            if group.has_ended():
                raise Failed(f"the workers ended, see {self.log}: {self.tail()}")
            time.sleep(pause)
        return True

    def started(self, count: int) -> bool:
        return self.stamps.stat().st_size >= count * STAMP.size

    def warm_up(self, group: Group, jobs: int = 4) -> None:
        """Let the workers run a few jobs, then forget these."""
        self.step("fill", function="nothing", count=jobs, first=1_000_000)
        if not self.wait(lambda: self.started(jobs), group, 60):
            raise Failed(f"the workers ran nothing within a minute, see {self.log}: {self.tail()}")
        time.sleep(2)
        os.truncate(self.stamps, 0)

    def statement_count(self) -> int:
        return self.statements.stat().st_size if self.statements.exists() else 0

    def tail(self) -> str:
        """Return the last line of its log."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "the log is empty"
