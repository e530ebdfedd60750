"""Jobs that kill their worker around their COMMIT; used by kills.py."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
import uuid

import jobs


@jobs.job(atomic=True, timeout=5, retry_delays=[0])
def effect(number: int, point: str) -> None:
    """Write a row; the first attempt dies before, in or after the COMMIT of it."""
    from django.contrib.auth.models import Group
    from django.db import connection, transaction

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
