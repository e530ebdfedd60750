"""`async_task` and its options: one Job of the user's function, and a Task row when it has run."""

import os
import subprocess
import sys
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.models import OrmQ, Task
from django_q.tasks import AsyncTask, async_task, fetch, queue_size, result, schedule

import jobs
from jobs import transitions
from jobs.bridge.broker import JobsBroker
from jobs.models import Job, RecurringJob
from jobs.states import State
from jobs.testing import drain
from tests import functions

pytestmark = pytest.mark.django_db

ADD = "tests.functions.add"
FAIL = "tests.functions.fail"


def far():
    return timezone.now() + timedelta(days=3)


def test_a_task_is_a_job_of_the_function_and_has_its_result():
    task_id = async_task(ADD, 1, b=2)

    job = Job.objects.get()
    assert (job.func, job.args, job.kwargs, job.state) == (ADD, [1], {"b": 2}, State.ENQUEUED)
    assert result(task_id) is None

    drain()

    job.refresh_from_db()
    assert (job.state, job.result) == (State.SUCCEEDED, 3)
    assert result(task_id) == 3
    task = fetch(task_id)
    assert (task.success, task.func, task.args, task.kwargs) == (True, ADD, (1,), {"b": 2})
    assert (task.attempt_count, Task.objects.count(), OrmQ.objects.count()) == (1, 1, 0)


def test_it_takes_part_in_the_transaction():
    with pytest.raises(RuntimeError), transaction.atomic():
        async_task(ADD, 1)
        raise RuntimeError

    assert not Job.objects.exists()


def test_a_function_may_be_given_itself_decorated_or_by_any_importable_name():
    ids = [
        async_task(f, *args)
        for f, args in (
            (functions.add, (1,)),
            (functions.declared, (2,)),
            ("len", ("four",)),
            ("math.floor", (1.5,)),
        )
    ]

    drain()

    assert [result(task_id) for task_id in ids] == [2, functions.declared(2), 4, 1]
    assert list(Job.objects.order_by("id").values_list("func", flat=True)) == [
        ADD,
        "tests.functions.declared",
        "len",
        "math.floor",
    ]


@pytest.mark.parametrize("cluster", [None, "bonfire"])
def test_the_default_cluster_is_the_default_queue(cluster):
    async_task(ADD, 1, cluster=cluster)

    assert Job.objects.get().queue == "default"
    assert queue_size() == 1


def test_another_cluster_is_a_queue():
    task_id = async_task(ADD, 1, cluster="slow")

    assert Job.objects.get().queue == "slow"
    assert (queue_size(), queue_size(get_broker("slow"))) == (0, 1)
    drain()
    assert fetch(task_id).cluster == "slow"


def test_options_come_as_keywords_or_as_q_options():
    async_task(ADD, 1, timeout=5, group="a", task_name="first")
    async_task(ADD, 1, q_options={"timeout": 6, "group": "b", "task_name": "second"})
    async_task(ADD, 1, timeout=-1)

    drain()

    assert [job.options.get("timeout") for job in Job.objects.order_by("id")] == [5, 6, 10**10]
    assert (fetch("first").group, fetch("second").group) == ("a", "b")
    assert Job.objects.filter(state=State.SUCCEEDED).count() == 3


def test_a_failed_attempt_is_in_the_task_at_once_and_the_last_one_counts():
    task_id = async_task(FAIL, "no", q_options={"ack_failure": False})

    drain()

    task = fetch(task_id)
    assert (task.success, task.attempt_count) == (False, 1)
    assert task.result.startswith("no : Traceback")
    assert Job.objects.get().state == State.SCHEDULED

    drain(as_of=far())

    assert fetch(task_id).attempt_count == 2
    assert Task.objects.count() == 1


def test_a_task_that_succeeds_at_last_is_a_success(tmp_path):
    task_id = async_task("tests.functions.fail_until", str(tmp_path / "there"))
    drain()
    assert fetch(task_id).success is False
    (tmp_path / "there").touch()

    drain(as_of=far())

    task = fetch(task_id)
    assert (task.success, task.result, task.attempt_count) == (True, "done", 2)


def test_an_acknowledged_failure_is_not_tried_again():
    async_task(FAIL, ack_failure=True)

    drain()

    assert Job.objects.get().state == State.FAILED


def test_max_attempts_are_tried(monkeypatch):
    monkeypatch.setattr("django_q.conf.Conf.MAX_ATTEMPTS", 2)
    async_task(FAIL)

    drain()
    drain(as_of=far())

    job = Job.objects.get()
    assert (job.state, job.attempt) == (State.FAILED, 2)


def test_save_false_keeps_no_successful_task_but_a_failed_one():
    good, bad = async_task(ADD, 1, save=False), async_task(FAIL, save=False)

    drain()

    assert (fetch(good), fetch(bad).success) == (None, False)


def test_no_more_successes_are_kept_than_the_save_limit(
    monkeypatch, django_capture_on_commit_callbacks
):
    monkeypatch.setattr("django_q.conf.Conf.SAVE_LIMIT", 2)
    ids = [async_task(ADD, number) for number in range(4)]

    with django_capture_on_commit_callbacks(execute=True):
        drain()

    assert set(Task.objects.values_list("pk", flat=True)) == set(ids[2:])


def test_the_limit_may_count_per_function(monkeypatch, django_capture_on_commit_callbacks):
    monkeypatch.setattr("django_q.conf.Conf.SAVE_LIMIT", 1)
    monkeypatch.setattr("django_q.conf.Conf.SAVE_LIMIT_PER", "func")
    for _ in range(2):
        async_task(ADD, 1)
        async_task("math.floor", 1)

    with django_capture_on_commit_callbacks(execute=True):
        drain()

    assert sorted(Task.objects.values_list("func", flat=True)) == ["math.floor", ADD]


def test_sync_runs_here_and_raises_here():
    assert result(async_task(ADD, 1, sync=True)) == 2
    with pytest.raises(ValueError, match="boom"):
        async_task(FAIL, sync=True)
    assert not Job.objects.exists()


def test_a_hook_is_a_job_of_its_own_that_gets_the_task():
    task_id = async_task(ADD, 1, hook="tests.functions.note_task")

    drain()

    hook = Job.objects.get(func="tests.functions.note_task")
    assert hook.parent_id == Job.objects.get(func=ADD).pk
    assert hook.result == [task_id, True, 2]
    assert Task.objects.count() == 1


def test_a_hook_is_called_once_when_the_task_has_failed_for_good():
    async_task(FAIL, hook=functions.note_task)
    drain()
    assert Job.objects.count() == 1

    for _ in range(12):
        drain(as_of=far())

    [hook] = Job.objects.filter(func="tests.functions.note_task")
    assert hook.result[1] is False


def test_async_task_as_an_object():
    task = AsyncTask(ADD, 1, group="mine")
    task.timeout = 7
    task.run()

    drain()

    assert (task.result(), task.fetch().group, task.result_group()[0]) == (2, "mine", 2)


def test_purging_the_queue_leaves_other_jobs():
    jobs.enqueue(ADD, 1)
    async_task(ADD, 1)

    get_broker().purge_queue()

    assert Job.objects.filter(state=State.ENQUEUED).count() == 1
    assert (queue_size(), get_broker().info()) == (0, "Jobs default")


def test_a_result_that_can_t_be_pickled_is_kept_as_text():
    task_id = async_task("tests.functions.make_lambda")

    drain()

    assert "lambda" in result(task_id)


def test_a_result_too_long_for_a_statement_is_cut():
    task_id = async_task("operator.mul", "x", 5_000_000)

    drain()

    assert result(task_id) == "x" * 4096


def test_texts_that_no_column_takes_are_mended():
    async_task(ADD, 1, group="a\x00b", task_name="n" * 200)

    drain()

    task = Task.objects.get()
    assert (task.group, len(task.name)) == ("a\\x00b", 100)


def test_a_task_deleted_while_it_waits_leaves_no_result():
    task_id = async_task(ADD, 1)
    jobs.delete(Job.objects.get())

    drain()

    assert fetch(task_id) is None


def test_a_task_set_aside_as_poisoned_is_a_failed_task_and_its_hook_is_called():
    task_id = async_task(ADD, 1, hook="tests.functions.note_task")
    for token in "abc":
        [claimed] = transitions.claim("default", 1, server="s", token=token, idle=1)
        transitions.crash([(claimed.id, token)], "it died")

    assert "poisoned" in fetch(task_id).result
    drain()
    assert Job.objects.get(func="tests.functions.note_task").result == [
        task_id,
        False,
        fetch(task_id).result,
    ]


def test_a_triggered_recurring_job_of_a_schedule_is_a_task_too():
    schedule(ADD, 1, name="report", schedule_type="Y", next_run=far())
    job = jobs.trigger(RecurringJob.objects.get().name)

    drain()

    assert fetch(f"{job.pk:032x}").result == 2


# Without our settings


BARE = """
import sys; sys.modules["redis"] = None
import django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["jobs", "django_q", "django.contrib.contenttypes", "django.contrib.auth"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    Q_CLUSTER=%s,
    SECRET_KEY="x",
)
django.setup()
from django_q.brokers import get_broker
"""


def in_a_project(q_cluster, code):
    env = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BARE % q_cluster + code],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_project_that_configured_no_broker_gets_ours():
    done = in_a_project({"name": "bare"}, "print(type(get_broker()).__name__)")

    assert done.stdout.split() == [JobsBroker.__name__], done.stderr


def test_a_project_that_names_another_broker_keeps_it_and_is_warned():
    code = """
from django.core.management import call_command
print(django.conf.settings.Q_CLUSTER["sqs"])
from django_q.conf import Conf; print(Conf.BROKER_CLASS)
call_command("check")
"""
    done = in_a_project({"name": "bare", "sqs": {"aws_region": "x"}}, code)

    assert done.stdout.splitlines()[1] == "None", done.stderr
    assert "jobs.W002" in done.stderr
    assert "qcluster --stock" in done.stderr


def test_stock_needs_another_broker():
    with pytest.raises(CommandError, match="names no broker of django-q2's own"):
        call_command("qcluster", stock=True)
