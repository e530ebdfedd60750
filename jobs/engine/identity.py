"""Who a process is, so that others on the same host can tell that it is gone."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path
from typing import NamedTuple

import psutil

#: The start time of a process that lives and does not show it.
HIDDEN = ""


class Identity(NamedTuple):
    """A process: meaningful to those with the same boot and PID namespace only."""

    host: str
    boot_id: str
    pid_namespace: str
    pid: int
    started: str


@cache
def boot_id() -> str:
    """Return what names this boot of this host."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"{psutil.boot_time():.0f}"


@cache
def pid_namespace() -> str:
    """Return what names the PID namespace, or "" where there is none."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def start_time(pid: int) -> str | None:
    """Return when process `pid` started, or None if it is gone or only waits to be reaped.

    From the kernel's own ticks where they can be had: they don't move when the clock is set.
    HIDDEN for one that lives but may not be looked at.
    """
    try:
        # The command's name stands in parentheses and may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
    except OSError:
        pass
    try:
        process = psutil.Process(pid)
        gone = process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        return None if gone else f"{process.create_time():.2f}"
    except psutil.Error:
        return HIDDEN if _lives(pid) else None


def _lives(pid: int) -> bool:
    """Ask the kernel itself: /proc mounted with hidepid shows no process of another user."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's, so it is there
    return True


def own() -> Identity:
    """Return who this process is."""
    pid = os.getpid()
    return Identity(
        socket.gethostname(), boot_id(), pid_namespace(), pid, start_time(pid) or HIDDEN
    )


def is_gone(other: Identity) -> bool:
    """Whether `other` certainly lives no more; False when this host can't tell."""
    if (other.boot_id, other.pid_namespace) != (boot_id(), pid_namespace()):
        return False
    started = start_time(other.pid)
    return started is None or (HIDDEN not in (started, other.started) and started != other.started)
