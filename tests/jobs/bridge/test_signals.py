"""django-q2's signals and error reporters hear of tasks, and of the user's function."""

import sys

import pytest
from django_q import conf as q_conf
from django_q.signals import post_execute, post_execute_in_worker, pre_enqueue, pre_execute
from django_q.tasks import async_task, result

import jobs
from jobs import bridge, signals
from jobs.models import Job
from jobs.states import State
from jobs.testing import drain
from tests import functions

pytestmark = pytest.mark.django_db

ADD = "tests.functions.add"


@pytest.fixture
def heard():
    found, receivers = [], []
    for name, signal in (
        ("pre_enqueue", pre_enqueue),
        ("pre_execute", pre_execute),
        ("post_execute_in_worker", post_execute_in_worker),
        ("post_execute", post_execute),
    ):

        def receiver(name=name, **told):
            found.append((name, told.get("func"), dict(told["task"])))

        signal.connect(receiver)
        receivers.append((signal, receiver))
    yield found
    for signal, receiver in receivers:
        signal.disconnect(receiver)


def test_the_life_of_a_task_is_told(heard):
    task_id = async_task(ADD, 1, group="a", save=False)
    drain()

    names, funcs, tasks = zip(*heard, strict=True)
    assert names == ("pre_enqueue", "pre_execute", "post_execute_in_worker", "post_execute")
    assert funcs[1:3] == (functions.add, functions.add)
    assert {task["id"] for task in tasks} == {task_id}
    before, after = tasks[1], tasks[3]
    assert (before["func"], before["args"], before["kwargs"]) == (ADD, (1,), {})
    assert (before["group"], before["save"], "result" in before) == ("a", False, False)
    assert (after["result"], after["success"]) == (2, True)
    assert after["stopped"] >= after["started"]


def test_the_function_behind_a_decorator_is_told(heard):
    async_task(functions.declared, 1)
    drain()

    assert heard[1][1] is functions.declared.func


def test_a_receiver_may_change_the_arguments():
    def change(task, **kwargs):
        task["args"] = (5,)

    pre_execute.connect(change)
    try:
        task_id = async_task(ADD, 1)
        drain()
    finally:
        pre_execute.disconnect(change)

    assert result(task_id) == 6


def test_a_receiver_that_raises_before_fails_the_job_and_one_after_does_not():
    def bad(**kwargs):
        raise RuntimeError("bad receiver")

    pre_execute.connect(bad)
    async_task(ADD, 1)
    drain()
    pre_execute.disconnect(bad)
    assert Job.objects.get().error_type == "RuntimeError"

    post_execute.connect(bad)
    task_id = async_task(ADD, 1)
    drain()
    post_execute.disconnect(bad)
    assert result(task_id) == 2


def test_jobs_of_our_own_api_are_not_told_as_tasks(heard):
    jobs.enqueue(ADD, 1)
    drain()

    assert heard == []


def test_error_reporters_are_called_for_every_failure_with_the_error_at_hand(monkeypatch):
    class Reporter:
        seen: list = []

        def report(self):
            self.seen.append(sys.exc_info()[1])

    monkeypatch.setattr(q_conf, "error_reporter", q_conf.ErrorReporter([Reporter()]))
    bridge.install()
    try:
        async_task("tests.functions.fail", "one")
        jobs.enqueue("tests.functions.fail", "two")
        async_task(ADD, 1)
        drain()
    finally:
        signals.job_finished.disconnect(dispatch_uid=f"{bridge.__name__}.report")

    assert sorted(map(str, Reporter.seen)) == ["one", "two"]
    assert Job.objects.filter(state=State.SUCCEEDED).count() == 1
