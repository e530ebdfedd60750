"""What a dispatcher knows of its workers, without processes."""

from __future__ import annotations

import os
import socket
import time
import uuid
from datetime import timedelta

import pytest
from django.db import OperationalError, ProgrammingError
from django.utils import timezone

import jobs
from jobs import transitions
from jobs.engine.arena import Arena
from jobs.engine.crew import AHEAD_BELOW_SECONDS
from jobs.engine.dispatcher import Dispatcher
from jobs.engine.line import Line
from jobs.engine.wakeups import Poller
from jobs.models import Job, RecurringJob, Server
from jobs.states import State
from tests import functions
from tests.cluster import until

from .test_line import Worker, claimed, pair


@pytest.fixture
def world():
    """A dispatcher and its worker's end of a fresh line."""
    ours, sentinel = socket.socketpair()
    arena = Arena(1)
    dispatcher = Dispatcher("s", None, arena, ours)
    end, other = socket.socketpair()
    dispatcher.crew.lines[0] = Line(0, 1, end, arena.slots[0])
    with ours, sentinel, end, other:
        yield dispatcher, Worker(other, arena.slots[0])


def test_a_job_that_ends_while_the_rest_is_taken_back_is_not_sent_again(world):
    dispatcher, worker = world
    line, slot = dispatcher.crew.lines[0], worker.slot
    worker.hello()
    line.read()
    line.send([claimed(1), claimed(2)])
    slot.hold(1, [pair(1), pair(2)])
    slot.begin(pair(1), 1, 0)
    line.revoke()

    def end_just_now():
        worker.outcome(1, 1)
        slot.end()
        line.read()

    assert [job.id for job in line.take_back(end_just_now).own] == [2]


def test_what_an_earlier_dispatcher_took_back_is_not_taken_for_held(world):
    """The slot goes on showing jobs that were revoked until more messages have come."""
    dispatcher, worker = world
    slot = worker.slot
    slot.hold(1, [pair(1), pair(2)])
    slot.begin(pair(1), 1, 0)
    slot.revoke(1)
    worker.hello(message=1, foreign=0, acknowledged=0, replayed_through=0)
    dispatcher.crew.lines[0].read()
    assert dispatcher.hands.known() == {pair(1)}
    slot.end()
    assert dispatcher.hands.known() == set()


def test_before_a_worker_has_said_hello_everything_in_its_slot_is_held(world):
    dispatcher, worker = world
    worker.slot.hold(1, [pair(1), pair(2)])
    assert dispatcher.hands.known() == {pair(1), pair(2)}


def test_jobs_an_earlier_dispatcher_sent_are_held_between_two_runs(world):
    dispatcher, worker = world
    worker.slot.hold(1, [pair(1), pair(2)])
    worker.hello(message=1, foreign=1)
    dispatcher.crew.lines[0].read()
    assert pair(2) in dispatcher.hands.known()


def test_the_end_of_a_line_seen_while_taking_back_leaves_nothing_registered():
    ours, sentinel = socket.socketpair()
    dispatcher = Dispatcher("s", None, Arena(1), ours)
    end, other = socket.socketpair()
    number = end.detach()
    dispatcher._welcome(0, 1, number)
    other.close()
    dispatcher._take_in(dispatcher.crew.lines[0])  # as Recalling does
    dispatcher._bury(0, "died", True)
    again, another = socket.socketpair()
    if (got := again.detach()) != number:
        os.dup2(got, number)
        os.close(got)
    dispatcher._welcome(0, 2, number)
    dispatcher.crew.lines[0].close()
    for sock in (ours, sentinel, another):
        sock.close()


def test_nothing_is_claimed_ahead_while_every_worker_runs_a_long_job(world, monkeypatch):
    dispatcher, worker = world
    line = dispatcher.crew.lines[0]
    worker.hello()
    line.read()
    dispatcher.crew.took(0.001)
    assert dispatcher.claiming.wanted() > 1
    line.send([claimed(1)])
    worker.slot.begin(pair(1), 1, 0)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 2 * AHEAD_BELOW_SECONDS)
    assert dispatcher.claiming.wanted() == 0


def test_claimed_jobs_that_no_worker_can_take_are_given_back(world, monkeypatch):
    dispatcher, worker = world
    line = dispatcher.crew.lines[0]
    worker.hello()
    line.read()
    dispatcher.crew.took(10 * AHEAD_BELOW_SECONDS)
    line.send([claimed(1)])
    worker.slot.begin(pair(1), 1, 0)
    dispatcher.hands.buffer.append(claimed(2))
    given_back = []
    monkeypatch.setattr(
        dispatcher.chores, "give_back", lambda pairs, reason, started: given_back.extend(pairs)
    )
    dispatcher.recalling._stop_hoarding(100.0)
    dispatcher.recalling._stop_hoarding(100.9)
    assert given_back == []
    dispatcher.recalling._stop_hoarding(101.1)
    assert given_back == [pair(2)]
    assert not dispatcher.hands.buffer


# Draining


@pytest.mark.django_db
def test_a_drain_creates_due_occurrences_before_it_says_that_nothing_is_left(world):
    dispatcher, _ = world
    jobs.recurring("daily", functions.nothing, cron="0 0 * * *")
    assert not dispatcher.draining.anything_left()
    RecurringJob.objects.update(next_run=timezone.now() - timedelta(seconds=5))

    assert dispatcher.draining.anything_left()

    assert Job.objects.get().recurring_job.name == "daily"


@pytest.mark.django_db
def test_a_drain_releases_children_left_behind_before_it_says_that_nothing_is_left(world):
    dispatcher, _ = world
    parent = jobs.enqueue(functions.nothing)
    child = jobs.continue_with(parent, functions.nothing)
    # It ended, and who was to settle its children died.
    Job.objects.filter(pk=parent.pk).update(state=State.SUCCEEDED)

    assert dispatcher.draining.anything_left()

    child.refresh_from_db()
    assert child.state == State.ENQUEUED


def test_children_of_a_job_that_is_set_aside_are_settled_by_pages_like_all_others(
    world, monkeypatch
):
    """Not in the chore itself: they may be very many, and the pulse waits for a chore's end."""
    dispatcher, _ = world
    monkeypatch.setattr("jobs.transitions.crash", lambda pairs, cause: pairs)
    dispatcher._settle_death(1, pair(7), [], "worker 1 died", counted=True)
    assert dispatcher._ended == [7]


@pytest.mark.django_db
def test_what_was_taken_back_from_a_worker_and_runs_on_another_stays_there_when_the_first_dies():
    for number in (1, 2):
        jobs.enqueue(functions.add, 1, number)
    token = uuid.uuid4().hex
    long, short = transitions.claim("default", 2, server="s", token=token, idle=2)
    dispatcher = Dispatcher("s", None, arena := Arena(2), socket.socketpair()[0])
    workers = []
    for index in range(2):
        ours, theirs = socket.socketpair()
        dispatcher._welcome(index, 100 + index, ours.detach())
        workers.append(Worker(theirs, arena.slots[index]))
        workers[index].hello()
        dispatcher.crew.lines[index].read()
    first, second = dispatcher.crew.lines.values()
    first.send([long, short])
    workers[0].slot.hold(1, [(job.id, token) for job in (long, short)])
    workers[0].slot.begin((long.id, token), 1, 0)
    first.revoke()
    assert first.take_back(lambda: dispatcher._take_in(first)).own == [short]
    second.send([short])

    dispatcher._bury(0, "it was killed", True)
    dispatcher._work_off_chores()

    states = dict(Job.objects.values_list("pk", "state"))
    assert states == {long.id: "enqueued", short.id: "processing"}


@pytest.mark.django_db(transaction=True)
def test_a_chore_that_is_refused_does_not_hold_up_those_behind_it(world):
    dispatcher, _worker = world
    done = []

    def refused():
        if not repaired:
            raise ProgrammingError("there is no such column")
        done.append("first")

    repaired = False
    dispatcher.chores.add(refused)
    dispatcher.chores.add(lambda: done.append("second"))
    dispatcher._work_off_chores()
    assert done == ["second"]
    assert len(dispatcher.chores) == 1
    assert dispatcher._timeout() > 0, "it does not spin"
    repaired = True
    until(lambda: dispatcher._work_off_chores() or not dispatcher.chores)
    assert done == ["second", "first"]


@pytest.mark.django_db(transaction=True)
def test_while_the_database_is_away_chores_wait_in_their_order(world):
    dispatcher, _worker = world
    done = []

    def away():
        raise OperationalError("no route to host")

    dispatcher.chores.add(away)
    dispatcher.chores.add(lambda: done.append("second"))
    dispatcher._work_off_chores()
    assert (done, len(dispatcher.chores)) == ([], 2)


@pytest.mark.django_db(transaction=True)
def test_a_job_in_a_queue_that_is_newer_than_the_list_does_not_wait_for_the_next_poll(world):
    dispatcher, worker = world
    Server.objects.create(name="s", host="h", pid=1, heartbeat_at=timezone.now())
    dispatcher._wakeup = Poller()
    dispatcher.arena.confirmed.touch()
    worker.hello()
    dispatcher.crew.lines[0].read()
    dispatcher._read_queues()
    jobs.using(functions.add, queue=f"new-{uuid.uuid4().hex[:8]}").enqueue(1, 2)

    dispatcher.claiming.hear(sure=False)  # a poll; the list is not old enough to be read again
    dispatcher._claim()
    assert not dispatcher.hands.buffer
    assert dispatcher._timeout() < 0.1
    until(lambda: dispatcher._recall() or dispatcher._claim() or dispatcher.hands.buffer, 0.5)
