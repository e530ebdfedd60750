"""Functions that the chaos suite enqueues."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
import uuid

import psutil
from django.contrib.auth.models import Group

import jobs
from tests.functions import note


def write_row(number: int, seconds: float) -> None:
    """Write a row of its own for each execution, then take a while."""
    Group.objects.create(name=f"{number} {uuid.uuid4()}")
    time.sleep(seconds)


def first_time_slow(path: str, seconds: float, after: float = 0.0) -> None:
    """Note each start with its time; the first execution takes `seconds`, the others `after`."""
    job = jobs.current()
    assert job is not None
    note(path, f"began {job.id} {os.getpid()} {time.time()} {job.attempt}")
    time.sleep(seconds if job.attempt == 1 else after)


def note_start(path: str) -> None:
    first_time_slow(path, 0.0)


def end_worker(how: str) -> None:
    if how == "exit":
        os._exit(9)
    os.kill(os.getpid(), signal.SIGKILL)


def allocate_without_end() -> None:
    """Allocate until there is no more, under a limit of a quarter of a gigabyte."""
    used = psutil.Process().memory_info().vms
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, before[1]))
    held: list[bytes] = []
    try:
        while True:
            held.append(bytes(2**22))
    finally:
        held.clear()
        resource.setrlimit(resource.RLIMIT_AS, before)


def end_group(path: str, seconds: float) -> None:
    """After a while, kill the main process and everything under it."""
    note_start(path)
    time.sleep(seconds)
    main = psutil.Process().parent().parent()
    for process in [main, *main.children(recursive=True)]:
        if process.pid != os.getpid():
            process.kill()
    os.kill(os.getpid(), signal.SIGKILL)


def nothing(number: int = 0) -> None: ...


def with_children(path: str, seconds: float) -> None:
    """Take a while, with a process started that takes as long."""
    child = subprocess.Popen(["sleep", str(seconds)])
    first_time_slow(path, seconds, seconds)
    child.wait()


def large_result(path: str, size: int, seconds: float) -> str:
    """The first time return a text of `size` characters."""
    first_time_slow(path, seconds)
    job = jobs.current()
    assert job is not None
    return "x" * size if job.attempt == 1 else ""
