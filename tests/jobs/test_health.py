"""Whether servers and queues are well."""

import io
import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

import jobs
from jobs import health, transitions
from jobs.models import Job, Server
from tests import functions

pytestmark = pytest.mark.django_db


def server(name="s", *, silent_for=0):
    beat = health.database_now() - timedelta(seconds=silent_for)
    return Server.objects.create(name=name, host="h", pid=1, beat=1, heartbeat_at=beat)


def waiting(seconds, **options):
    """Enqueue a job that has been due for `seconds`."""
    job = jobs.using(functions.nothing, **options).enqueue()
    moment = health.database_now() - timedelta(seconds=seconds)
    Job.objects.filter(pk=job.pk).update(run_at=moment, state_changed_at=moment)
    return job


def check(*args):
    """Run the command; return its exit status and what it printed."""
    out = io.StringIO()
    try:
        call_command("jobs_health", *args, stdout=out)
    except SystemExit as stop:
        status = stop.code
    else:
        status = 0
    [line] = out.getvalue().splitlines()
    return status, json.loads(line)


def test_a_living_server_and_nothing_due_is_well():
    server()

    status, found = check()

    assert status == 0
    assert (found["ok"], found["problems"], found["servers"]) == (True, [], 1)
    assert found["oldest_due_seconds"] is None


def test_without_a_server_it_is_not_well():
    status, found = check()

    assert status == 1
    assert (found["ok"], found["problems"]) == (False, ["no server lives"])


def test_a_server_without_heartbeat_does_not_count():
    server(silent_for=31)

    status, found = check()

    assert status == 1
    assert found["problems"] == ["no server lives; 1 gives no sign of life"]


def test_a_job_due_for_too_long_is_not_well():
    server()
    waiting(61)

    status, found = check()

    assert status == 1
    assert found["problems"] == ["a job that is due has waited for 61 s, longer than 60 s"]
    assert 61 <= found["oldest_due_seconds"] < 62


def test_how_long_is_too_long_can_be_said():
    server()
    waiting(50)

    assert check()[0] == 0
    assert check("--max-age", "100")[0] == 0
    assert check("--max-age", "49.5")[0] == 1
    with pytest.raises(CommandError, match="is not a number of seconds"):
        check("--max-age", "soon")


def test_a_paused_queue_does_not_count_but_the_others_do():
    server()
    waiting(100, queue="mail")
    jobs.pause_queue("mail")
    assert check()[0] == 0

    waiting(70, queue="other")

    status, found = check()
    assert (status, found["queues_paused"]) == (1, ["mail"])
    assert found["oldest_due_seconds"] < 80


def test_the_oldest_is_found_behind_jobs_of_larger_priority():
    for priority in (10, 10, 0, -100):
        waiting(1, priority=priority)
    waiting(90, priority=-5)

    assert 90 <= health.oldest_due_seconds(health.database_now()) < 91


def test_a_delayed_job_counts_from_its_due_time():
    server()
    job = jobs.schedule(functions.nothing, run_after=timedelta(hours=1))
    assert check()[0] == 0

    Job.objects.filter(pk=job.pk).update(run_at=health.database_now() - timedelta(seconds=62))

    assert 62 <= check()[1]["oldest_due_seconds"] < 63


def test_a_job_that_came_back_counts_from_then():
    job = waiting(500)
    [claimed] = transitions.claim("default", 1, server="s", token="a" * 32, idle=1)
    transitions.crash([(job.pk, claimed.token)], "its worker died")

    assert health.oldest_due_seconds(health.database_now()) < 10


def test_the_database_s_clock_is_used(monkeypatch):
    server()
    waiting(1)
    monkeypatch.setattr(timezone, "now", lambda: health.database_now() + timedelta(hours=1))

    assert check()[0] == 0


def test_a_database_that_does_not_answer_is_said_in_one_line(monkeypatch):
    def refuse(*args):
        raise OperationalError("connection refused\nIs it running?")

    monkeypatch.setattr("jobs.management.commands.jobs_health.report", refuse)

    status, found = check()

    assert status == 1
    assert found["problems"] == [
        "the database does not answer: OperationalError: connection refused Is it running?"
    ]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"DATABASE": "nope"}, "ConnectionDoesNotExist: The connection 'nope' doesn't exist."),
        ({"DATABASE": 5}, "TypeError: "),
        ({"SERVER_TIMEOUT_SECONDS": "long"}, "TypeError: '<' not supported between"),
    ],
)
def test_wrong_settings_are_said_in_one_line(settings, caplog, wrong, said):
    server()
    settings.JOBS = wrong

    status, found = check()

    assert (status, found["ok"]) == (1, False)
    assert found["problems"][0].startswith(f"the health check failed: {said}")
    assert "Traceback" in caplog.text


def test_the_line_is_ascii_whatever_a_queue_is_called():
    server()
    jobs.using(functions.nothing, queue="bürö").enqueue()
    jobs.pause_queue("bürö")
    out = io.StringIO()

    call_command("jobs_health", stdout=out)

    assert out.getvalue().isascii()
    assert json.loads(out.getvalue())["queues_paused"] == ["bürö"]


def test_counts_stop_at_a_limit(monkeypatch):
    monkeypatch.setattr(health, "COUNT_LIMIT", 3)
    jobs.enqueue_many(functions.nothing, [(i,) for i in range(5)])

    assert health.report()["enqueued"] == 3


def test_it_costs_the_same_whatever_the_number_of_jobs():
    server()

    def statements():
        with CaptureQueriesContext(connection) as queries:
            health.report()
        return len(queries)

    waiting(1)
    few = statements()
    jobs.enqueue_many(functions.nothing, [(i,) for i in range(200)])

    assert statements() == few
