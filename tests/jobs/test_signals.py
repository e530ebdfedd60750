"""What other code hears, and what it may put around a job."""

from __future__ import annotations

import sys
from contextlib import contextmanager, suppress
from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.tasks import async_task

import jobs
from jobs import occurrences, signals
from jobs.models import Job
from jobs.states import State
from tests import functions

pytestmark = pytest.mark.django_db


@pytest.fixture
def heard():
    found = []

    def note(name):
        def receiver(**kwargs):
            found.append((name, kwargs))

        return receiver

    receivers = {name: note(name) for name in ("job_enqueued", "job_started", "job_finished")}
    receivers["state_changed"] = note("state_changed")
    for name, receiver in receivers.items():
        getattr(signals, name).connect(receiver)
    yield found
    for name, receiver in receivers.items():
        getattr(signals, name).disconnect(receiver)


@pytest.mark.django_db(transaction=True)
def test_the_life_of_a_job_is_told(heard):
    job = jobs.enqueue(functions.add, 1)
    jobs.testing.drain()
    assert [name for name, _ in heard] == [
        "job_enqueued",
        "state_changed",
        "job_started",
        "job_finished",
        "state_changed",
    ]
    assert heard[0][1]["jobs"] == [job]
    assert (heard[2][1]["job"].id, heard[3][1]["outcome"].kind) == (job.pk, "succeeded")
    changes = [(k["ids"], k["source"], k["target"]) for n, k in heard if n == "state_changed"]
    assert changes == [
        ([job.pk], State.ENQUEUED, State.PROCESSING),
        ([job.pk], State.PROCESSING, State.SUCCEEDED),
    ]


def many():
    jobs.enqueue_many(functions.add, [(1,), (2,)])


def occurrence():
    soon = timezone.now() + timedelta(minutes=2)
    jobs.recurring("add", functions.add, args=[1], cron="* * * * *")
    occurrences.create_due(as_of=soon)


def hook():
    async_task("tests.functions.add", 1, hook="tests.functions.nothing")
    jobs.testing.drain()


@pytest.mark.parametrize("insert", [many, occurrence, hook])
def test_jobs_that_are_inserted_together_are_told_without_ids(heard, insert):
    insert()
    told = [kwargs["jobs"] for name, kwargs in heard if name == "job_enqueued"][-1]
    assert {job.pk for job in told} == {None}
    stored = list(Job.objects.order_by("pk"))[-len(told) :]
    assert [(j.func, j.args, j.queue, j.created_at) for j in told] == [
        (j.func, j.args, j.queue, j.created_at) for j in stored
    ]


def test_a_job_that_is_enqueued_by_itself_is_told_with_its_id(heard):
    job = jobs.enqueue(functions.add, 1)
    [(_, told)] = heard
    assert [each.pk for each in told["jobs"]] == [job.pk]


def test_a_failure_is_told_while_its_error_is_the_current_one():
    seen = []

    def receiver(*, error, **kwargs):
        seen.append((error, sys.exception() if sys.version_info >= (3, 11) else None))

    signals.job_finished.connect(receiver)
    try:
        jobs.enqueue(functions.fail)
        jobs.testing.drain()
    finally:
        signals.job_finished.disconnect(receiver)
    [(error, current)] = seen
    assert isinstance(error, ValueError)
    assert error is current


def test_a_receiver_that_raises_stops_nothing():
    def receiver(**kwargs):
        raise RuntimeError("bad receiver")

    for signal in (signals.job_enqueued, signals.job_started, signals.job_finished):
        signal.connect(receiver)
    try:
        jobs.enqueue(functions.add, 1)
        jobs.testing.drain()
    finally:
        for signal in (signals.job_enqueued, signals.job_started, signals.job_finished):
            signal.disconnect(receiver)
    assert Job.objects.get().state == State.SUCCEEDED


entered = []


@contextmanager
def outer(job):
    entered.append(("outer", job.id))
    yield
    entered.append(("outer left", job.id))


@contextmanager
def inner(job):
    entered.append(("inner", job.id))
    yield


@contextmanager
def broken(job):
    raise LookupError("no such tenant")
    yield


@contextmanager
def swallowing(job):
    with suppress(ValueError):
        yield


def test_context_managers_are_put_around_each_execution(settings):
    settings.JOBS = {"AROUND": [f"{__name__}.outer", f"{__name__}.inner"]}
    entered.clear()
    job = jobs.enqueue(functions.add, 1)
    jobs.testing.drain()
    assert entered == [("outer", job.pk), ("inner", job.pk), ("outer left", job.pk)]


def test_a_context_manager_that_raises_fails_the_job(settings):
    settings.JOBS = {"AROUND": [f"{__name__}.broken"], "MAX_RETRIES": 0}
    job = jobs.enqueue(functions.add, 1)
    jobs.testing.drain()
    job.refresh_from_db()
    assert (job.state, job.error_type) == (State.FAILED, "LookupError")


def test_a_context_manager_that_swallows_the_error_does_not_make_a_success(settings):
    settings.JOBS = {"AROUND": [f"{__name__}.swallowing"], "MAX_RETRIES": 0}
    job = jobs.enqueue(functions.fail)
    jobs.testing.drain()
    job.refresh_from_db()
    assert job.state == State.FAILED
    assert "swallowed the job's error" in job.reason


@contextmanager
def raising_at_the_end(job):
    yield
    raise LookupError("while leaving")


@jobs.job(atomic=True, timeout=5)
def committed():
    return 1


def test_a_context_manager_that_raises_after_the_commit_changes_nothing(settings, heard):
    settings.JOBS = {"AROUND": [f"{__name__}.raising_at_the_end"]}
    job = jobs.enqueue(committed)
    jobs.testing.drain()
    job.refresh_from_db()
    assert job.state == State.SUCCEEDED
    [told] = [kwargs["outcome"].kind for name, kwargs in heard if name == "job_finished"]
    assert told == "succeeded"
