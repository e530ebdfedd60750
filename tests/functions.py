"""Functions that tests enqueue."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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


def spawn(path: str, generations: int) -> None:
    """Note it, and enqueue the next generation."""
    note(path, str(generations))
    if generations:
        jobs.enqueue(spawn, path, generations - 1)
