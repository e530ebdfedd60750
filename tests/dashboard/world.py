"""Something to be seen on every page."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from django.utils import timezone

import jobs
from jobs import recurring_jobs, reports, transitions
from jobs.models import Queue, RecurringJob, Server
from jobs.outcomes import Told
from jobs.testing import drain
from tests import functions

LONG = "a-very-long-argument-without-any-space-" * 6


def make() -> dict[str, Any]:
    """Make jobs in every state, with a recurring job, a server and queues; return their ids."""
    succeeded = jobs.enqueue(functions.add, 1, b=2)
    failed = jobs.using(functions.fail, max_retries=0).enqueue(LONG)
    jobs.using(functions.fail, max_retries=3, retry_delays=[600]).enqueue()
    drain()
    parent = jobs.schedule(functions.nothing, 1, run_after=timedelta(hours=1))
    jobs.continue_with(parent, functions.nothing)
    jobs.delete(jobs.schedule(functions.nothing, 2, run_after=timedelta(hours=1)))
    running = jobs.using(functions.nothing, queue="running").enqueue(3)
    transitions.claim("running", 1, server="host-1", token="0" * 32, idle=1)
    lines = [(time.time(), level, f"said at level {level} {LONG}") for level in (10, 20, 30, 40)]
    reports.write([Told(running.pk, 1, time.time(), 3, 5, "third step", lines, 4, 7)])
    jobs.using(functions.nothing, queue="mail").enqueue(LONG)
    recurring_jobs.recurring("nightly", functions.nothing, cron="0 3 * * *")
    server = Server.objects.create(
        name="host-1",
        host="host-1",
        pid=1,
        heartbeat_at=timezone.now(),
        queues=["default", "mail"],
        workers=[{"slot": 0, "job": running.pk, "since": time.time() - 60}],
        load={"cpu_seconds": 12.5, "memory_mb": 81.2},
    )
    Queue.objects.get_or_create(name="mail")
    return {
        "<job>": running.pk,
        "<succeeded>": succeeded.pk,
        "<failed>": failed.pk,
        "<recurring>": RecurringJob.objects.get(name="nightly").pk,
        "<server>": server.pk,
        "<queue>": "mail",
    }
