"""The jobs that are measured."""

import os
import random
import signal
import threading
import time
import uuid


def nothing(number: int) -> int:
    return number


def mixed(number: int) -> int:
    """80 % nothing, 10 % raise at the first attempt, 10 % one query."""
    if number % 10 == 0:
        import jobs

        job = jobs.current()
        if job is None or job.attempt == 1:
            raise ValueError(number)
    if number % 10 == 1:
        from django.contrib.auth.models import Group

        Group.objects.filter(pk=number).exists()
    return number


def stamp(path: str, number: int) -> None:
    """Note when the job started, by the host's monotonic clock."""
    now = time.monotonic()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, f"{number} {now}\n".encode())
    os.close(fd)


def effect(number: int, point: str) -> None:
    """Write a row; the first attempt dies before, in or after the COMMIT of it."""
    from django.contrib.auth.models import Group
    from django.db import connection, transaction

    import jobs

    Group.objects.create(name=f"{number} {uuid.uuid4()}")
    job = jobs.current()
    if job is None or job.attempt > 1:
        return
    commit = connection._commit

    def commit_while_dying() -> None:
        threading.Thread(target=_die_within, args=(0.0015,)).start()
        commit()

    if point == "before":
        _die_within(0)
    elif point == "in":
        connection._commit = commit_while_dying
    else:
        transaction.on_commit(lambda: _die_within(0))


def _die_within(seconds: float) -> None:
    end = time.perf_counter() + random.uniform(0, seconds)
    while time.perf_counter() < end:
        pass
    os.kill(os.getpid(), signal.SIGKILL)


def _declare() -> None:
    global effect
    import jobs

    effect = jobs.job(atomic=True, timeout=5, retry_delays=[0])(effect)


# The stock system, which is measured with the same module, has no `jobs`.
if os.environ.get("BENCH_SYSTEM") == "bonfire":
    _declare()
