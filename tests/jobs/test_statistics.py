"""Counters: what is counted, and reading it."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

import jobs
from jobs import pruning, statistics, transitions
from jobs.engine.database import Outage
from jobs.engine.recorder import Recorder
from jobs.models import Counter, Job, Span
from jobs.outcomes import Kind, Outcome
from tests import functions

pytestmark = pytest.mark.django_db

HOUR = datetime(2026, 3, 1, 10, tzinfo=UTC)
TOKEN = "a" * 32


def outcome(pk=1, kind=Kind.SUCCEEDED, *, seconds=0.0, waited=0.0):
    return Outcome(pk, TOKEN, kind.value, "", "{}", seconds, delay=1.0, waited=waited)


def count(minute, value, name="succeeded", server="s"):
    Counter.objects.create(
        minute=HOUR + timedelta(minutes=minute), server=server, name=name, value=value
    )


class Line:
    def committed(self, *args):
        """Nobody listens."""


def record(*outcomes):
    """Write outcomes as a server does; return how many statements were about counters."""
    recorder = Recorder("s", Outage("test"))
    for number, one in enumerate(outcomes):
        recorder.add(Line(), number, one)
    with CaptureQueriesContext(connection) as queries:
        assert recorder.flush()
    return [q["sql"] for q in queries if "jobs_counter" in q["sql"]]


def claim(number=1):
    jobs.enqueue_many(functions.nothing, [(n,) for n in range(number)])
    return transitions.claim("default", number, server="s", token=TOKEN, idle=number)


# Counting


def test_each_outcome_counts_its_kind_its_wait_and_its_run():
    found = statistics.count(
        [
            outcome(waited=0.0, seconds=0.0),
            outcome(waited=0.1, seconds=0.11),
            outcome(kind=Kind.FAILED, waited=4000, seconds=5000),
        ]
    )

    assert found == {
        "succeeded": 2,
        "failed": 1,
        "wait<=0.001": 1,
        "wait<=0.1": 1,
        "wait>3600": 1,
        "run<=0.001": 1,
        "run<=0.2": 1,
        "run>3600": 1,
    }


def test_what_did_not_run_has_neither_wait_nor_run():
    assert statistics.count([outcome(kind=Kind.MISSING, waited=None)]) == {"missing": 1}


def test_the_names_fit_their_column_and_are_unique():
    names = [*statistics.BUCKETS["wait"], *statistics.BUCKETS["run"], *statistics.OUTCOMES]

    assert len(set(names)) == len(names)
    assert max(map(len, names)) <= Counter._meta.get_field("name").max_length
    assert list(statistics.BOUNDS) == sorted(statistics.BOUNDS)


def test_the_recorder_writes_all_counters_of_a_batch_at_once():
    claimed = claim(3)

    written = record(
        *[outcome(job.id, seconds=0.3 * n, waited=0.1 * n) for n, job in enumerate(claimed)]
    )

    # The first batch of a minute also reads what an earlier process of this server has written.
    writes = [sql for sql in written if not sql.startswith("SELECT")]
    if connection.features.supports_update_conflicts:
        assert len(writes) == 1
    now = timezone.now()
    assert statistics.totals(now - timedelta(minutes=2), now + timedelta(minutes=1)) == {
        "succeeded": 3,
        "wait<=0.001": 1,
        "wait<=0.1": 1,
        "wait<=0.2": 1,
        "run<=0.001": 1,
        "run<=0.5": 1,
        "run<=1": 1,
    }


def test_a_refused_outcome_is_not_counted():
    [job] = claim()
    record(outcome(job.id), outcome(job.id + 1))

    assert Counter.objects.get(name="succeeded").value == 1


# Since when a job is due


def test_a_job_is_due_from_its_enqueue():
    [job] = claim()

    assert job.due == Job.objects.get().created_at.timestamp()


def test_a_delayed_job_is_due_at_its_time_however_late_it_is_enqueued():
    job = jobs.schedule(functions.nothing, run_after=timedelta(hours=1))
    transitions.promote_due(10, job.run_at + timedelta(minutes=5))
    [claimed] = transitions.claim("default", 1, server="s", token=TOKEN, idle=1)

    assert claimed.due == job.run_at.timestamp()


@pytest.mark.parametrize("how", ["give_back", "crash", "requeue"])
def test_a_job_that_comes_back_is_due_from_then(how):
    [first] = claim()
    Job.objects.update(run_at=timezone.now() - timedelta(hours=1))
    if how == "give_back":
        transitions.give_back([(first.id, TOKEN)], "its server was stopped", started=False)
    elif how == "crash":
        transitions.crash([(first.id, TOKEN)], "its worker died")
    else:
        transitions.record([outcome(first.id, Kind.FAILED)])
        jobs.requeue(first.id)
    [again] = transitions.claim("default", 1, server="s", token="b" * 32, idle=1)

    assert abs(again.due - timezone.now().timestamp()) < 60


# Reading


def test_totals_are_over_servers_and_from_one_moment_to_before_another():
    count(0, 1)
    count(1, 2)
    count(1, 4, server="other")
    count(1, 8, name="failed")
    count(2, 16)

    found = statistics.totals(HOUR + timedelta(minutes=1), HOUR + timedelta(minutes=2))

    assert found == {"succeeded": 6, "failed": 8}
    assert statistics.totals(HOUR, HOUR + timedelta(hours=1), ["failed"]) == {"failed": 8}


def test_totals_are_the_same_after_the_roll_up():
    for minute in range(0, 180, 7):
        count(minute, minute)
        count(minute, 1, name="wait<=1")
    end = HOUR + timedelta(hours=3)
    before = statistics.totals(HOUR, end)

    pruning.roll_up(HOUR + timedelta(days=9))

    assert statistics.totals(HOUR, end) == before


def test_a_series_has_no_gaps():
    count(1, 5)
    count(3, 7, name="failed")

    found = statistics.series(HOUR + timedelta(seconds=30), HOUR + timedelta(minutes=4))

    assert [point.start for point in found] == [HOUR + timedelta(minutes=n) for n in range(4)]
    assert [point.values for point in found] == [{}, {"succeeded": 5}, {}, {"failed": 7}]


def test_a_series_by_the_hour_is_the_same_before_and_after_the_roll_up():
    for minute in range(0, 150, 10):
        count(minute, minute, server=f"s{minute % 3}")
    end = HOUR + timedelta(hours=3)
    before = statistics.series(HOUR, end, step=Span.HOUR)
    assert [point.values["succeeded"] for point in before] == [150, 510, 390]

    pruning.roll_up(HOUR + timedelta(days=9))

    assert statistics.series(HOUR, end, step=Span.HOUR) == before


@pytest.mark.parametrize(("month", "day", "hours"), [(3, 29, 23), (10, 25, 25)])
def test_a_series_over_a_change_of_clocks_has_each_hour_once(month, day, hours):
    berlin = ZoneInfo("Europe/Berlin")
    start = datetime(2026, month, day, tzinfo=berlin)
    end = datetime(2026, month, day + 1, tzinfo=berlin)
    first = start.astimezone(UTC)
    moments = [first + timedelta(hours=n) for n in range(hours)]
    for moment in moments:
        Counter.objects.create(minute=moment, server="s", name="succeeded", value=1)

    found = statistics.series(start, end, step=Span.HOUR)

    assert [point.start.astimezone(UTC) for point in found] == moments
    assert [point.values for point in found] == [{"succeeded": 1}] * hours
    assert found[0].start.tzinfo is berlin
    assert found[-1].start.hour == 23


def test_percentiles_come_from_the_buckets():
    count(0, 50, name="wait<=0.01")
    count(1, 50, name="wait<=1")
    count(1, 1000, name="run<=1")

    found = statistics.percentiles("wait", HOUR, HOUR + timedelta(hours=1), (0.25, 0.5, 0.75, 1))

    assert found == {0.25: 0.0075, 0.5: 0.01, 0.75: 0.75, 1: 1.0}


def test_without_executions_there_are_no_percentiles():
    assert statistics.percentiles("run", HOUR, HOUR + timedelta(hours=1)) == {
        0.5: None,
        0.95: None,
    }


@given(st.lists(st.floats(0, 4000), min_size=1, max_size=50), st.floats(0.01, 1))
def test_a_percentile_lies_in_the_bucket_of_the_true_one(seconds, fraction):
    counts = [0] * (len(statistics.BOUNDS) + 1)
    for value in seconds:
        [name] = (n for n in statistics.count([outcome(waited=value)]) if n.startswith("wait"))
        counts[statistics.BUCKETS["wait"].index(name)] += 1

    found = statistics.percentiles_of(counts, [fraction])[fraction]

    ordered = sorted(seconds)
    exact = ordered[max(0, min(len(ordered), -int(-fraction * len(ordered) // 1)) - 1)]
    upper = next((b for b in statistics.BOUNDS if b >= exact), statistics.BOUNDS[-1])
    lower = max((b for b in (0.0, *statistics.BOUNDS) if b < exact), default=0.0)
    assert lower <= found <= upper or exact > statistics.BOUNDS[-1]
