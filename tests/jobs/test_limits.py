"""Ending a function from outside: its time is up, or its job was deleted."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from datetime import timedelta

import pytest
from django.db.transaction import Atomic

import jobs
from jobs import transitions
from jobs.limits import CANCEL_SIGNAL
from jobs.models import Job
from jobs.outcomes import Claimed, Kind, Outcome
from jobs.runner import execute
from tests import functions
from tests.functions import busy, busy_async

# An interruption costs the connections, and with them a test's transaction.
pytestmark = pytest.mark.django_db(transaction=True)


class Desk:
    """What the engine's slot is to a run."""

    def __init__(self, cancelled: bool = False) -> None:
        self.cancelled = cancelled
        self.deadlines: list[float] = []

    def set_deadline(self, moment: float) -> None:
        self.deadlines.append(moment)

    def is_cancelled(self, token: str) -> bool:
        return self.cancelled


def claim(job: Job) -> Claimed:
    [claimed] = transitions.claim(job.queue, 1, server="s", token=uuid.uuid4().hex, idle=1)
    return claimed


def run(job: Job, desk: Desk) -> Outcome:
    return execute(claim(job), "w", desk)


@pytest.mark.parametrize("function", [busy, busy_async])
def test_a_function_is_ended_when_its_time_is_up(function) -> None:
    job = jobs.using(function, timeout=0.1, max_retries=3).enqueue(5)
    desk, began = Desk(), time.monotonic()
    outcome = run(job, desk)
    ended = time.monotonic()
    assert ended - began < 3, "well before its five seconds, on a busy machine too"
    assert (outcome.kind, outcome.error_type) == (Kind.RETRY, "jobs.exceptions.JobTimeout")
    assert outcome.reason == "retry 1 of 3 after JobTimeout: it ran longer than its 0.1 s"
    assert began + 0.1 <= desk.deadlines[0] <= ended
    assert desk.deadlines[-1] == 0


def test_a_function_that_is_quick_enough_is_left_alone() -> None:
    job = jobs.using(busy, timeout=timedelta(seconds=0.3)).enqueue(0.05)
    assert run(job, Desk()).kind == Kind.SUCCEEDED
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


@pytest.mark.parametrize("function", [busy, busy_async])
def test_a_deleted_job_is_ended_by_the_signal(function) -> None:
    job = jobs.enqueue(function, 5)
    desk = Desk()

    def delete() -> None:
        desk.cancelled = True
        os.kill(os.getpid(), CANCEL_SIGNAL)

    timer = threading.Timer(0.1, delete)
    timer.start()
    outcome = run(job, desk)
    timer.join()
    assert (outcome.kind, outcome.reason) == (
        Kind.DELETED,
        "cancelled: the job was deleted while it ran",
    )


def test_a_job_that_was_deleted_before_its_function_began_never_begins(journal) -> None:
    job = jobs.enqueue(functions.note, str(journal), "ran")
    assert run(job, Desk(cancelled=True)).kind == Kind.DELETED
    assert journal.read_text() == ""


def test_a_function_can_ask_whether_it_was_deleted() -> None:
    job = jobs.enqueue(functions.ask_whether_cancelled)
    outcome = execute(claim(job), "w")
    assert '"value":[false,null]' in outcome.data


def test_an_interruption_is_not_swallowed_by_except_exception() -> None:
    job = jobs.using(functions.swallow, timeout=0.1, max_retries=0).enqueue("Exception", 5)
    assert run(job, Desk()).kind == Kind.FAILED


def test_a_function_that_swallows_everything_is_interrupted_once() -> None:
    job = jobs.using(functions.swallow, timeout=0.1, max_retries=0).enqueue("BaseException", 0.3)
    assert run(job, Desk()).kind == Kind.SUCCEEDED  # nobody killed it here


def test_a_stray_signal_between_jobs_does_nothing() -> None:
    job = jobs.using(busy, timeout=0.2).enqueue(0.01)
    run(job, Desk())
    os.kill(os.getpid(), signal.SIGALRM)
    os.kill(os.getpid(), CANCEL_SIGNAL)


def test_a_job_that_raises_job_cancelled_deletes_itself() -> None:
    job = jobs.enqueue(functions.cancel_myself)
    jobs.testing.drain()
    job.refresh_from_db()
    assert (job.state, job.reason) == ("deleted", "cancelled: nothing to do")


def test_the_setting_limits_jobs_that_say_nothing(settings) -> None:
    settings.JOBS = {"TIMEOUT_SECONDS": 0.1}
    job = jobs.using(busy, max_retries=0).enqueue(5)
    assert run(job, Desk()).error_type == "jobs.exceptions.JobTimeout"


@pytest.mark.parametrize("value", [0, -1, "5", True, float("nan"), timedelta(0)])
def test_a_bad_timeout_is_refused(value) -> None:
    with pytest.raises(jobs.InvalidOption, match="timeout="):
        jobs.using(busy, timeout=value)


@pytest.mark.parametrize("where", ["__enter__", "__exit__"])
def test_an_interruption_inside_a_transaction_s_own_code_costs_no_later_job(
    monkeypatch, where: str
) -> None:
    """Between two lines of Django's that belong together its connection believes what is untrue."""
    plain = getattr(Atomic, where)

    def interrupted(self: Atomic, *args: object) -> None:
        plain(self, *args)
        if where == "__enter__":
            os.kill(os.getpid(), CANCEL_SIGNAL)

    def interrupted_first(self: Atomic, *args: object) -> None:
        os.kill(os.getpid(), CANCEL_SIGNAL)
        plain(self, *args)

    job = jobs.enqueue(functions.in_transaction)
    follower = jobs.enqueue(functions.in_transaction)
    claimed, after = claim(job), claim(follower)
    desk = Desk()

    def go() -> None:
        desk.cancelled = True
        monkeypatch.setattr(
            Atomic, where, interrupted if where == "__enter__" else interrupted_first
        )

    monkeypatch.setattr(functions, "before_transaction", go)
    assert execute(claimed, "w", desk).kind == Kind.DELETED
    monkeypatch.undo()
    assert execute(after, "w", Desk()).kind == Kind.SUCCEEDED


def test_an_interruption_that_hits_a_destructor_comes_again() -> None:
    job = jobs.using(functions.busy_in_destructors, timeout=0.05, max_retries=0).enqueue(5)
    began = time.monotonic()
    assert run(job, Desk()).error_type == "jobs.exceptions.JobTimeout"
    assert time.monotonic() - began < 2


def test_sync_code_of_an_async_function_is_interrupted() -> None:
    job = jobs.using(functions.busy_sync_in_async, timeout=0.1, max_retries=0).enqueue(5)
    began = time.monotonic()
    assert run(job, Desk()).error_type == "jobs.exceptions.JobTimeout"
    assert time.monotonic() - began < 2


def test_an_async_function_whose_time_is_up_before_its_loop_runs_never_begins(journal) -> None:
    job = jobs.using(functions.note_async, max_retries=0).enqueue(str(journal), "ran")
    assert run(job, Desk(cancelled=True)).kind == Kind.DELETED
    for milliseconds in range(1, 8):
        call = jobs.using(functions.sleep_async, timeout=milliseconds / 1000, max_retries=0)
        assert run(call.enqueue(), Desk()).kind == Kind.FAILED
    assert journal.read_text() == ""


def test_a_fork_that_comes_out_of_the_function_is_no_second_worker(journal) -> None:
    job = jobs.enqueue(functions.fork, str(journal))
    outcome = run(job, Desk())
    assert outcome.kind == Kind.SUCCEEDED
    assert '"value":[0,1]' in outcome.data
    assert journal.read_text().splitlines() == ["parent"]
