"""A worker group as processes: their CPU and memory, and their end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import IO, Any

import psutil

MIB = 1 << 20


class Group:
    """The processes of a worker group, and their descendants."""

    def __init__(
        self, commands: list[list[str]], folder: Path, env: dict[str, str], log: IO[bytes]
    ) -> None:
        self.roots = [
            subprocess.Popen(
                command,
                cwd=folder,
                env=env,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            for command in commands
        ]
        self._known: dict[int, psutil.Process] = {}

    def has_ended(self) -> bool:
        return all(root.poll() is not None for root in self.roots)

    def tree(self) -> list[psutil.Process]:
        """Return every living process of the group, also those whose parent has died."""
        for root in self.roots:
            try:
                main = psutil.Process(root.pid)
                found = [main, *main.children(recursive=True)]
            except psutil.NoSuchProcess:
                continue
            self._known.update((process.pid, process) for process in found)
        # Children of those that died are ours now, see harness.adopt_orphans.
        sessions = {root.pid for root in self.roots}
        for process in psutil.Process().children(recursive=True):
            if _session(process.pid) in sessions:
                self._known[process.pid] = process
        return [process for process in self._known.values() if _lives(process)]

    def cpu(self) -> dict[int, float]:
        """Return the seconds of CPU that each process has used."""
        return {process.pid: cpu_seconds(process) for process in self.tree()}

    def roles(self) -> dict[int, str]:
        """Return what each process of Bonfire's clusters is, by pid."""
        roles = {}
        for root in self.roots:
            roles[root.pid] = "main"
            for sentinel in psutil.Process(root.pid).children():
                roles[sentinel.pid] = "sentinel"
                helpers = []
                for child in sentinel.children():
                    # Each worker leads its process group.
                    if os.getpgid(child.pid) == child.pid:
                        roles[child.pid] = "worker"
                    else:
                        helpers.append(child.pid)
                roles.update(zip(helpers, ("housekeeping", "dispatcher"), strict=False))
        return roles

    def pss_mib(self) -> float:
        """Return the memory of all processes, where shared pages count once."""
        return sum(_pss(process) for process in self.tree()) / MIB

    def kill(self) -> float:
        """Kill every process; return the monotonic moment."""
        # First they are stopped, so that no parent replaces a dead child.
        for process in self.tree():
            _signal(process, signal.SIGSTOP)
        moment = time.monotonic()
        for process in self.tree():
            _signal(process, signal.SIGKILL)
        for root in self.roots:
            root.wait(10)
        psutil.wait_procs(list(self._known.values()), 5)
        return moment

    def stop(self, seconds: float = 20) -> None:
        """Ask them to stop, so that what they count about themselves is complete."""
        for root in self.roots:
            if root.poll() is None:
                root.terminate()
        deadline = time.monotonic() + seconds
        for root in self.roots:
            try:
                root.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                pass  # kill() follows


def cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU a process has used: in nanoseconds where the system tells, else in ticks."""
    try:
        paths = Path(f"/proc/{process.pid}/task").glob("*/schedstat")
        if found := [int(path.read_text().split()[0]) for path in paths]:
            return sum(found) / 1e9
    except OSError:
        pass
    try:
        times: Any = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _pss(process: psutil.Process) -> int:
    try:
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return -1


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _signal(process: psutil.Process, signum: int) -> None:
    try:
        process.send_signal(signum)
    except psutil.NoSuchProcess:
        pass
