"""Functions that tests enqueue."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import random
import signal
import subprocess
import threading
import time
import uuid
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.db import DatabaseError, connection, transaction
from django.utils import timezone, translation

import jobs


def nothing(number: int = 0) -> int:
    return number


def add(a: int, b: int = 1, *, c: int = 0) -> int:
    return a + b + c


def fail(text: str = "boom") -> None:
    raise ValueError(text)


def leave() -> None:
    raise SystemExit(3)


def die() -> None:
    os._exit(9)


def answer(kind: str) -> Any:
    return {"object": object(), "when": datetime(2026, 1, 1, tzinfo=UTC), "set": {1}}[kind]


def note(path: str, text: str) -> None:
    """Append a line; short appends are atomic."""
    with Path(path).open("a") as file:
        file.write(f"{text}\n")


def slow(path: str, seconds: float) -> int:
    """Note that it began and ended, so that a test sees when and where."""
    job = jobs.current()
    about = f"{job.id if job else 0} {os.getpid()} {time.time()}"
    note(path, f"began {about}")
    time.sleep(seconds)
    note(path, f"ended {about}")
    return os.getpid()


def surroundings() -> list[Any]:
    job = jobs.current()
    assert job is not None
    return [
        job.id,
        job.attempt,
        job.queue,
        translation.get_language(),
        timezone.get_current_timezone_name(),
    ]


async def later(number: int) -> int:
    return number + 1


@jobs.job(queue="mail", max_retries=2, retry_delays=[0, 7], priority=5)
def declared(number: int = 0) -> int:
    return number


@jobs.job(max_retries=3, give_up_on=KeyError, when_exhausted="delete")
def picky(kind: str) -> None:
    raise {"key": KeyError, "value": ValueError}[kind](kind)


def add_to_parent(number: int) -> int:
    job = jobs.current()
    assert job is not None
    assert job.parent is not None
    return number + job.parent.result


async def async_add_to_parent(number: int) -> list[int]:
    job = jobs.current()
    assert job is not None
    parent = await job.aparent()
    assert parent is not None
    return [number + parent.result, number + await parent.aresult()]


def fail_once() -> None:
    job = jobs.current()
    if job is not None and job.attempt == 1:
        raise ValueError("the first time")


def busy(seconds: float) -> None:
    """Be busy in Python code."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


async def busy_async(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await asyncio.sleep(0.001)


def swallow(what: str, seconds: float) -> None:
    """Go on whatever is raised."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            time.sleep(0.01)
        except {"Exception": Exception, "BaseException": BaseException}[what]:
            pass


async def swallow_async(path: str, seconds: float) -> None:
    note(path, f"began 0 {os.getpid()} 0")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            pass


def ask_whether_cancelled() -> list[Any]:
    job = jobs.current()
    assert job is not None
    return [job.is_cancelled, job.check()]


def cancel_myself() -> None:
    raise jobs.JobCancelled("nothing to do")


def stubborn(path: str, how: str, seconds: float) -> None:
    """Note that it began, then don't end before `seconds` are over, come what may."""
    note(path, f"began 0 {os.getpid()} 0")
    if how == "in C":
        # One call that never looks at signals: no Python handler gets to run.
        hashlib.pbkdf2_hmac("sha256", b"", b"", int(seconds * 1e7))
    elif how == "ignores SIGTERM":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        swallow("BaseException", seconds)
    elif how == "forks":
        for new_session in (False, True):
            child = subprocess.Popen(["sleep", str(seconds)], start_new_session=new_session)
            note(path, f"child {child.pid}")
        swallow("BaseException", seconds)
    else:
        swallow("BaseException", seconds)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_soon() -> None:
    end = time.perf_counter() + random.uniform(0, 0.0015)
    while time.perf_counter() < end:
        pass
    _die()


@jobs.job(atomic=True, timeout=2, retry_delays=[0])
def effect(number: int, fault: str = "") -> int:
    """Write a row; the first attempt meets `fault` at that point of its transaction."""
    Group.objects.create(name=f"effect {number} {uuid.uuid4()}")
    job = jobs.current()
    assert job is not None
    if job.attempt > 1 or not fault:
        return number
    commit = connection._commit

    def die_in_commit() -> None:
        threading.Thread(target=_die_soon).start()
        commit()

    def lose_answer() -> None:
        del connection._commit
        commit()
        connection.connection.close()
        raise DatabaseError("the answer to COMMIT was lost")

    def lose_commit() -> None:
        del connection._commit
        connection.connection.close()
        raise DatabaseError("COMMIT was lost")

    def raise_after() -> None:
        raise ValueError("after the commit")

    match fault:
        case "killed before the commit":
            _die()
        case "killed in the commit":
            connection._commit = die_in_commit
        case "killed after the commit":
            transaction.on_commit(_die)
        case "answer to COMMIT lost":
            connection._commit = lose_answer
        case "COMMIT lost":
            connection._commit = lose_commit
        case "hook raises":
            transaction.on_commit(raise_after)
        case "function raises":
            raise ValueError("after its effect")
    return number


@jobs.job(atomic=True, timeout=10)
def slow_effect(path: str, seconds: float) -> None:
    note(path, "begin")
    time.sleep(seconds)
    Group.objects.get_or_create(name="slow effect")
    note(path, "end")


def repeat(length: int) -> str:
    return "x" * length


def leave_thread(seconds: float) -> None:
    threading.Thread(target=time.sleep, args=(seconds,)).start()


def _bad_receiver(**kwargs: Any) -> None:
    raise KeyError("a receiver of django-q2's signals")


if "TEST_BAD_RECEIVER" in os.environ:
    from django_q import signals as stock_signals

    getattr(stock_signals, os.environ["TEST_BAD_RECEIVER"]).connect(_bad_receiver)


def hold_write_lock(path: str, seconds: float) -> None:
    with transaction.atomic():
        Group.objects.create(name="whoever writes waits for me")
        note(path, "locked")
        time.sleep(seconds)


def spawn(path: str, generations: int) -> None:
    """Note it, and enqueue the next generation."""
    note(path, str(generations))
    if generations:
        jobs.enqueue(spawn, path, generations - 1)


def before_transaction() -> None:
    """Where a test does something."""


def in_transaction() -> None:
    before_transaction()
    with transaction.atomic():
        Group.objects.create(name=str(uuid.uuid4()))


class Slow:
    def __del__(self) -> None:
        busy(0.006)


def busy_in_destructors(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        Slow()
        busy(0.001)


async def busy_sync_in_async(seconds: float) -> None:
    await sync_to_async(busy)(seconds)


async def note_async(path: str, text: str) -> None:
    note(path, text)


async def sleep_async() -> None:
    await asyncio.sleep(5)


def fork(path: str) -> list[int]:
    """Fork a child that leaves by sys.exit(0), and one that raises; return their statuses."""
    statuses = []
    for error in (SystemExit(0), ValueError("in the child")):
        pid = os.fork()
        if pid == 0:
            raise error
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    note(path, "parent")
    return statuses


@jobs.job(timeout=0.02)
def transactions_without_end() -> None:
    while True:
        with transaction.atomic(), transaction.atomic():
            Group.objects.filter(name="").exists()


class Days(IntEnum):
    ONE = 86_400


@jobs.job(expires_after=Days.ONE)
def kept_for_a_day() -> None: ...


def kind(value):
    return type(value).__name__


def note_task(task):
    return [task.id, task.success, task.result]


def fail_until(path: str) -> str:
    if not Path(path).exists():
        raise ValueError("not yet")
    return "done"


def make_lambda():
    return lambda: 0


def tell(path: str, seconds: float) -> None:
    """Tell of itself, note it, and go on for a while."""
    job = jobs.current()
    assert job is not None
    job.progress(1, 4, "first part")
    job.log("began")
    note(path, f"began {job.id} {os.getpid()} {time.time()}")
    time.sleep(seconds)
    job.progress(4, 4, "all parts")
    job.log("ended", "WARNING")


def tell_in_transaction(path: str, seconds: float) -> None:
    with transaction.atomic():
        tell(path, seconds)
        raise ValueError("taken back")


def tell_at_once(lines: int) -> None:
    job = jobs.current()
    assert job is not None
    for number in range(lines):
        job.log(f"line {number}")


def tell_twice(path: str) -> None:
    """Go on when the journal says so."""
    job = jobs.current()
    assert job is not None
    job.log("began")
    for word, text in (("go on", "still there"), ("end", "ended")):
        while word not in Path(path).read_text():
            time.sleep(0.05)
            job.progress(time.time())
        job.log(text)


def warn() -> None:
    logging.getLogger("tests.warn").warning("mind the gap")
