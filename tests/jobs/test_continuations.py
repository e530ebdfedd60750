"""Jobs that wait for others."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction
from django.utils import timezone

import jobs
from jobs import continuations, transitions
from jobs.continuations import Condition
from jobs.models import Job
from jobs.outcomes import Kind, Outcome
from jobs.serialization import dumps
from jobs.states import State
from tests import functions

pytestmark = pytest.mark.django_db


def state_of(job: Job) -> tuple[str, str]:
    job.refresh_from_db()
    return job.state, job.reason


def end(job: Job, how: str) -> None:
    """Bring `job` into a final state, as an engine would."""
    if how == "deleted":
        transitions.delete([job.pk], "deleted")
    else:
        token = uuid.uuid4().hex
        transitions.claim(job.queue, 100, server="s", token=token, idle=1)
        kind = Kind.SUCCEEDED if how == "succeeded" else Kind.FAILED
        transitions.record([Outcome(job.pk, token, kind, "", dumps({}), 0.0)])
    continuations.settle([job.pk])


TABLE = [
    ("succeeded", "succeeded", "enqueued"),
    ("succeeded", "failed", "awaiting"),
    ("succeeded", "deleted", "deleted"),
    ("failed", "succeeded", "deleted"),
    ("failed", "failed", "enqueued"),
    ("failed", "deleted", "deleted"),
    ("deleted", "succeeded", "deleted"),
    ("deleted", "failed", "awaiting"),
    ("deleted", "deleted", "enqueued"),
    ("finished", "succeeded", "enqueued"),
    ("finished", "failed", "enqueued"),
    ("finished", "deleted", "enqueued"),
]


@pytest.mark.parametrize(("on", "parent_ends", "child"), TABLE)
def test_what_becomes_of_a_child(on: str, parent_ends: str, child: str) -> None:
    parent = jobs.enqueue(functions.add, 1)
    job = jobs.continue_with(parent, functions.add, 2, on=on)
    assert job.state == State.AWAITING
    end(parent, parent_ends)
    assert state_of(job)[0] == child


@pytest.mark.parametrize(("on", "parent_ends", "child"), TABLE)
def test_the_sweep_comes_to_the_same(on: str, parent_ends: str, child: str, monkeypatch) -> None:
    parent = jobs.enqueue(functions.add, 1)
    job = jobs.continue_with(parent, functions.add, 2, on=on)
    with monkeypatch.context() as patch:
        patch.setattr(continuations, "settle", lambda parents: [])
        end(parent, parent_ends)
    assert state_of(job)[0] == State.AWAITING
    continuations.sweep()
    assert state_of(job)[0] == child


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("on", "parent_ends", "child"), TABLE)
def test_a_parent_may_have_ended_already(on: str, parent_ends: str, child: str) -> None:
    parent = jobs.enqueue(functions.add, 1)
    end(parent, parent_ends)
    job = jobs.continue_with(parent, functions.add, 2, on=on)
    assert state_of(job)[0] == child


@pytest.mark.django_db(transaction=True)
def test_a_parent_that_ends_while_its_child_is_being_added() -> None:
    parent = jobs.enqueue(functions.add, 1)
    with transaction.atomic():
        job = jobs.continue_with(parent, functions.add, 2)
        # As the recorder does, which does not see a child that is not committed.
        Job.objects.filter(pk=parent.pk).update(state=State.SUCCEEDED)
    assert state_of(job) == ("enqueued", "its parent has succeeded")


def test_a_whole_chain_runs_in_order_and_hands_results_on() -> None:
    first = jobs.enqueue(functions.add, 1, 2)
    second = jobs.continue_with(first, functions.add_to_parent, 10)
    third = jobs.continue_with(second, functions.add_to_parent, 100)
    jobs.testing.drain()
    for job in (first, second, third):
        job.refresh_from_db()
    assert [first.result, second.result, third.result] == [3, 13, 113]


def test_an_async_child_reads_its_parent_s_result() -> None:
    parent = jobs.enqueue(functions.add, 1, 2)
    child = jobs.continue_with(parent, functions.async_add_to_parent, 10)

    assert [outcome.reason for outcome in jobs.testing.drain()] == ["", ""]

    child.refresh_from_db()
    assert child.result == [13, 13]
    assert async_to_sync(child.aresult)() == [13, 13]


def test_the_result_of_a_job_read_with_its_history_needs_no_query(
    django_assert_num_queries,
) -> None:
    parent = jobs.enqueue(functions.add, 1, 2)
    jobs.testing.drain()
    [job] = Job.objects.filter(pk=parent.pk).prefetch_related("history")

    with django_assert_num_queries(0):
        assert job.result == 3


def test_a_requeued_parent_that_succeeds_again_releases_nobody_twice() -> None:
    parent = jobs.enqueue(functions.add, 1)
    job = jobs.continue_with(parent, functions.add, 2)
    jobs.testing.drain()
    jobs.requeue(parent)
    jobs.testing.drain()
    job.refresh_from_db()
    assert (job.state, job.attempt) == (State.SUCCEEDED, 1)


def test_a_failed_parent_that_is_requeued_and_succeeds_releases_its_child() -> None:
    parent = jobs.using(functions.fail_once, max_retries=0).enqueue()
    job = jobs.continue_with(parent, functions.add, 2)
    jobs.testing.drain()
    assert (state_of(parent)[0], state_of(job)[0]) == ("failed", "awaiting")
    jobs.requeue(parent)
    jobs.testing.drain()
    assert (state_of(parent)[0], state_of(job)[0]) == ("succeeded", "succeeded")


def test_grandchildren_of_a_deleted_job_are_given_up_too() -> None:
    parent = jobs.enqueue(functions.add, 1)
    child = jobs.continue_with(parent, functions.add, 2)
    grandchild = jobs.continue_with(child, functions.add, 3)
    mourner = jobs.continue_with(child, functions.add, 3, on="deleted")
    end(parent, "deleted")
    assert state_of(child) == ("deleted", "its parent has been deleted, it waited for: succeeded")
    assert state_of(grandchild)[0] == "deleted"
    assert state_of(mourner)[0] == "enqueued"


def test_a_parent_deleted_while_it_runs_holds_its_child_back_until_the_run_has_ended() -> None:
    parent = jobs.enqueue(functions.add, 1)
    job = jobs.continue_with(parent, functions.add, 2, on="finished")
    transitions.claim("default", 1, server="s", token="a" * 32, idle=1)
    transitions.delete([parent.pk], "deleted")
    continuations.settle([parent.pk])
    continuations.sweep()
    assert state_of(job)[0] == "awaiting"
    transitions.record([Outcome(parent.pk, "a" * 32, Kind.SUCCEEDED, "", dumps({}), 0.0)])
    continuations.settle([parent.pk])
    assert state_of(job)[0] == "enqueued"


def test_a_child_whose_parent_is_gone_is_given_up() -> None:
    parent = jobs.enqueue(functions.add, 1)
    job = jobs.continue_with(parent, functions.add, 2)
    Job.objects.filter(pk=parent.pk)._raw_delete("default")
    continuations.sweep()
    assert state_of(job) == ("deleted", f"its parent #{parent.pk} does not exist any more")


def test_options_of_the_child_hold() -> None:
    parent = jobs.enqueue(functions.add, 1)
    job = jobs.continue_with(
        parent, functions.declared.using(queue="later", run_after=timedelta(hours=1)), 2
    )
    end(parent, "succeeded")
    job.refresh_from_db()
    assert (job.queue, job.priority, job.state) == ("later", 5, State.SCHEDULED)
    assert job.run_at > timezone.now()


def test_bad_calls_are_refused_and_write_nothing() -> None:
    parent = jobs.enqueue(functions.add, 1)
    with pytest.raises(jobs.InvalidOption, match=r"on='success' must be one of succeeded, failed"):
        jobs.continue_with(parent, functions.add, 2, on="success")
    with pytest.raises(jobs.IllegalTransition, match="#12345: there is no such job"):
        jobs.continue_with(12345, functions.add, 2)
    with pytest.raises(jobs.InvalidArguments):
        jobs.continue_with(parent, functions.add)
    assert Job.objects.count() == 1


def test_settling_a_batch_without_children_is_one_statement(django_assert_num_queries) -> None:
    jobs.enqueue_many(functions.nothing, [(i,) for i in range(300)])
    ids = list(Job.objects.values_list("pk", flat=True))
    with django_assert_num_queries(1):
        continuations.settle(ids)


def test_releasing_many_children_is_a_constant_number_of_statements(
    django_assert_max_num_queries,
) -> None:
    parent = jobs.enqueue(functions.add, 1)
    for _ in range(100):
        jobs.continue_with(parent, functions.nothing)
    Job.objects.filter(pk=parent.pk).update(state=State.SUCCEEDED)
    with django_assert_max_num_queries(8):
        continuations.settle([parent.pk])
    assert Job.objects.filter(state=State.ENQUEUED).count() == 100


def test_every_condition_has_a_verdict_for_every_end() -> None:
    assert {(on, end) for on, end, _ in TABLE} == {
        (str(on), str(end)) for on in Condition for end in continuations.VERDICTS[on]
    }
