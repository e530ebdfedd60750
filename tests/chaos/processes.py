"""The processes of a cluster by what they are, and what they wait for."""

from __future__ import annotations

import os
import platform
import signal
from pathlib import Path

import psutil

from jobs.engine import identity
from tests.cluster import Server, until

KINDS = ("worker", "dispatcher", "housekeeping", "sentinel", "main")


def find(server: Server, kind: str) -> list[psutil.Process]:
    """Return the processes of one kind that live now; `main`: the one that was started."""
    if kind == "main":
        return [server.main] if server.process.poll() is None else []
    try:
        if kind == "sentinel":
            return [server.sentinel] if server.sentinel else []
        if kind == "worker":
            return server.workers
        polls = kind == "dispatcher"
        return [process for process in server.helpers if _has_selector(process) == polls]
    except psutil.NoSuchProcess:
        return []


def one(server: Server, kind: str) -> psutil.Process:
    """Return a process of a kind; it may take a moment to be there."""
    return until(lambda: find(server, kind), 20, message=f"no {kind}:\n{server.text}")[0]


def _has_selector(process: psutil.Process) -> bool:
    """Whether it is the dispatcher, the only one that has an epoll descriptor."""
    folder = f"/proc/{process.pid}/fd"
    try:
        links = [os.readlink(f"{folder}/{number}") for number in os.listdir(folder)]
    except OSError:
        return False
    return any("eventpoll" in link for link in links)


def lives(process: psutil.Process) -> bool:
    """Whether a process has not ended; one that only waits to be reaped has."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def age(process: psutil.Process) -> float:
    """Return for how many seconds a process has been there, by a clock that nobody sets."""
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return uptime - int(identity.start_time(process.pid) or 0) / os.sysconf("SC_CLK_TCK")


#: System calls by machine: those that only sleep, and that which sends on a socket.
SLEEP = {"x86_64": {35, 230}, "aarch64": {101, 115}}
SEND = {"x86_64": {44}, "aarch64": {206}}


def is_blocked_in(process: psutil.Process, calls: dict[str, set[int]]) -> bool:
    """Whether the main thread of a process is in one of these system calls."""
    now = Path(f"/proc/{process.pid}/syscall").read_text().split()[0]
    return now.isdigit() and int(now) in calls[platform.machine()]


def kill_all(server: Server) -> None:
    """SIGKILL the whole group, the main process first so that it replaces nobody."""
    family = server.family
    for process in family:
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            pass
    server.process.wait(10)
    psutil.wait_procs(family[1:], 5)
