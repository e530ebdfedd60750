"""Arguments and options come back exactly: as JSON where that can, else in a signed package."""

from datetime import datetime
from decimal import Decimal

import pytest
from django.contrib.auth.models import Group
from django_q.signals import pre_enqueue, pre_execute
from django_q.tasks import async_chain, async_task, fetch, fetch_group, result

from jobs.foreign import VIA
from jobs.models import Job
from jobs.states import State
from jobs.testing import drain

pytestmark = pytest.mark.django_db

KIND = "tests.functions.kind"


@pytest.mark.parametrize(
    "value", [None, True, 1, 1.5, "text \x00 ä", [1, [2]], {"a": [{}]}], ids=repr
)
def test_what_json_keeps_is_kept_as_json(value):
    task_id = async_task(KIND, value)

    job = Job.objects.get()
    assert (job.args, "call" in job.options[VIA]) == ([value], False)
    drain()
    assert (result(task_id), fetch(task_id).args) == (type(value).__name__, (value,))


@pytest.mark.parametrize(
    "value",
    [(1, 2), {1: 2}, [(1,)], {1}, b"x", Decimal(1), datetime(2026, 1, 1), float("inf"), "\ud800"],
    ids=repr,
)
def test_what_json_would_change_is_kept_signed(value):
    task_id = async_task(KIND, value)

    job = Job.objects.get()
    assert (job.args, "call" in job.options[VIA]) == ([], True)
    drain()
    assert (result(task_id), fetch(task_id).args) == (type(value).__name__, (value,))


def test_a_model_instance_comes_along():
    group = Group.objects.create(name="staff")

    task_id = async_task("tests.functions.kind", value=group)
    drain()

    assert (result(task_id), fetch(task_id).kwargs) == ("Group", {"value": group})


def test_what_holds_itself_or_is_very_deep_comes_along():
    loop = []
    loop.append(loop)
    async_task(KIND, loop)

    assert len(drain()) == 1
    assert Job.objects.get().result == "list"


def test_what_was_signed_by_somebody_else_is_not_unpickled(monkeypatch):
    task_id = async_task(KIND, (1, 2))
    monkeypatch.setattr("django_q.conf.Conf.SECRET_KEY", "another")

    drain()

    job = Job.objects.get()
    assert (job.state, job.error_type) == (State.SCHEDULED, "django.core.signing.BadSignature")
    assert fetch(task_id).success is False
    assert fetch(task_id).args == ()


def test_nor_is_the_chain_behind_it(monkeypatch):
    group = async_chain([(KIND, (1,)), (KIND, ((1, 2),))])
    monkeypatch.setattr("django_q.conf.Conf.SECRET_KEY", "another")

    drain()

    [task] = fetch_group(group)
    assert (task.success, "BadSignature" in task.result) == (False, True)


def test_what_a_receiver_adds_to_the_task_is_there_when_it_runs():
    seen = []

    def add(task, **kwargs):
        task["tenant"], task["limits"] = "acme", (1, 2)

    def look(task, **kwargs):
        seen.append((task["tenant"], task["limits"]))

    pre_enqueue.connect(add)
    pre_execute.connect(look)
    try:
        async_task(KIND, 1)
        drain()
    finally:
        pre_enqueue.disconnect(add)
        pre_execute.disconnect(look)

    assert seen == [("acme", (1, 2))]
