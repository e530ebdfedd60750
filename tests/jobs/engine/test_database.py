"""What waits for what, and for how long, when the database is away or refuses something."""

from __future__ import annotations

import logging

import pytest
from django.db import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    connection,
)

from jobs.engine import database
from jobs.engine.database import Failure, Outage, judge
from jobs.races import Raced


class Clock:
    """Monotonic time that a test sets, and no chance in how long is waited."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(database.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(database.random, "uniform", lambda low, high: high)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.fixture
def answering(monkeypatch):
    """Let every database error be one of a database that answers, and touch no connection."""
    monkeypatch.setattr(database, "close", lambda connection: None)
    monkeypatch.setattr(database, "_answers", lambda: True)


def failing(error):
    def work():
        raise error

    return work


def waits(outage, work, clock, number):
    """Return after how many seconds `work` was tried again, each time at once when it may be."""
    found = []
    for _ in range(number):
        assert outage.attempt(work) == (False, None)
        found.append(round(outage.wait_for(work), 2))
        clock.now += found[-1] + 1e-6
    return found


@pytest.mark.parametrize(
    "error",
    [OperationalError("gone"), InterfaceError("closed")],
)
def test_what_does_not_answer_is_tried_again_every_two_seconds_and_all_else_waits_too(
    error, clock, answering
):
    outage = Outage("test")

    assert waits(outage, failing(error), clock, 8)[-1] == 2.0
    outage.attempt(failing(error))
    assert outage.since is not None
    assert outage.wait_for(print) == outage.wait > 0


@pytest.mark.parametrize("error", [Error("40001", "deadlock"), Error(1205, "waited"), Raced()])
def test_what_others_hold_is_tried_again_every_two_seconds_and_nothing_else_waits(
    error, clock, answering
):
    outage = Outage("test")
    work = failing(error)

    assert waits(outage, work, clock, 8)[-1] == 2.0
    outage.attempt(work)
    assert (outage.since, outage.wait) == (None, 0.0)
    assert outage.attempt(lambda: "other work") == (True, "other work")


def test_what_only_looks_like_an_absence_waits_longer_and_longer_while_other_work_goes_on(
    clock, answering, caplog
):
    outage = Outage("test")

    def claim():
        raise OperationalError("the disk is full")

    tries = 0
    for _ in range(1000):
        tries += outage.wait_for(claim) == 0
        outage.attempt(claim)
        clock.now += 0.06
        assert outage.attempt(lambda: "other work")[0] or outage.wait > 0
    assert tries < 50, "in a minute"
    assert "the disk is full" in caplog.text


def test_what_nobody_tries_again_is_forgotten(clock, answering):
    outage = Outage("test")
    outage.attempt(failing(DataError("no")), "a chore that others have done")
    assert outage.rest > 0
    clock.now += 60
    outage.attempt(lambda: "other work")
    assert outage.rest == 0


def test_what_must_not_wait_for_long_says_so(clock, answering):
    outage, work = Outage("test"), failing(DataError("no"))
    for _ in range(10):
        outage.attempt(work, longest=5.0)
        clock.now += 5.0
    outage.attempt(work, longest=5.0)
    assert outage.wait_for(work) == 5.0


@pytest.mark.parametrize(
    "error", [ProgrammingError("no column"), DataError("no"), IntegrityError("no"), Error("odd")]
)
def test_what_is_refused_is_tried_again_every_thirty_seconds_and_nothing_else_waits(
    error, clock, answering
):
    outage = Outage("test")
    work = failing(error)

    assert waits(outage, work, clock, 12)[-1] == 30.0
    outage.attempt(work)
    assert (outage.since, outage.wait) == (None, 0.0)
    assert outage.rest > 0, "nobody spins while it waits"
    assert outage.attempt(lambda: "other work") == (True, "other work")
    assert outage.wait_for(work) > 0, "what else is done says nothing of it"


def test_works_of_one_name_are_told_apart_by_a_key(clock, answering):
    outage = Outage("test")

    assert outage.attempt(failing(DataError()), key="first") == (False, None)
    assert outage.wait_for(failing(None), "first") > 0
    assert outage.wait_for(failing(None), "second") == 0


def test_a_refusal_is_told_once_a_minute_with_what_was_refused_and_what_to_do(
    clock, answering, caplog
):
    outage, works = Outage("dispatcher"), [failing(ProgrammingError("no column x"))]

    def claim():
        return works[0]()

    for _ in range(20):
        waits(outage, claim, clock, 1)
    seconds = clock.now - 1000
    lines = [record.getMessage() for record in caplog.records]
    assert 2 <= len(lines) <= seconds / 60 + 1
    assert "refuses" in lines[0]
    assert "claim (ProgrammingError: no column x)" in lines[0]
    assert "manage.py migrate" in lines[0]
    works[0] = lambda: "done"
    assert outage.attempt(claim) == (True, "done")
    assert "claim works again" in caplog.records[-1].getMessage()
    assert outage.rest == 0


def test_a_deadlock_that_passes_is_nobodys_business(clock, answering, caplog):
    caplog.set_level(logging.WARNING)
    outage, errors = Outage("test"), [Error("40001"), Error("40001")]

    def work():
        if errors:
            raise errors.pop()
        return "done"

    waits(outage, work, clock, 2)
    assert outage.attempt(work) == (True, "done")
    assert not caplog.records


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("sql", ["SELECT nothing FROM jobs_job", "SELECT 1 FROM nowhere", "SELEC"])
def test_a_statement_that_is_wrong_is_refused_whatever_its_driver_calls_it(sql):
    with pytest.raises(DatabaseError) as caught, connection.cursor() as cursor:
        cursor.execute(sql)
    assert judge(caught.value) is Failure.REFUSED


@pytest.mark.django_db(transaction=True)
def test_nothing_is_refused_by_a_database_that_does_not_answer(monkeypatch):
    """Some drivers call a lost connection a ProgrammingError."""
    monkeypatch.setattr(connection, "connect", failing(OperationalError("no route")))
    assert judge(ProgrammingError("The cursor's connection is closed.")) is Failure.AWAY
