"""What is compiled once asks and writes the same as what the ORM compiles each time."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, connections
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

import jobs
from jobs import transitions
from jobs.engine import outlook
from jobs.models import Job, Server, compiled
from jobs.states import State
from tests import functions

pytestmark = pytest.mark.django_db
MOMENT = datetime(2026, 3, 29, 1, 59, 59, 123456, tzinfo=UTC)


@compiled.query
def numbers(queue, limit):
    numbers.built += 1
    return Job.objects.filter(queue=queue).order_by("id").values_list("pk", "created_at")[:limit]


def of_state(state):
    return Job.objects.filter(state=state)


@pytest.fixture(autouse=True)
def _count():
    numbers.built = 0


def test_a_query_is_built_once_for_the_same_arguments_and_asked_each_time():
    assert numbers("default", 2) == []
    for _ in range(3):
        jobs.enqueue(functions.nothing)
    expected = list(Job.objects.order_by("id").values_list("pk", "created_at"))
    with CaptureQueriesContext(connection) as queries:
        assert [numbers("default", 2), numbers("default", 2)] == [expected[:2]] * 2
    assert (len(queries), numbers.built) == (2, 1)
    assert numbers("default", 3) == expected
    assert numbers("other", 2) == []
    assert numbers.built == 3


def test_each_thread_compiles_for_its_own_connection():
    numbers("default", 2)
    used = []

    def ask():
        numbers("default", 1 + 1)
        used.extend(c.connection for c in compiled._thread.questions.values())
        connections.close_all()

    thread = threading.Thread(target=ask)
    if connection.vendor == "sqlite":  # in memory: a thread needs to be lent the connection
        connection.inc_thread_sharing()
    thread.start()
    thread.join()
    assert len(used) == 1
    assert numbers.built == 2


def test_a_query_that_can_find_nothing_is_not_asked():
    @compiled.query
    def none():
        return Job.objects.none().values_list("pk")

    with CaptureQueriesContext(connection) as queries:
        assert none() == []
    assert not queries


@pytest.mark.parametrize("caching", [True, False])
def test_an_update_writes_values_of_every_kind(caching, monkeypatch):
    monkeypatch.setattr(compiled, "caching", caching)
    ids = [jobs.enqueue(functions.nothing).pk for _ in range(3)]
    values = {
        "reason": "100 % of \"them\" 'or' /* ids */ 🔥",
        "state_changed_at": MOMENT,
        "started_at": None,
        "recovered": True,
        "priority": -3,
    }
    fixed = {"attempt": F("attempt") + 1}
    for _ in range(2):
        assert compiled.update(of_state, State.ENQUEUED, ids[:2], values, fixed) == 2
    found = list(Job.objects.filter(pk__in=ids[:2]).values("attempt", *values).distinct())
    assert found == [{**values, "attempt": 2}]
    assert not Job.objects.get(pk=ids[2]).recovered
    assert compiled.update(of_state, State.FAILED, ids, values, fixed) == 0


def test_no_more_is_kept_than_is_of_use():
    for limit in range(1, compiled.KEPT + 10):
        numbers("default", limit)
    assert len(compiled._thread.questions) <= compiled.KEPT


def test_what_a_server_has_to_do_is_one_question():
    assert outlook.of("s") == outlook.NOTHING, "nothing for a server that was given up"
    Server.objects.create(name="s", host="h", pid=1, heartbeat_at=timezone.now())
    assert outlook.of("s") == outlook.NOTHING
    jobs.enqueue(functions.nothing)
    jobs.schedule(functions.nothing, run_after=timedelta(seconds=100))
    with CaptureQueriesContext(connection) as queries:
        found = outlook.of("s")
    assert len(queries) == 1
    assert found.claimable
    assert 95 < found.due_seconds < 101
    transitions.delete(Job.objects.values_list("pk", flat=True), "by hand")
    assert outlook.of("s") == outlook.NOTHING
