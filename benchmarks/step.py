"""`python -m benchmarks.step NAME …`: one step with a system, in a process of its own.

Arguments and what it found are JSON, one line each; the harness sets the environment.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from . import stores
from .systems import SYSTEMS, System
from .workload import STAMP


def describe(system: System) -> dict:
    """What runs here, and the commands that start its workers."""
    commands = system.commands(int(os.environ["BENCH_WORKERS"]))
    return {"versions": system.versions(), "commands": commands, **stores.about(system.url)}


def reset(system: System) -> dict:
    system.reset()
    return {}


def fill(system: System, function: str, count: int, first: int = 0, extra: Any = ()) -> dict:
    """Enqueue `count` jobs in the fastest way the system has."""
    calls = [(number, *extra) for number in range(first, first + count)]
    if not system.enqueue_many(function, calls):
        for call in calls:
            system.enqueue(function, *call)
    return {}


def enqueue(system: System, count: int, first: int = 0, at: float = 0) -> dict:
    """Enqueue one by one, from the monotonic clock's `at` on; the first 20 are not measured."""
    for number in range(20):
        system.enqueue("nothing", first + number)
    time.sleep(max(0.0, at - time.monotonic()))
    began = time.monotonic()
    for number in range(20, 20 + count):
        system.enqueue("nothing", first + number)
    return {"began": began, "ended": time.monotonic()}


def enqueue_bulk(system: System, count: int) -> dict:
    system.enqueue("nothing", 0)  # it pays for the connection
    calls = [(number,) for number in range(1, count + 1)]
    began = time.monotonic()
    if not system.enqueue_many("nothing", calls):
        return {"able": False}
    return {"able": True, "began": began, "ended": time.monotonic()}


def paced(
    system: System, function: str, count: int, gap: float, extra: Any = (), jitter: str = "some"
) -> dict:
    """Enqueue one job every `gap` seconds on average; when each call had returned.

    `jitter`: "some" varies the gap by a half, so that it does not beat with a poll interval;
    "poisson" makes jobs come as if from many users.
    """
    dice = random.Random(1)
    returned = []
    due = time.monotonic()
    for number in range(count):
        due += dice.expovariate(1 / gap) if jitter == "poisson" else gap * dice.uniform(0.5, 1.5)
        time.sleep(max(0.0, due - time.monotonic()))
        system.enqueue(function, number, *extra)
        returned.append(time.monotonic())
    return {"returned": returned}


def later(system: System, count: int, seconds: float, gap: float) -> dict:
    """Put jobs off by `seconds`, one each `gap` seconds; the moments at which they are due."""
    due = []
    for number in range(count):
        due.append(time.monotonic() + seconds)
        system.enqueue_later(seconds, "nothing", number)
        time.sleep(gap)
    return {"due": due}


def settle(system: System, starts: int, timeout: float) -> dict:
    """Wait for `starts` starts, then until no outcome is missing; when that was, or null.

    Until the last start the store is left alone, so that asking it costs the system nothing.
    """
    print(json.dumps("ready"), flush=True)
    deadline = time.monotonic() + timeout
    stamps = Path(os.environ["BENCH_STAMPS"])
    while not (started := stamps.stat().st_size >= starts * STAMP.size):
        if time.monotonic() > deadline:
            break
        time.sleep(0.005)
    while started and system.unfinished() > 0 and time.monotonic() < deadline:
        time.sleep(0.005)
    missing = system.unfinished()
    return {"at": time.monotonic() if not missing else None, "missing": missing}


STEPS = {
    step.__name__: step
    for step in (describe, reset, fill, enqueue, enqueue_bulk, paced, later, settle)
}


def main() -> None:
    name, arguments = sys.argv[1], json.loads(sys.argv[2])
    system = SYSTEMS[os.environ["BENCH_SYSTEM"]].load()
    if name in STEPS:
        found = STEPS[name](system, **arguments)
    else:
        found = getattr(import_module("benchmarks.bonfire_steps"), name)(**arguments)
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
