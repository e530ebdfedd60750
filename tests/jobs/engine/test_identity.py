"""Whether a process of this host is gone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from jobs.engine import identity


def known(pid: int) -> identity.Identity:
    """Return who process `pid` is, as its server wrote it down when it started."""
    return identity.own()._replace(pid=pid, started=identity.start_time(pid) or "")


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def hide(monkeypatch: pytest.MonkeyPatch):
    """Mount /proc with hidepid=2, as far as a look at it can tell."""

    def install() -> None:
        def read_text(self: Path) -> str:
            raise FileNotFoundError(self)

        def look_up(pid: int) -> None:
            raise psutil.NoSuchProcess(pid)

        monkeypatch.setattr(Path, "read_text", read_text)
        monkeypatch.setattr(psutil, "Process", look_up)

    return install


def test_a_living_process_is_not_gone(process):
    assert not identity.is_gone(known(process.pid))


def test_a_process_that_ended_is_gone_reaped_or_not(process):
    other = known(process.pid)
    os.kill(process.pid, 9)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    assert identity.is_gone(other)
    process.wait()
    assert identity.is_gone(other)


def test_another_process_under_the_same_pid_is_not_taken_for_it(process):
    assert identity.is_gone(known(process.pid)._replace(started="1"))


def test_a_process_of_another_boot_can_t_be_judged(process):
    assert not identity.is_gone(known(process.pid)._replace(boot_id="elsewhere", started="1"))


def test_a_living_process_that_does_not_show_is_not_gone(process, hide):
    other = known(process.pid)
    hide()

    assert not identity.is_gone(other)


def test_a_living_process_of_another_user_is_not_gone(process, hide, monkeypatch):
    other = known(process.pid)
    hide()

    def refuse(pid: int, signum: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert not identity.is_gone(other)
    monkeypatch.undo()


def test_a_process_that_does_not_show_and_is_not_there_is_gone(process, hide):
    other = known(process.pid)
    process.kill()
    process.wait()
    hide()

    assert identity.is_gone(other)
