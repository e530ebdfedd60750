"""Django's Tasks framework with our backend."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import django
import pytest
from asgiref.sync import async_to_sync
from django.core.checks import run_checks
from django.db import transaction
from django.utils import timezone

import jobs
from jobs.backends import JobsTask
from jobs.djangotasks import (
    InvalidTask,
    TaskResultDoesNotExist,
    TaskResultStatus,
    task_backends,
    task_enqueued,
    task_finished,
    task_started,
)
from jobs.models import Job, RecurringJob
from jobs.states import State
from jobs.testing import drain
from tests import functions, tasks
from tests.cluster import ROOT, Server, until

if django.VERSION >= (6, 0):
    from django.tasks import task
    from django.tasks.exceptions import TaskResultMismatch

    LOGGER = "django.tasks"
else:
    from django_tasks import task
    from django_tasks.exceptions import TaskResultMismatch

    LOGGER = "django_tasks"

BACKEND = "jobs.backends.JobsBackend"
pytestmark = pytest.mark.django_db


@pytest.fixture
def heard() -> Iterator[list[tuple[str, Any, Any]]]:
    """The signals that came: name, status and error at that time."""
    got: list[tuple[str, Any, Any]] = []

    def hear(name: str) -> Callable[..., None]:
        def receiver(task_result: Any, **kwargs: Any) -> None:
            got.append((name, str(task_result.status), sys.exc_info()[0]))

        return receiver

    signals = {"enqueued": task_enqueued, "started": task_started, "finished": task_finished}
    receivers = {name: hear(name) for name in signals}
    for name, signal in signals.items():
        signal.connect(receivers[name])
    yield got
    for name, signal in signals.items():
        signal.disconnect(receivers[name])


def ended(result: Any) -> Any:
    """Return `result` after all its attempts."""
    while not result.is_finished:
        assert drain()
        result.refresh()
    return result


def test_it_claims_all_four_capabilities():
    backend = task_backends["default"]
    flags = ("defer", "async_task", "get_result", "priority")
    assert all(getattr(backend, f"supports_{flag}") is True for flag in flags)


def test_an_enqueued_task_is_an_ordinary_job():
    result = tasks.important.enqueue(4)

    job = Job.objects.get(pk=result.id)
    assert (job.func, job.args, job.queue, job.priority) == (
        "tests.tasks.important",
        [4],
        "mail",
        5,
    )
    assert result.status == TaskResultStatus.READY
    assert tasks.important.get_result(result.id) == result


def test_enqueue_is_one_statement(django_assert_num_queries):
    tasks.add.enqueue(1)
    with django_assert_num_queries(1) as queries:
        tasks.add.enqueue(1, b=2)
    assert queries.captured_queries[0]["sql"].startswith("INSERT")


def test_a_first_attempt_asks_the_database_nothing(django_assert_num_queries):
    from jobs import transitions
    from jobs.runner import execute

    tasks.about_me.enqueue()
    claims = transitions.claim("default", 1, server="s", token="t", idle=1)
    with django_assert_num_queries(0):
        outcome = execute(claims[0], "w")
    assert outcome.kind == "succeeded"


@pytest.mark.django_db(transaction=True)
def test_it_is_enqueued_in_the_callers_transaction():
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        result = tasks.add.enqueue(1)
        raise ZeroDivisionError
    with pytest.raises(TaskResultDoesNotExist):
        tasks.add.get_result(result.id)


def test_a_result_tells_what_came_of_it():
    result = ended(tasks.add.enqueue(1, b=2))

    assert (result.return_value, result.errors) == (3, [])
    assert result.worker_ids == ["drain/drain"]
    assert result.enqueued_at <= result.started_at == result.last_attempted_at
    assert result.started_at <= result.finished_at


def test_async_tasks_run_and_are_enqueued_from_async_code():
    assert ended(tasks.add_async.enqueue(1, 5)).return_value == 6


@pytest.mark.django_db(transaction=True)
def test_async_code_enqueues_and_asks():
    async def story() -> tuple[Any, Any]:
        result = await tasks.add_async.aenqueue(2)
        return result, await tasks.add_async.aget_result(result.id)

    result, same = async_to_sync(story)()
    assert result == same
    drain()
    async_to_sync(result.arefresh)()
    assert result.return_value == 3


def test_a_task_can_be_called_at_once():
    assert tasks.add.call(1) == 2
    assert tasks.add_async.call(1) == 2
    assert async_to_sync(tasks.add_async.acall)(1) == 2
    assert tasks.fail_async.using(priority=1).name == "fail_async"
    with pytest.raises(KeyError):
        tasks.fail_async.call()


def test_the_context_tells_id_attempt_and_worker():
    result = ended(tasks.about_me.enqueue("you"))
    assert result.return_value == ["you", result.id, 1, ["drain/drain"]]


def test_the_context_is_nothing_a_caller_gives():
    with pytest.raises(jobs.InvalidArguments, match="can't be called"):
        tasks.about_me.enqueue("one", "too many")


def test_each_attempts_error_is_kept():
    result = tasks.fail.enqueue("bang")
    drain()
    result.refresh()
    assert (result.status, result.attempts, result.is_finished) == ("READY", 1, False)
    ended(result)

    assert (result.status, result.attempts) == ("FAILED", 3)
    assert [error.exception_class for error in result.errors] == [ValueError] * 3
    assert result.errors[0].traceback.endswith("ValueError: bang\n")
    with pytest.raises(ValueError, match="Task failed"):
        _ = result.return_value


def test_attempts_know_of_earlier_ones(journal: Path):
    result = tasks.write_attempts.using(max_retries=2, retry_delays=[0]).enqueue(str(journal))
    ended(result)
    assert journal.read_text().split("\n") == ["1 0", "2 1", "3 2", ""]


def test_system_exit_is_a_failure_of_the_task():
    result = ended(tasks.leave.using(max_retries=0).enqueue())
    assert result.errors[0].exception_class is SystemExit


@pytest.mark.parametrize(
    ("kind", "error"), [("object", TypeError), ("nan", TypeError), ("long", ValueError)]
)
def test_a_result_that_cant_be_kept_fails_the_task_for_good(kind: str, error: type[Exception]):
    result = ended(tasks.answer.enqueue(kind))
    assert (result.attempts, result.errors[0].exception_class) == (1, error)


def test_results_are_normalised():
    assert ended(tasks.answer.enqueue("tuple")).return_value == [1]


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (State.SCHEDULED, "READY"),
        (State.AWAITING, "READY"),
        (State.ENQUEUED, "READY"),
        (State.PROCESSING, "RUNNING"),
        (State.SUCCEEDED, "SUCCESSFUL"),
        (State.FAILED, "FAILED"),
        (State.DELETED, "FAILED"),
    ],
)
def test_states_as_statuses(state: State, status: str):
    result = tasks.add.enqueue(1)
    Job.objects.filter(pk=result.id).update(state=state)
    result.refresh()
    assert result.status == status


def test_a_running_job_names_its_server():
    from jobs import transitions

    result = tasks.add.enqueue(1)
    transitions.claim("default", 1, server="here", token="t", idle=1)
    result.refresh()
    assert (result.status, result.worker_ids) == ("RUNNING", ["here"])
    assert result.started_at is not None


def test_a_crash_is_an_attempt_with_an_error(settings):
    from jobs import transitions

    result = tasks.add.enqueue(1)
    transitions.claim("default", 1, server="here", token="t", idle=1)
    transitions.crash([(int(result.id), "t")], "worker 7 was killed")
    result.refresh()
    assert (result.status, result.attempts, len(result.errors)) == ("READY", 1, 1)
    assert "worker 7 was killed" in result.errors[0].traceback
    assert issubclass(result.errors[0].exception_class, Exception)

    assert len(ended(result).worker_ids) == 2


@pytest.mark.parametrize(
    "bad", ["abc", "", "0", "-1", "1.5", "٣", "007", "9" * 19, "9" * 30, "12", None, True, 1.5]
)
def test_a_bad_id_has_no_result(bad: Any):
    with pytest.raises(TaskResultDoesNotExist):
        task_backends["default"].get_result(bad)


def test_ids_of_other_jobs():
    ordinary = jobs.enqueue(functions.add, 1)
    with pytest.raises(TaskResultDoesNotExist):
        task_backends["default"].get_result(str(ordinary.pk))
    with pytest.raises(TaskResultMismatch):
        tasks.add.get_result(tasks.important.enqueue().id)


def test_a_job_whose_task_is_gone_has_no_result():
    result = tasks.add.enqueue(1)
    Job.objects.update(func="tests.tasks.gone")
    with pytest.raises(TaskResultDoesNotExist, match=r"tests\.tasks\.gone can't be imported"):
        result.refresh()


def test_run_after_a_moment():
    moment = timezone.now() + timedelta(hours=1)
    result = tasks.add.using(run_after=moment).enqueue(1)

    job = Job.objects.get(pk=result.id)
    assert (job.state, job.run_at) == (State.SCHEDULED, moment)
    assert tasks.add.get_result(result.id) == result
    assert drain() == []
    drain(as_of=moment)
    result.refresh()
    assert result.return_value == 2
    assert result.enqueued_at < moment


def test_run_after_a_while_counts_from_each_enqueue():
    later = tasks.add.using(run_after=timedelta(hours=1))
    for _ in range(2):
        before = timezone.now()
        result = later.enqueue(1)
        due = Job.objects.get(pk=result.id).run_at
        assert before <= due - timedelta(hours=1) <= timezone.now()
        assert result.task.run_after == due
        assert tasks.add.get_result(result.id) == result


@pytest.mark.parametrize("moment", [datetime(2026, 1, 1), timedelta(days=10**6), "tomorrow", 5])
def test_run_after_nonsense(moment: Any):
    with pytest.raises(InvalidTask, match="run_after"):
        tasks.add.using(run_after=moment)


def test_larger_priorities_first():
    order = [tasks.add.using(priority=p).enqueue(p).id for p in (-5, 10, 0)]
    assert [outcome.id for outcome in drain()] == [int(order[i]) for i in (1, 2, 0)]


@pytest.mark.parametrize("wrong", [object(), {1, 2}, datetime(2026, 1, 1, tzinfo=UTC)])
def test_arguments_are_refused_by_name(wrong: Any):
    with pytest.raises(TypeError, match="argument 'b'.*Unsupported type"):
        tasks.add.enqueue(1, b=wrong)
    assert not Job.objects.exists()


@pytest.mark.parametrize("wrong", [float("nan"), {1: 2}])
def test_arguments_that_would_come_back_changed_are_refused(wrong: Any):
    with pytest.raises(TypeError, match="argument 'b'"):
        tasks.add.enqueue(1, wrong)


def test_signals_of_a_success(heard: list[Any]):
    tasks.add.enqueue(1)
    drain()
    assert heard == [
        ("enqueued", "READY", None),
        ("started", "RUNNING", None),
        ("finished", "SUCCESSFUL", None),
    ]


def test_signals_of_a_failure_come_once_it_is_final(heard: list[Any]):
    result = ended(tasks.fail.enqueue())
    assert heard == [
        ("enqueued", "READY", None),
        *[("started", "RUNNING", None)] * 3,
        ("finished", "FAILED", ValueError),
    ]
    assert result.attempts == 3


def test_what_fails_before_it_begins_is_told_of(settings, heard: list[Any]):
    settings.JOBS = {"AROUND": ["tests.tasks.refuse"], "MAX_RETRIES": 0}
    tasks.add.enqueue(1)
    drain()
    assert heard[1:] == [("finished", "FAILED", PermissionError)]


def test_what_fails_after_the_function_is_tried_again(settings):
    settings.JOBS = {"AROUND": ["tests.tasks.trip"], "RETRY_DELAYS": [0]}
    result = ended(tasks.add.enqueue(1))
    assert (result.return_value, result.attempts) == (2, 2)


def test_djangos_log_lines_have_the_traceback(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG, LOGGER)
    tasks.leave.using(max_retries=0).enqueue()
    drain()
    lines = [record for record in caplog.records if record.name == LOGGER]
    assert [record.levelname for record in lines] == ["DEBUG", "INFO", "ERROR"]
    assert lines[-1].exc_info[0] is SystemExit


@pytest.mark.parametrize("signal", [task_enqueued, task_started, task_finished])
def test_a_receiver_that_raises_stops_nothing(signal: Any):
    def receiver(**kwargs: Any) -> None:
        raise RuntimeError("a broken receiver")

    signal.connect(receiver)
    try:
        assert ended(tasks.add.enqueue(1)).return_value == 2
    finally:
        signal.disconnect(receiver)


@pytest.mark.parametrize("function", [tasks.fail, tasks.fail_async])
def test_options_of_job_around_or_inside_of_task(function: Any):
    from jobs.decorators import declared_options
    from jobs.functions import resolve

    options = declared_options(resolve(function.module_path))
    assert options.max_retries in (1, 2)
    assert list(options.retry_delays) == [0]
    assert ended(function.enqueue()).attempts == options.max_retries + 1


def test_job_outside_wins_over_task_and_a_call_over_both():
    both = jobs.job(max_retries=5)(replace(tasks.add, max_retries=3))
    assert both.max_retries == 5
    assert both.using(max_retries=3).max_retries == 3


def test_queue_and_priority_of_job_hold_for_the_task():
    assert (tasks.placed.queue_name, tasks.placed.priority) == ("mail", 7)
    assert tasks.fail_async.queue_name == "mail"
    assert ended(tasks.placed.enqueue()).return_value == "mail"


def test_an_atomic_task():
    assert ended(tasks.atomic.enqueue()).return_value is True
    assert any("tests.tasks.atomic" in repr(f) for f in _declared_atomic())


def _declared_atomic() -> list[Any]:
    from jobs.decorators import declared_atomic

    return declared_atomic()


def test_options_of_a_task():
    one = replace(tasks.add, max_retries=4, timeout=timedelta(seconds=9), retry_delays=[1, 2])
    assert (one.max_retries, one.timeout, one.retry_delays) == (4, 9, (1, 2))
    assert hash(one)
    with pytest.raises(InvalidTask, match="max_retries=-1"):
        replace(tasks.add, max_retries=-1)


def test_options_in_the_decorator():
    if (6, 0) <= django.VERSION < (6, 1):
        with pytest.raises(TypeError, match="max_retries"):
            task(max_retries=4)(tasks.add.func)
    else:
        assert task(max_retries=4)(tasks.add.func).max_retries == 4
    with pytest.raises(TypeError, match="max_retry"):
        task(max_retry=1)(tasks.add.func)


def test_options_of_one_call_are_kept_with_the_job():
    once = tasks.fail.using(max_retries=0, expires_after=timedelta(days=2), timeout=3)
    result = once.enqueue()

    assert Job.objects.get(pk=result.id).options == {
        "max_retries": 0,
        "expires_after": 172_800,
        "timeout": 3,
        "task_backend": "default",
    }
    assert tasks.fail.get_result(result.id) == result
    assert ended(result).attempts == 1


@pytest.mark.parametrize("options", [{"max_retries": "x"}, {"atomic": True}, {"timeout": 0}])
def test_options_of_one_call_are_checked(options: dict[str, Any]):
    with pytest.raises(InvalidTask, match=next(iter(options))):
        tasks.add.using(**options)


def test_a_task_must_stand_under_its_functions_name():
    with pytest.raises(InvalidTask, match="not to a task"):
        task(tasks.not_a_task).enqueue()


def test_tasks_in_our_own_verbs():
    job = jobs.enqueue(tasks.important, 3)
    child = jobs.continue_with(job, tasks.about_me)
    last = jobs.continue_with(int(tasks.add.enqueue(1).id), "tests.tasks.nested", 0)

    assert (job.queue, job.priority) == ("mail", 5)
    drain()
    for one in (job, child, last):
        one.refresh_from_db()
    assert (job.result, child.result[0], last.result) == (3, "me", 2)
    assert tasks.important.get_result(str(job.pk)).return_value == 3


def test_a_recurring_task():
    jobs.recurring("each-minute", tasks.add, args=[1], cron="* * * * *")
    drain(as_of=RecurringJob.objects.get().next_run)
    assert Job.objects.get().result == 2


def test_a_task_requeued_runs_again():
    result = ended(tasks.fails_once.using(max_retries=0).enqueue())
    assert result.status == "FAILED"
    jobs.requeue(int(result.id))
    result.refresh()
    assert result.status == "READY"
    assert drain()
    result.refresh()
    assert (result.return_value, len(result.errors), result.attempts) == ("at last", 1, 2)


@pytest.fixture
def two(settings) -> None:
    settings.TASKS = {
        "default": {"BACKEND": BACKEND, "QUEUES": []},
        "other": {
            "BACKEND": BACKEND,
            "QUEUES": ["default"],
            "OPTIONS": {"max_retries": 1, "retry_delays": [0]},
        },
    }


def test_two_aliases(two: None, heard: list[Any]):
    result = tasks.leave.using(backend="other").enqueue()

    assert (result.backend, result.task.backend) == ("other", "other")
    assert task_backends["other"].get_result(result.id) == result
    with pytest.raises(TaskResultDoesNotExist):
        task_backends["default"].get_result(result.id)
    assert ended(result).attempts == 2  # by its OPTIONS


def test_a_task_declared_for_another_backend(settings, monkeypatch):
    settings.TASKS = {
        "default": {"BACKEND": f"{task.__module__.split('.base')[0]}.backends.dummy.DummyBackend"},
        "jobs": {"BACKEND": BACKEND},
    }
    declared = jobs.job(max_retries=0)(task(takes_context=True)(tasks.about_me.func))
    assert not isinstance(declared, JobsTask)
    monkeypatch.setattr(tasks, "about_me", declared)

    result = declared.using(backend="jobs").enqueue("you")
    assert task_backends["jobs"].get_result(result.id) == result
    assert ended(result).return_value[0] == "you"


def test_queues_of_a_backend(two: None):
    with pytest.raises(InvalidTask, match="Queue 'mail' is not valid"):
        tasks.add.using(backend="other", queue_name="mail")
    with pytest.raises(InvalidTask, match="queue="):
        tasks.add.using(queue_name="a,b")


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"OPTIONS": {"max_retry": 1}}, "unknown key 'max_retry'"),
        ({"OPTIONS": {"max_retries": -1}}, "['OPTIONS']['max_retries']: max_retries=-1"),
        ({"OPTIONS": {"timeout": "1"}}, "['OPTIONS']['timeout']"),
        ({"OPTIONS": {"atomic": True}}, "unknown key 'atomic'"),
        ({"OPTIONS": [1]}, "['OPTIONS'] is [1]"),
        ({"QUEUES": "default"}, "['QUEUES'] is 'default'"),
        ({"QUEUES": None}, "['QUEUES'] is None"),
        ({"QUEUES": ["mail", "a,b"]}, "the queue 'a,b'"),
        ({"QUEUES": [7]}, "the queue 7"),
        ({"QUEUES": [["mail"]]}, "the queue ['mail']"),
    ],
)
def test_what_is_wrong_in_the_settings_is_named(settings, params: dict[str, Any], named: str):
    settings.TASKS = {"default": {"BACKEND": BACKEND, **params}}
    found = [message for message in run_checks() if message.id == "jobs.E008"]
    assert len(found) == 1
    assert named in found[0].msg
    assert "TASKS['default']" in found[0].msg


def test_good_settings_pass(two: None):
    assert [message for message in run_checks() if message.id == "jobs.E008"] == []


def _told(program: str, folder: Path) -> str:
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=folder,
        env={"PYTHONPATH": f"{folder}:{ROOT}", "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stderr
    return told.stdout.strip()


IN_MODELS = """
from django.conf import settings
settings.configure(
    USE_TZ=True, INSTALLED_APPS=["early", "jobs", "django_q"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    TASKS={"default": {"BACKEND": "jobs.backends.JobsBackend"}},
)
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from early.models import early
from jobs.testing import drain
result = early.enqueue(2)
drain()
result.refresh()
print(result.return_value)
"""


def test_a_task_may_be_declared_while_the_apps_are_loading(tmp_path: Path):
    tmp_path.joinpath("early").mkdir()
    tmp_path.joinpath("early", "__init__.py").touch()
    framework = "django.tasks" if django.VERSION >= (6, 0) else "django_tasks"
    tmp_path.joinpath("early", "models.py").write_text(
        f"import jobs\nfrom {framework} import task\n\n"
        "@jobs.job(max_retries=1)\n@task\ndef early(n):\n    return n * 2\n"
    )
    assert _told(IN_MODELS, tmp_path) == "4"


WITHOUT = """
import sys, django
django.VERSION = (5, 2, 9, "final", 0)
sys.modules["django_tasks"] = None
from django.conf import settings
settings.configure(
    USE_TZ=True, INSTALLED_APPS=["jobs", "django_q"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    TASKS={"default": {"BACKEND": "jobs.backends.JobsBackend"}},
)
django.setup()
from django.core.exceptions import ImproperlyConfigured
try:
    import jobs.backends
except ImproperlyConfigured as error:
    print(error)
from jobs.checks import check_settings
print([message.id for message in check_settings()])
"""


def test_without_the_back_port_the_remedy_is_named(tmp_path: Path):
    said = _told(WITHOUT, tmp_path)
    assert 'install its back-port: "django-tasks>=0.12"' in said
    assert "jobs.E008" in said


@pytest.mark.smoke
@pytest.mark.django_db(transaction=True)
def test_through_a_real_cluster(cluster: Callable[..., Server], journal: Path):
    server = cluster()
    fine = tasks.add.enqueue(1, b=2)
    about = tasks.about_me.enqueue()
    asynchronous = tasks.add_async.enqueue(3)
    leaves = tasks.leave.using(max_retries=0).enqueue()
    retried = tasks.fail.enqueue("bang")
    noted = tasks.write_attempts.using(max_retries=1, retry_delays=[0]).enqueue(str(journal))

    for result in (fine, about, asynchronous, leaves, retried, noted):
        until(lambda result=result: (result.refresh(), result.is_finished)[1], 30)

    assert (fine.return_value, asynchronous.return_value) == (3, 4)
    assert len(fine.worker_ids) == 1
    # The worker's id is the same inside and after.
    assert about.return_value == ["me", about.id, 1, about.worker_ids]
    assert leaves.errors[0].exception_class is SystemExit
    assert (retried.status, retried.attempts, len(retried.errors)) == ("FAILED", 3, 3)
    assert all(error.traceback.endswith("ValueError: bang\n") for error in retried.errors)
    assert [error.traceback.splitlines()[-1] for error in noted.errors] == [
        "RuntimeError: attempt 1",
        "RuntimeError: attempt 2",
    ]
    assert journal.read_text() == "1 0\n2 1\n"
    workers = {worker for result in (fine, retried, noted) for worker in result.worker_ids}
    assert all(len(worker) < 64 and "/" in worker for worker in workers)
    # Django's own line, with its traceback, in the worker's log.
    assert f"Task id={leaves.id} path=tests.tasks.leave state=FAILED" in server.text
