"""Child processes: what each does first, and how each ends when the sentinel does."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import psutil

logger = logging.getLogger(__name__)


def _heard(signum: int, frame: Any) -> None:
    """Do nothing. Unlike SIG_IGN, a handler is not inherited by the programs a job starts."""


def enter(
    lifeline: int, foreign: Iterable[socket.socket | int], *, leads_group: bool = False
) -> None:
    """Be a good child: close what is not ours, leave signals to the sentinel, end with it.

    `foreign`: descriptors of the sentinel that this child must not keep, or a sibling that is
    killed would give nobody an end of file. `lifeline`: a pipe that ends when the sentinel does.
    """
    for item in foreign:
        if isinstance(item, int):
            os.close(item)
        else:
            item.close()
    if leads_group:
        os.setpgid(0, 0)
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, _heard)
    threading.Thread(target=_end_with, args=(lifeline, leads_group), daemon=True).start()


def _end_with(lifeline: int, leads_group: bool) -> None:
    os.read(lifeline, 1)  # nobody ever writes: it returns when the sentinel is gone
    if leads_group:
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def kill_group(pid: int) -> None:
    """End a worker and whatever its job has started, in its process group or out of it.

    Only for one that has not been reaped: its number may be somebody else's after that.
    """
    try:
        offspring = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        offspring = []
    kill_leftovers(pid)
    _kill(pid, partial(os.kill, pid, signal.SIGKILL))  # it may not lead its group yet
    for process in offspring:
        _kill(process.pid, process.kill)


def kill_leftovers(pid: int) -> None:
    """End what is left in the process group of a worker, which may have been reaped."""
    _kill(pid, partial(os.killpg, pid, signal.SIGKILL))


def _kill(pid: int, kill: Callable[[], None]) -> None:
    try:
        kill()
    except (ProcessLookupError, psutil.NoSuchProcess):
        pass  # it ended by itself, or with its group
    except (PermissionError, psutil.AccessDenied):
        # Such as one that the job started by sudo. The rest must be ended all the same.
        logger.warning("process or group %d belongs to another user and is left running", pid)


def name_exit(code: int | None) -> str:
    """Return in words how a process ended."""
    if code is None:
        return "ended"
    if code < 0:
        try:
            return f"died of {signal.Signals(-code).name}"
        except ValueError:
            return f"died of signal {-code}"
    return f"exited with status {code}"


def guarded(target: Callable[..., None], role: str, *args: Any) -> None:
    """Run the body of a helper; log what it dies of, so that the sentinel's respawn is explained."""
    try:
        target(*args)
    except Exception:
        logger.exception("the %s died", role)
        raise SystemExit(1) from None
