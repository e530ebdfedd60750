"""`manage.py jobs_adopt`: what stands in django-q2's tables becomes ours."""

import base64
import io
import json
import pickle
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone
from django_q.models import OrmQ, Schedule, Task
from django_q.signing import SignedPackage
from django_q.tasks import async_task, fetch
from picklefield.fields import PickledObject

import jobs
from jobs.bridge import tasks
from jobs.dashboard.recurring.forms import RecurringJobForm
from jobs.models import Adopted, Job, RecurringJob
from jobs.states import State
from jobs.testing import drain

pytestmark = pytest.mark.django_db

ADD = "tests.functions.add"


def adopt(*args):
    out = io.StringIO()
    call_command("jobs_adopt", *args, stdout=out)
    return out.getvalue().splitlines()


def queue(task_id="a" * 32, lock=None, payload=None, key="bonfire", **said):
    task = {
        "id": task_id,
        "name": "old",
        "func": ADD,
        "args": (1,),
        "kwargs": {},
        "started": timezone.now(),
        **said,
    }
    return OrmQ.objects.create(
        key=key,
        payload=payload or SignedPackage.dumps(task),
        lock=lock or timezone.now() - timedelta(seconds=1),
    )


def fail(task_id="b" * 32, **said):
    now = timezone.now()
    values = {
        "name": "failed",
        "func": ADD,
        "args": (1,),
        "kwargs": {"b": 4},
        "result": "no : Traceback (most recent call last) …",
        "started": now - timedelta(hours=1),
        "stopped": now - timedelta(minutes=59),
        "success": False,
        "attempt_count": 3,
        **said,
    }
    return Task.objects.create(id=task_id, **values)


def plan(**said):
    """A row as it stood there before: no signal has made anything of it."""
    values = {"func": ADD, "args": "1", "schedule_type": "D", **said}
    return Schedule.objects.bulk_create([Schedule(**values)])[0]


def test_a_dry_run_says_what_it_would_do_and_writes_nothing():
    plan(name="nightly")
    queue()
    fail()

    said = adopt()

    assert len(said) == 5
    assert f"{ADD}: would be taken over: recurring job, Daily, next run" in said[0]
    assert f": would be taken over: job {ADD} in queue default" in said[1]
    assert f"{ADD}: would be taken over: failed job" in said[2]
    assert said[3:] == [
        "3 would be taken over, 0 left as it is",
        "Nothing was written. Run it again with --apply.",
    ]
    assert (OrmQ.objects.count(), Job.objects.count(), RecurringJob.objects.count()) == (1, 0, 0)
    assert not Adopted.objects.exists()


def test_it_is_done_once():
    plan(name="nightly", next_run=timezone.now() + timedelta(hours=1))
    plan(schedule_type="O", next_run=timezone.now() + timedelta(hours=1))
    queue(key="slow")
    fail()

    assert adopt("--apply")[-1] == "4 taken over, 0 left as it is"
    assert adopt("--apply") == ["0 taken over, 0 left as it is"]

    assert RecurringJob.objects.get().name.startswith("nightly")
    assert sorted(Job.objects.values_list("state", "queue")) == [
        ("enqueued", "slow"),
        ("failed", "default"),
        ("scheduled", "default"),
    ]
    assert not OrmQ.objects.exists()
    drain()
    assert fetch("a" * 32).result == 2


def test_a_failed_task_has_its_history_and_may_be_requeued():
    fail()
    adopt("--apply")
    job = Job.objects.get()
    [run] = job.history.all()
    assert (job.reason, job.attempt, run.state) == ("no", 3, State.PROCESSING)
    assert "Traceback" in run.data["error"]["traceback"]

    jobs.requeue(job)
    drain()

    task = fetch("b" * 32)
    assert (task.success, task.result, task.attempt_count) == (True, 5, 4)


def test_what_failed_and_is_queued_again_is_one_job():
    queue("b" * 32)
    fail("b" * 32)

    adopt("--apply")

    assert Job.objects.get().state == State.ENQUEUED


def test_tasks_that_failed_as_jobs_are_not_taken_over():
    async_task("tests.functions.fail", ack_failure=True)
    drain()

    assert adopt() == ["0 would be taken over, 0 left as it is"]


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("it was unpickled",))


def test_what_can_t_be_taken_over_is_named_and_left(monkeypatch):
    plan(func="nowhere.at_all")
    plan(args="not python")
    plan(schedule_type="C", cron="61 * * * *")
    queue(payload="not:signed:at-all")
    queue(func="nowhere.at_all")
    queue(lock=timezone.now() + timedelta(minutes=1))
    fail("c" * 32, func="nowhere.at_all")
    fail("d" * 32, stopped=timezone.now() - timedelta(days=91))
    fail("e" * 32, args=PickledObject(base64.b64encode(pickle.dumps((Bomb(),))).decode()))

    said = adopt("--apply")

    assert said[-1] == "0 taken over, 9 left as it is"
    for line, why in zip(
        said[:-1],
        [
            "nowhere.at_all: left as it is: 'nowhere.at_all' can't be imported",
            "its arguments 'not python' are not written",
            "has a bad minute",
            "not signed with this SECRET_KEY",
            "'nowhere.at_all' can't be imported",
            "a cluster of django-q2 has it until",
            "longer ago than failed jobs are kept (90 days)",
            "'nowhere.at_all' can't be imported",
            "are no plain data, and not signed: they hold a _pytest.outcomes",
        ],
        strict=True,
    ):
        assert why in line
    assert (Schedule.objects.count(), OrmQ.objects.count(), Job.objects.count()) == (3, 3, 0)
    assert not Adopted.objects.exists()


def test_schedules_without_repeats_are_no_matter():
    plan(repeats=0)

    assert adopt() == ["0 would be taken over, 0 left as it is"]


ODD = ["{[1]: 2}", "timeout='30'", "{'q_options': 5}", "{'q_options': {'timeout': '30'}}"]


def test_an_odd_row_keeps_none_behind_it_from_being_adopted():
    fail("c" * 32, args=5)
    for number, keywords in enumerate(ODD):
        plan(name=f"odd {number}", args=None, kwargs=keywords)
    plan(name="good")

    adopt("--apply")

    assert [row.name.partition(" (")[0] for row in RecurringJob.objects.all()] == ["good"]
    assert not Job.objects.exists()


@pytest.mark.parametrize("keywords", ODD)
def test_saving_an_odd_schedule_raises_nothing_and_says_why_it_can_t_run(keywords, caplog):
    Schedule.objects.create(name="odd", func=ADD, kwargs=keywords)

    assert "can't run" in caplog.text
    assert not RecurringJob.objects.exists()


def test_what_more_a_task_says_is_nothing_that_was_signed():
    via = {"api": "django-q2", "id": "a" * 32, "more": {"chain": ["gc.collect"], "own": 1}}
    found = tasks.task_of(ADD, via, [1], {})
    assert "chain" not in found
    assert found["own"] == 1


def test_operators_can_t_change_what_another_api_s_call_is_about():
    Schedule.objects.create(name="good", func=ADD, args="1", schedule_type=Schedule.HOURLY)
    row = RecurringJob.objects.get()
    values = {field: getattr(row, field) for field in RecurringJobForm.Meta.fields}
    forged = {**row.options, "via": {**row.options["via"], "hook": "os.abort"}}

    def errors(options):
        data = {**values, "arguments": json.dumps(row.arguments), "options": json.dumps(options)}
        return RecurringJobForm(data, instance=RecurringJob.objects.get()).errors

    assert "options" in errors(forged)
    assert "options" not in errors({**row.options, "max_retries": 1})


def test_tasks_that_failed_as_jobs_are_not_taken_over_when_those_have_expired():
    async_task("tests.functions.fail", ack_failure=True)
    drain()
    assert Task.objects.filter(success=False).count() == 1
    Job.objects.all().delete()

    adopt("--apply")

    assert not Job.objects.exists()
