"""Real servers on a database that is treated as SQL Server; see tests/sql_server.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil

import jobs
from jobs.models import Counter, Job
from jobs.states import State
from tests import functions
from tests.cluster import Server, until


def test_a_server_with_no_more_than_its_features_works_on(
    cluster: Callable[..., Server], journal: Path
) -> None:
    server = cluster(env={"TEST_AS_SQL_SERVER": "1"})
    jobs.recurring("each-second", functions.nothing, cron="* * * * * *")
    jobs.enqueue_many(functions.nothing, [(n,) for n in range(200)])
    parent = jobs.using(functions.fail, retry_delays=[0.1], max_retries=1).enqueue()
    jobs.continue_with(parent, functions.nothing, on="failed")
    slow = jobs.enqueue(functions.slow, str(journal), 1.0)
    until(lambda: journal.read_text())

    psutil.Process(int(journal.read_text().split()[2])).kill()

    until(lambda: Job.objects.filter(pk=slow.pk, state=State.SUCCEEDED).exists())
    until(lambda: Job.objects.filter(state=State.SUCCEEDED).count() >= 204)
    assert Job.objects.get(pk=slow.pk).crashes == 1
    assert Job.objects.get(pk=parent.pk).state == State.FAILED
    until(lambda: Counter.objects.filter(name="retry", value=1).exists())
    assert server.stop() == 0
    assert "judging what is asked" in server.text
    assert "breaks a rule" not in server.text, server.text
