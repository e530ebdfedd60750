"""Jobs go on, whichever process is killed, again and again."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group
from django.utils import timezone

import jobs
from jobs import statistics
from jobs.models import Job
from jobs.states import State
from tests.cluster import Server, until

from . import checks, functions, processes
from .figures import Record, exactly, shown

FAULT = "SIGKILL of a random process every 2 s"
JOBS_PER_KILL = 20


def test_no_job_is_lost_while_random_processes_are_killed(
    cluster: Callable[..., Server], scale: Callable[..., Any], figure: Record
) -> None:
    kills, seconds = scale(8, 100), scale(0.8, 2.0)
    began_at = timezone.now()
    chance, killed = random.Random(), Counter[str]()
    server = cluster()
    total = kills * JOBS_PER_KILL
    for number in range(total):
        began = time.monotonic()
        mean = 1.2 * seconds / JOBS_PER_KILL  # two workers, busy for 60 % of the time
        jobs.enqueue(functions.write_row, number, chance.uniform(0, 2 * mean))
        if number % JOBS_PER_KILL == JOBS_PER_KILL - 1:
            kind = chance.choice(processes.KINDS)
            killed[kind] += 1
            if kind == "main":
                processes.kill_all(server)
                server = cluster(wait=False)
            else:
                processes.one(server, kind).kill()
        time.sleep(max(0.0, began + seconds / JOBS_PER_KILL - time.monotonic()))
    try:
        until(lambda: not checks.unfinished(), 30)
    except AssertionError:
        pass  # counted below
    rows = Counter(name.split()[0] for name in Group.objects.values_list("name", flat=True))
    succeeded = Job.objects.filter(state=State.SUCCEEDED).count()
    wedged, wrong = checks.unfinished(), checks.inconsistencies()
    failed = total - succeeded - wedged
    figure(1, FAULT, "processes killed", killed.total(), "", exactly(kills))
    figure(1, FAULT, "jobs", total, "", shown)
    figure(1, FAULT, "lost", max(failed, total - len(rows)), "", exactly(0))
    figure(1, FAULT, "wedged", wedged, "", exactly(0))
    figure(1, FAULT, "inconsistent histories", len(wrong), "", exactly(0))
    counted = statistics.totals(began_at - timedelta(minutes=1), timezone.now())["succeeded"]
    figure(1, FAULT, "successes counted wrongly", abs(counted - succeeded), "", exactly(0))
    figure(1, FAULT, "executed again", rows.total() - len(rows), "", shown)
    assert not wrong, wrong
    assert server.stop() == 0
