"""What is due, whatever time zone the database's session lives in."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

import jobs
from jobs import transitions
from jobs.clock import DatabaseNow
from jobs.models import Job
from jobs.states import State
from jobs.testing import drain
from tests import functions

pytestmark = pytest.mark.django_db

#: How a session is told to live elsewhere, by Django's name of the vendor.
ELSEWHERE = {
    "mysql": ["SET time_zone = '+02:00'", "SET time_zone = '-05:00'"],
    "postgresql": ["SET TIME ZONE 'Europe/Berlin'", "SET TIME ZONE 'America/New_York'"],
    "sqlite": ["SELECT 1"],  # its sessions have no zone
}


@pytest.fixture(params=[0, 1], ids=["east", "west"], autouse=True)
def _session_elsewhere(request: pytest.FixtureRequest, db: None) -> Iterator[None]:
    statements = ELSEWHERE[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(statements[request.param % len(statements)])
    yield
    connection.close()


# Compared in the database: Django's PostgreSQL backend reads every moment wrongly in a session
# whose zone was changed behind its back.


def test_the_database_s_clock_is_ours():
    jobs.enqueue(functions.nothing)

    seconds = timedelta(seconds=5)
    recent = Job.objects.filter(
        created_at__gt=DatabaseNow() - seconds, created_at__lt=DatabaseNow() + seconds
    )
    assert recent.exists()


def test_a_job_that_is_not_due_yet_stays_scheduled():
    jobs.schedule(functions.nothing, run_after=timedelta(minutes=1))

    assert not Job.objects.due().exists()
    assert transitions.promote_due(10) == []


def test_a_job_that_is_due_is_promoted():
    job = jobs.schedule(functions.nothing, run_after=timedelta(minutes=1))
    Job.objects.update(run_at=timezone.now() - timedelta(seconds=5))

    assert transitions.promote_due(10) == ["default"]
    assert Job.objects.get(pk=job.pk).state == State.ENQUEUED


def test_a_retry_is_due_after_its_delay():
    jobs.using(functions.fail, retry_delays=[60]).enqueue()

    drain()

    in_a_minute, seconds = timezone.now() + timedelta(minutes=1), timedelta(seconds=5)
    due = Job.objects.filter(run_at__gt=in_a_minute - seconds, run_at__lt=in_a_minute + seconds)
    assert due.exists()
