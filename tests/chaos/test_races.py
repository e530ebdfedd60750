"""Two connections want the same jobs at the same time: one waits, nobody deadlocks."""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import Error, connection, connections, transaction

import jobs
from jobs import continuations, transitions
from jobs.models import HistoryEntry, Job, Queue
from jobs.outcomes import Kind, Outcome
from jobs.races import Locked, Raced, is_deadlock, repeat_when_raced
from jobs.states import State
from tests import functions
from tests.cluster import until

from .checks import inconsistencies
from .figures import Record, exactly, shown
from .work import session

Scale = Callable[[Any, Any], Any]
pytestmark = [pytest.mark.timeout(600), pytest.mark.django_db(transaction=True)]


#: What a run that succeeded leaves in its history.
RESULT = '{"result": {"value": 1}}'


class Other:
    """A thread with a connection of its own that does one thing."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work, self.result, self.error = work, None, None
        self.session: int | None = None
        self.begun, self.done = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            connection.ensure_connection()
            self.session = session()
            self.begun.set()
            self.result = self.work()
        except Exception as error:
            self.error = error
        finally:
            connection.close()
            self.done.set()

    def waits(self) -> bool:
        """Whether it is seen to wait for a lock; polled until it is seen or it has ended."""
        self.begun.wait(10)
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline and not self.done.is_set():
            if _is_blocked(self.session):
                return True
            # MariaDB shows nothing new to who asks more often than each 0.1 s.
            self.done.wait(0.12)
        # SQLite shows nobody's waiting: there it is who has not ended while the lock is held.
        return connection.vendor == "sqlite" and not self.done.is_set()

    def end(self) -> Any:
        assert self.done.wait(20)
        self._thread.join()
        if self.error is not None:
            raise self.error
        return self.result


def _is_blocked(other: int | None) -> bool:
    if connection.vendor == "sqlite":
        return False
    # A connection of its own: ours is in a transaction, which would see the past only.
    watcher = connections["default"].copy()
    try:
        with watcher.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SELECT cardinality(pg_blocking_pids(%s))", [other])
            else:
                cursor.execute(
                    "SELECT count(*) FROM information_schema.innodb_trx"
                    " WHERE trx_mysql_thread_id = %s AND trx_state = 'LOCK WAIT'",
                    [other],
                )
            return bool(cursor.fetchone()[0])
    finally:
        watcher.close()


class Race:
    """The first holds its transaction open until the second has been seen to wait, or has ended."""

    def __init__(self, first: Callable[[], Any], second: Callable[[], Any]) -> None:
        with transaction.atomic():
            self.first = first()
            other = Other(second)
            self.waited = other.waits()
            self.ended_before = other.done.is_set()
        self.second = other.end()


def enqueued(count: int = 1) -> list[int]:
    jobs.enqueue_many(functions.nothing, [(n,) for n in range(count)])
    return list(Job.objects.order_by("id").values_list("pk", flat=True))


def claim(limit: int = 10) -> transitions.Claims:
    token = uuid.uuid4().hex
    return transitions.claim("default", limit, server="s", token=token, idle=limit)


def outcomes(claims: transitions.Claims) -> list[Outcome]:
    return [Outcome(c.id, c.token, Kind.SUCCEEDED, "", RESULT, 0.0) for c in claims]


def insistently(work: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Do as a dispatcher, which comes back when rows are locked: nobody else lets go of them."""
    while True:
        try:
            return work(*args, **options)
        except Locked:
            time.sleep(0.01)


def record(found: list[Outcome]) -> list[Outcome]:
    return insistently(repeat_when_raced(transitions.record), found)


def claim_then_delete() -> Race:
    ids = enqueued(3)
    race = Race(claim, lambda: transitions.delete(ids, "by hand"))
    assert len(race.first) == 3
    assert all(job.is_stopping for job in Job.objects.all()), "deleted while they run"
    transitions.record(outcomes(race.first))
    return race


def delete_then_claim() -> Race:
    ids = enqueued(3)
    race = Race(lambda: transitions.delete(ids[:2], "by hand"), claim)
    assert [claimed.id for claimed in race.second] == ids[2:], "what is deleted is not claimed"
    return race


def claim_then_pause() -> Race:
    enqueued(3)
    Queue.objects.get_or_create(name="default")
    race = Race(claim, lambda: jobs.pause_queue("default"))
    assert (len(race.first), race.second) == (3, True)
    return race


def pause_then_claim() -> Race:
    enqueued(3)
    Queue.objects.get_or_create(name="default")
    race = Race(lambda: jobs.pause_queue("default"), claim)
    assert (race.first, len(race.second)) == (True, 3), "a pause is read before a claim, not in it"
    return race


def outcome_then_requeue() -> Race:
    ids = enqueued(3)
    claims = claim()
    race = Race(
        lambda: transitions.record(outcomes(claims)), lambda: transitions.requeue(ids, "by hand")
    )
    assert race.first == []
    assert race.second.ids == ids, "they had succeeded by then"
    assert set(Job.objects.values_list("state", flat=True)) == {State.ENQUEUED}
    return race


def given_back_then_outcome() -> Race:
    enqueued(3)
    claims = claim()
    race = Race(
        lambda: transitions.give_back([(c.id, c.token) for c in claims], "lost", started=True),
        lambda: record(outcomes(claims)),
    )
    assert len(race.second) == 3, "the late outcomes are refused"
    assert set(Job.objects.values_list("state", flat=True)) == {State.ENQUEUED}
    return race


def release_twice() -> Race:
    parent = jobs.enqueue(functions.nothing)
    for n in range(3):
        jobs.continue_with(parent, functions.nothing, n)
    transitions.record(outcomes(claim()))
    race = Race(lambda: continuations.settle([parent.pk]), continuations.sweep)
    assert len(race.first) == 3
    assert race.second == []
    assert HistoryEntry.objects.filter(state=State.AWAITING).count() == 3, "each released once"
    return race


#: Each race, and whether the second has to wait for the first; where all are one writer, always.
RACES = {
    claim_then_delete: True,
    delete_then_claim: False,
    claim_then_pause: False,
    pause_then_claim: False,
    outcome_then_requeue: True,
    given_back_then_outcome: False,
    release_twice: True,
}


def test_who_comes_second_waits_or_passes_by(figure: Record) -> None:
    waits = otherwise = 0
    for race, must_wait in RACES.items():
        Job.objects.all().delete()
        HistoryEntry.objects.all().delete()
        Queue.objects.update(paused_at=None)
        ran = race()
        waits += ran.waited
        otherwise += ran.waited != (must_wait or connection.vendor == "sqlite")
        assert not inconsistencies(), race.__name__
    fault = "two connections want the same jobs"
    figure(11, fault, "races", len(RACES), "", shown)
    figure(11, fault, "in which one was seen to wait", waits, "", shown)
    figure(11, fault, "that went otherwise than expected", otherwise, "", exactly(0))


@contextmanager
def actors(number: int, act: Callable[[random.Random], None]) -> Iterator[list[Exception]]:
    """Let so many threads act at random for the block; yields the errors that they met."""
    over, errors = threading.Event(), list[Exception]()

    def run(seed: int) -> None:
        chance = random.Random(seed)
        try:
            while not over.is_set():
                try:
                    act(chance)
                except (Error, Raced) as error:
                    errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield errors
    finally:
        over.set()
        for thread in threads:
            thread.join(30)


def test_a_melee_over_a_few_jobs(
    figure: Record, scale: Scale, caplog: pytest.LogCaptureFixture
) -> None:
    parents = enqueued(20)
    for parent in parents[:5]:
        jobs.continue_with(Job.objects.get(pk=parent), functions.nothing, on="finished")
    ids = list(Job.objects.values_list("pk", flat=True))
    done: list[str] = []
    caplog.set_level(logging.DEBUG, "jobs.races")

    def act(chance: random.Random) -> None:
        some = chance.sample(ids, 8)
        what = chance.choice(["run", "run", "delete", "requeue", "crash", "settle", "give back"])
        match what:
            case "run":
                record(outcomes(claim(8)))
            case "crash":
                insistently(transitions.crash, [(c.id, c.token) for c in claim(3)], "killed")
            case "give back":
                pairs = [(c.id, c.token) for c in claim(8)]
                chance.shuffle(pairs)
                insistently(transitions.give_back, pairs, "stopping", started=True)
            case "delete":
                transitions.delete(some, "by hand")
            case "requeue":
                transitions.requeue(some, "by hand")
            case "settle":
                continuations.sweep()
        done.append(what)

    with actors(4, act) as errors:
        enough = scale(600, 6000)
        until(lambda: len(done) >= enough, 300)
    deadlocks = [error for error in errors if isinstance(error, Error) and is_deadlock(error)]
    again = sum(said.name == "jobs.races" for said in caplog.records)
    fault = "four connections act at random on 25 jobs"
    figure(11, fault, "transactions", len(done), "", shown)
    figure(11, fault, "repeated after a deadlock", again, "", shown)
    figure(11, fault, "deadlocks that a caller saw", len(deadlocks), "", exactly(0))
    figure(11, fault, "given up after five races", len(errors) - len(deadlocks), "", shown)
    figure(11, fault, "inconsistent histories", len(inconsistencies()), "", exactly(0))
    assert not [error for error in errors if not isinstance(error, Raced)], errors[:3]
