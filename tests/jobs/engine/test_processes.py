"""Ending a worker and what its job has started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from jobs.engine import processes
from tests.cluster import until

#: Starts a child in its own group and one in a new session, and says who they are.
FAMILY = """
import subprocess, time
for new_session in (False, True):
    print(subprocess.Popen(["sleep", "60"], start_new_session=new_session).pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def family() -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process]]]:
    worker = subprocess.Popen(
        [sys.executable, "-c", FAMILY], stdout=subprocess.PIPE, text=True, process_group=0
    )
    assert worker.stdout is not None
    children = [psutil.Process(int(worker.stdout.readline())) for _ in range(2)]
    yield worker, children
    for process in children:
        if process.is_running():
            process.kill()
    worker.kill()
    worker.wait()
    worker.stdout.close()


def ended(process: psutil.Process) -> bool:
    """Whether it ends soon; nobody may be there to reap it."""

    def is_dead() -> bool:
        try:
            return process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    return until(is_dead, 3)


def test_a_worker_is_ended_with_all_that_its_job_started(family):
    worker, children = family

    processes.kill_group(worker.pid)

    assert worker.wait(3) == -signal.SIGKILL
    assert all(ended(child) for child in children)


def test_of_a_reaped_worker_only_the_group_is_ended(family, monkeypatch):
    worker, (child, _) = family
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()

    def refuse(pid: int, signum: int) -> None:
        raise AssertionError(f"{pid} may be somebody else by now")

    monkeypatch.setattr(os, "kill", refuse)
    processes.kill_leftovers(worker.pid)
    monkeypatch.undo()

    assert ended(child)


def test_a_process_of_another_user_is_named_and_the_rest_is_ended(family, monkeypatch, caplog):
    worker, (child, _other) = family
    real = psutil.Process.kill

    def kill(process: psutil.Process) -> None:
        if process.pid != child.pid:
            raise psutil.AccessDenied(process.pid)
        real(process)

    def killpg(pid: int, signum: int) -> None:
        raise PermissionError

    monkeypatch.setattr(psutil.Process, "kill", kill)
    monkeypatch.setattr(os, "killpg", killpg)
    processes.kill_group(worker.pid)
    monkeypatch.undo()

    assert worker.wait(3) == -signal.SIGKILL
    assert ended(child)
    assert caplog.text.count("belongs to another user") == 2


def test_nothing_happens_when_nobody_is_left(family):
    worker, children = family
    processes.kill_group(worker.pid)
    worker.wait()
    assert all(ended(child) for child in children)

    processes.kill_group(worker.pid)
    processes.kill_leftovers(worker.pid)
