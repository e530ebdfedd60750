"""Outcomes that the database refuses, among others."""

from __future__ import annotations

import re
import threading
import time

import pytest
from django.db import connection, transaction

import jobs
from jobs import transitions
from jobs.engine.database import Outage
from jobs.engine.recorder import HOPELESS, Recorder
from jobs.models import HistoryEntry, Job
from jobs.outcomes import Kind, Outcome
from jobs.states import State
from tests import functions
from tests.cluster import until
from tests.database import refusing

pytestmark = pytest.mark.django_db(transaction=True)
TOKEN = "t" * 32


class Line:
    """A worker's end, which hears what it need not keep."""

    def __init__(self):
        self.heard = []

    def committed(self, number, pair):
        self.heard.append(number)


@pytest.fixture
def line():
    return Line()


def run(number):
    """Return the ids of so many jobs that run."""
    jobs.enqueue_many(functions.nothing, [(n,) for n in range(number)])
    claims = transitions.claim("default", number, server="s", token=TOKEN, idle=number)
    return [claim.id for claim in claims]


def outcome(pk, **options):
    return Outcome(pk, TOKEN, Kind.SUCCEEDED, "", "{}", 0.0, **options)


def recorder(line, outcomes):
    found = Recorder("s", Outage("test"))
    for number, one in enumerate(outcomes):
        found.add(line, number, one)
    return found


def states(pks):
    found = dict(Job.objects.values_list("pk", "state"))
    return [found[pk] for pk in pks]


def flush(recorder):
    """Flush when it is time to."""
    until(lambda: recorder.wait(now=True) == 0)
    return recorder.flush()


def test_an_outcome_that_no_date_can_hold_is_recorded_as_failed_and_the_others_as_they_are(line):
    pks = run(5)
    outcomes = [outcome(pk) for pk in pks]
    outcomes[2] = outcomes[2]._replace(expires=1e300)

    stored = recorder(line, outcomes).flush()

    assert {pending.outcome.id for pending in stored} == set(pks)
    assert states(pks) == [State.SUCCEEDED] * 2 + [State.FAILED] + [State.SUCCEEDED] * 2
    job = Job.objects.get(pk=pks[2])
    assert job.error_type == "OutcomeNotStored"
    assert "could not be stored: OverflowError" in job.reason


def test_text_that_the_database_refuses_is_recorded_as_failed_with_what_it_said(line):
    if connection.vendor != "postgresql":
        pytest.skip("a NUL is a character like others elsewhere")
    [pk] = run(1)

    assert recorder(line, [outcome(pk)._replace(reason="a\0b")]).flush()

    assert "NUL" in Job.objects.get(pk=pk).reason


def test_an_outcome_refused_even_as_failed_does_not_hold_up_the_others(line, caplog):
    pks = run(5)
    kept = recorder(line, [outcome(pk) for pk in pks])
    with refusing(pks[0]):
        stored = kept.flush()
        assert [pending.outcome.id for pending in stored] == pks[1:]
        assert states(pks) == [State.PROCESSING] + [State.SUCCEEDED] * 4
        assert [pending.outcome.id for pending in kept.pending] == [pks[0]], "it is not lost"
        assert line.heard == [0], "its worker need not wait for it"
        assert re.search(
            rf"the outcomes of #{pks[0]} can't be stored for now.*not this one", caplog.text
        )
        [more] = run(1)
        kept.add(line, 9, outcome(more))
        assert flush(kept), "nor does what comes later wait"
    until(lambda: kept.wait(now=True) is None or kept.flush())
    assert states(pks) == [State.SUCCEEDED] * 5
    assert HistoryEntry.objects.filter(job_id=pks[0], state=State.SUCCEEDED).count() <= 1


def test_when_nothing_can_be_stored_everything_is_kept_with_few_tries(line, monkeypatch):
    pks = run(200)
    kept = recorder(line, [outcome(pk) for pk in pks])
    tries, store = [], Recorder._store
    monkeypatch.setattr(
        Recorder, "_store", lambda self, outcomes: (tries.append(1), store(self, outcomes))[1]
    )
    with refusing(*pks):
        assert kept.flush() == []
        assert len(tries) < 40
        assert len(kept.pending) == 200
        assert line.heard == [], "the workers keep them too"
        assert kept.wait(now=True) > 0
    until(lambda: kept.wait(now=True) is None or (kept.flush() and False))
    assert set(states(pks)) == {State.SUCCEEDED}


def test_some_that_are_refused_in_front_of_many_do_not_hold_them_up_for_long(line):
    pks = run(40)
    bad = pks[: HOPELESS + 1]
    kept = recorder(line, [outcome(pk) for pk in pks])
    with refusing(*bad):
        until(lambda: len(kept.pending) == len(bad) or (flush(kept) and False))
        assert states(pks[len(bad) :]) == [State.SUCCEEDED] * (len(pks) - len(bad))
        assert set(states(bad)) == {State.PROCESSING}


def test_what_can_not_be_stored_while_the_database_goes_away_is_kept_as_it_is(line, monkeypatch):
    [pk] = run(1)
    kept = recorder(line, [outcome(pk, expires=1e300)])
    with monkeypatch.context() as patch:
        patch.setattr("jobs.engine.database._answers", lambda: False)
        assert kept.flush() == []
        assert states([pk]) == [State.PROCESSING]
    assert flush(kept)
    assert states([pk]) == [State.FAILED]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="sets a session of PostgreSQL's")
def test_what_a_stale_session_refuses_is_stored_as_it_is_over_a_new_one(line):
    """As after a failover, when the old primary still answers, but only to questions."""
    pks = run(3)
    kept = recorder(line, [outcome(pk) for pk in pks])
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    until(lambda: kept.wait(now=True) is None or (flush(kept) and False))
    assert states(pks) == [State.SUCCEEDED] * 3


@pytest.mark.skipif(
    not connection.features.has_select_for_update_skip_locked, reason="it locks no single rows"
)
def test_an_outcome_whose_row_somebody_holds_waits_alone(line):
    pks = run(20)
    kept = recorder(line, [outcome(pk) for pk in pks])
    holds, over = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic():
            Job.objects.select_for_update().get(pk=pks[7])
            holds.set()
            over.wait(20)
        connection.close()

    other = threading.Thread(target=hold)
    other.start()
    try:
        assert holds.wait(10)
        began = time.monotonic()
        stored = flush(kept)
        assert time.monotonic() - began < 2, "nobody waits for the lock"
        assert {pending.outcome.id for pending in stored} == set(pks) - {pks[7]}
        assert [pending.outcome.id for pending in kept.pending] == [pks[7]]
    finally:
        over.set()
        other.join()
    until(lambda: kept.wait(now=True) is None or (flush(kept) and False))
    assert set(states(pks)) == {State.SUCCEEDED}
