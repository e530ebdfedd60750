"""What the sentinel does about a worker that is said to hang."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from jobs.engine import wire
from jobs.engine.sentinel import Child, Plan, Sentinel

Says = Callable[[int], None]


@pytest.fixture
def worker() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"], process_group=0)
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def sentinel() -> Iterator[Sentinel]:
    made = Sentinel(Plan("s", None, 1), stop_pipe=-1)
    yield made
    os.close(made._lifeline)
    os.close(made._lifeline_end)


@pytest.fixture
def hangs(sentinel: Sentinel, worker: subprocess.Popen[bytes]) -> Iterator[Says]:
    """Let the dispatcher say of a process in slot 0, which is `worker`'s, that it hangs."""
    with ExitStack() as stack:
        ends = [stack.enter_context(end) for _ in range(2) for end in socket.socketpair()]
        sentinel.workers[0] = Child("worker", SimpleNamespace(pid=worker.pid), ends[0])
        sentinel.dispatcher = Child("dispatcher", SimpleNamespace(pid=0), ends[2])

        def say(pid: int) -> None:
            ends[3].sendall(wire.frame(("hangs", 0, pid)))
            sentinel._listen()

        yield say


def was_killed(worker: subprocess.Popen[bytes]) -> bool:
    """Whether SIGKILL has been sent; a SIGTERM that comes after it changes nothing."""
    worker.terminate()
    return worker.wait(5) == -signal.SIGKILL


def test_a_worker_that_hangs_is_killed(hangs, worker):
    hangs(worker.pid)

    assert was_killed(worker)


def test_one_that_has_just_woken_up_is_left_to_its_job(sentinel, hangs, worker):
    sentinel.arena.slots[0].begin((7, "a" * 32), 1, 0)

    hangs(worker.pid)

    assert not was_killed(worker)
    assert not sentinel._killed_for


def test_one_that_hangs_again_after_its_job_is_killed(sentinel, hangs, worker):
    sentinel.arena.slots[0].begin((7, "a" * 32), 1, 0)
    hangs(worker.pid)
    sentinel.arena.slots[0].end()

    hangs(worker.pid)

    assert was_killed(worker)


def test_its_successor_in_the_slot_is_not_taken_for_it(hangs, worker):
    hangs(worker.pid + 1)

    assert not was_killed(worker)
