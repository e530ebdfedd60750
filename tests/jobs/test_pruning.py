"""Expired jobs and old counters go; nothing else does."""

import re
import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

import jobs
from jobs import continuations, pruning, transitions
from jobs.engine import upkeep
from jobs.engine.database import Outage
from jobs.models import Counter, HistoryEntry, Job, Span
from jobs.states import State
from jobs.testing import drain
from tests import functions

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


def finished(number=1):
    """Return the ids of jobs that have succeeded."""
    jobs.enqueue_many(functions.nothing, [(n,) for n in range(number)])
    drain()
    return list(Job.objects.filter(state=State.SUCCEEDED).values_list("id", flat=True))


def later(**time):
    return timezone.now() + timedelta(**time)


def orphans():
    return HistoryEntry.objects.exclude(job__in=Job.objects.values("pk")).count()


# Jobs


def test_an_expired_job_goes_with_its_history():
    finished(3)

    assert pruning.prune_jobs(as_of=later(days=1, minutes=1)) == (3, None)
    assert not Job.objects.exists()
    assert not HistoryEntry.objects.exists()


def test_a_job_that_has_not_expired_stays():
    finished()

    assert pruning.prune_jobs().jobs == 0
    assert pruning.prune_jobs(as_of=later(hours=23)).jobs == 0
    assert HistoryEntry.objects.count() == 2


def test_the_database_s_clock_decides():
    finished(2)
    Job.objects.update(expires_at=timezone.now() - timedelta(minutes=1))

    assert pruning.prune_jobs().jobs == 2


@pytest.mark.parametrize(
    ("function", "state", "days"),
    [(functions.nothing, State.SUCCEEDED, 1), (functions.fail, State.FAILED, 90)],
)
def test_each_state_has_its_own_time(function, state, days):
    job = jobs.using(function, max_retries=0).enqueue()
    drain()
    job.refresh_from_db()
    assert job.state == state

    pruning.prune_jobs(as_of=later(days=days, minutes=-1))
    assert Job.objects.exists()
    pruning.prune_jobs(as_of=later(days=days, minutes=1))
    assert not Job.objects.exists()


def test_a_job_may_say_how_long_it_is_kept():
    jobs.using(functions.nothing, expires_after=timedelta(minutes=5)).enqueue()
    drain()

    assert pruning.prune_jobs(as_of=later(minutes=6)).jobs == 1


def test_jobs_that_are_not_finished_never_go():
    jobs.enqueue(functions.nothing)
    jobs.schedule(functions.nothing, run_after=DAY)
    again = jobs.enqueue(functions.nothing)
    jobs.delete(again)
    jobs.requeue(again)

    assert pruning.prune_jobs(as_of=later(days=10_000)).jobs == 0
    assert Job.objects.count() == 3


def test_a_deleted_job_whose_run_has_not_ended_stays():
    job = jobs.enqueue(functions.nothing)
    [claimed] = transitions.claim("default", 1, server="s", token="a" * 32, idle=1)
    jobs.delete(job)

    assert pruning.prune_jobs(as_of=later(days=2)).jobs == 0
    transitions.give_back([(job.pk, claimed.token)], "ended", started=True)
    assert pruning.prune_jobs(as_of=later(days=2)).jobs == 1


def test_a_parent_stays_while_a_child_waits():
    parent, other = finished(2)
    child = jobs.enqueue(functions.nothing)
    Job.objects.filter(pk=child.pk).update(parent=parent, state=State.AWAITING)

    assert pruning.prune_jobs(as_of=later(days=2)).jobs == 1
    assert not Job.objects.filter(pk=other).exists()

    Job.objects.filter(pk=child.pk).update(state=State.SCHEDULED)
    assert pruning.prune_jobs(as_of=later(days=2)).jobs == 1


def in_another_thread(work):
    def run():
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.skipif(
    connection.vendor == "sqlite", reason="an open transaction that writes keeps all others out"
)
@pytest.mark.django_db(transaction=True)
def test_an_expired_parent_stays_while_a_child_is_being_added():
    [parent] = finished()
    Job.objects.update(expires_at=timezone.now() - DAY)
    pruned = []

    with transaction.atomic():
        child = jobs.continue_with(parent, functions.nothing)
        in_another_thread(lambda: pruned.append(pruning.prune_jobs().jobs)).join()

    continuations.sweep()
    child.refresh_from_db()
    assert (pruned, child.state) == ([0], State.ENQUEUED)
    assert pruning.prune_jobs().jobs == 0, "it may be read by the child for a while"


def test_a_parent_s_expiry_is_put_off_only_when_it_is_near():
    [parent] = finished()
    expires_at = Job.objects.get().expires_at

    with CaptureQueriesContext(connection) as queries:
        jobs.continue_with(parent, functions.nothing)

    assert Job.objects.get(pk=parent).expires_at == expires_at
    table = connection.ops.quote_name(Job._meta.db_table)
    assert not [
        q["sql"] for q in queries if f"UPDATE {table}" in q["sql"] and "expires" in q["sql"]
    ]


def test_a_parent_that_has_been_pruned_is_refused():
    [parent] = finished()
    pruning.prune_jobs(as_of=later(days=2))

    with pytest.raises(jobs.IllegalTransition, match="it may have expired"):
        jobs.continue_with(parent, functions.nothing)


def test_jobs_that_must_stay_do_not_keep_a_pass_from_the_others():
    parents = finished(6)
    waiting = Job(func="f", arguments={}, queue="q", state=State.AWAITING)
    for parent in parents[:4]:
        waiting.pk, waiting.parent_id = None, parent
        transitions.create(waiting)
    as_of, position, removed, batches = later(days=2), None, 0, 0

    while batches == 0 or position:
        pruned = pruning.prune_jobs(2, after=position, as_of=as_of)
        position, removed, batches = pruned.position, removed + pruned.jobs, batches + 1

    assert (removed, batches) == (2, 4)
    assert set(Job.objects.filter(state=State.SUCCEEDED).values_list("id", flat=True)) == set(
        parents[:4]
    )


def test_a_batch_is_not_larger_than_asked():
    finished(5)

    pruned = pruning.prune_jobs(2, as_of=later(days=2))

    assert pruned.jobs == 2
    assert pruned.position is not None
    assert Job.objects.count() == 3
    assert orphans() == 0


def test_a_batch_costs_the_same_statements_whatever_its_size_and_history():
    def statements(number):
        finished(number)
        with CaptureQueriesContext(connection) as queries:
            assert pruning.prune_jobs(as_of=later(days=2)).jobs == number
        return [q["sql"].split()[0] for q in queries if "SAVEPOINT" not in q["sql"]]

    assert statements(1) == statements(300) == ["SELECT"] * 2 + ["DELETE"] * 4


def test_no_history_is_left_without_its_job_whatever_happens_in_between(monkeypatch):
    finished(3)

    def fail(*args):
        raise RuntimeError("killed here")

    monkeypatch.setattr(HistoryEntry.objects, "using", fail)
    with pytest.raises(RuntimeError), transaction.atomic():
        pruning.prune_jobs(as_of=later(days=2))
    monkeypatch.undo()

    assert (Job.objects.count(), HistoryEntry.objects.count(), orphans()) == (3, 6, 0)


@pytest.mark.skipif(
    connection.vendor not in ("sqlite", "postgresql"), reason="ANALYZE commits, or no EXPLAIN"
)
def test_a_million_jobs_that_stay_do_not_slow_it():
    finished()
    [job] = Job.objects.all()
    many = [
        Job(
            func="f",
            arguments={},
            queue="q",
            state=State.SUCCEEDED,
            expires_at=later(days=1, seconds=number),
        )
        for number in range(5000)
    ]
    Job.objects.bulk_create(many)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    after = pruning.Position(job.expires_at, job.pk)
    with CaptureQueriesContext(connection) as queries:
        pruning.prune_jobs(as_of=later(days=1))
        pruning.prune_jobs(after=after)
    reads = [q["sql"] for q in queries if "ORDER BY" in q["sql"] and "expires_at" in q["sql"]]
    assert len(reads) == 2
    for sql in (q["sql"] for q in queries if q["sql"].startswith("SELECT")):
        assert not re.search("SCAN jobs_job|Seq Scan", explain(sql)), sql

    for sql in reads:
        plan = explain(sql)
        assert "jobs_job_expiry_idx" in plan, plan
        assert not re.search("sort|temp b-tree", plan, re.IGNORECASE), plan


def explain(sql):
    prefix = "EXPLAIN QUERY PLAN " if connection.vendor == "sqlite" else "EXPLAIN "
    with connection.cursor() as cursor:
        cursor.execute(prefix + sql.replace("%", "%%"))
        return "\n".join(str(row) for row in cursor.fetchall())


@pytest.mark.django_db(transaction=True)
def test_many_servers_at_once_remove_each_job_once():
    ids = finished(300)
    Job.objects.update(expires_at=timezone.now() - DAY)
    keep = jobs.enqueue(functions.nothing)
    removed, errors = [], []

    def work():
        outage = Outage("test")
        try:
            while Job.objects.filter(pk__in=ids).exists():
                done, pruned = outage.attempt(lambda: pruning.prune_jobs(20))
                removed.append(pruned.jobs if done else 0)
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert sum(removed) == 300
    assert [job.pk for job in Job.objects.all()] == [keep.pk]
    assert orphans() == 0


# Counters

HOUR = datetime(2026, 3, 1, 10, tzinfo=UTC)


def count(minute, value, name="succeeded", server="s"):
    Counter.objects.create(
        minute=HOUR + timedelta(minutes=minute), server=server, name=name, value=value
    )


def hours():
    rows = Counter.objects.filter(span=Span.HOUR).order_by("minute", "name")
    return list(rows.values_list("minute", "server", "name", "value"))


def test_an_hour_over_since_two_days_is_summed_into_one_row_per_name():
    count(0, 1)
    count(59, 2, server="other")
    count(30, 5, name="failed")
    count(60, 100)

    assert not pruning.roll_up(HOUR + timedelta(days=2, minutes=59))
    assert pruning.roll_up(HOUR + timedelta(days=2, hours=1))

    assert hours() == [(HOUR, "", "failed", 5), (HOUR, "", "succeeded", 3)]
    assert Counter.objects.get(span=Span.MINUTE).value == 100


def test_each_call_takes_one_hour_and_the_last_says_that_nothing_is_left():
    for hour in range(3):
        count(60 * hour, 1)

    done = [pruning.roll_up(HOUR + timedelta(days=9)) for _ in range(4)]

    assert done == [True, True, True, False]
    assert len(hours()) == 3


def test_minutes_that_come_later_are_added():
    count(0, 1)
    pruning.roll_up(HOUR + timedelta(days=3))
    count(1, 2)
    count(1, 7, name="retry")

    pruning.roll_up(HOUR + timedelta(days=3))

    assert hours() == [(HOUR, "", "retry", 7), (HOUR, "", "succeeded", 3)]


def test_old_hours_go(settings):
    settings.JOBS = {"COUNTERS_EXPIRE_SECONDS": 10 * 86_400}
    count(0, 1)
    count(60, 1)
    pruning.roll_up(HOUR + timedelta(days=3))
    pruning.roll_up(HOUR + timedelta(days=3))

    assert not pruning.prune_counters(HOUR + timedelta(days=10, minutes=1))

    assert [minute for minute, *_ in hours()] == [HOUR + timedelta(hours=1)]


@pytest.mark.django_db(transaction=True)
def test_many_servers_at_once_count_each_minute_once():
    for hour in range(10):
        for minute in range(5):
            count(60 * hour + minute, 1, name="a")
            count(60 * hour + minute, 2, name="b")
    errors = []

    def work():
        outage = Outage("test")
        try:
            while Counter.objects.filter(span=Span.MINUTE).exists():
                outage.attempt(lambda: pruning.roll_up(HOUR + timedelta(days=9)))
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert {(name, value) for _, _, name, value in hours()} == {("a", 5), ("b", 10)}
    assert len(hours()) == 20


# Housekeeping's turns


class Outages:
    wait = 0.0

    def wait_for(self, work):
        return self.wait

    def attempt(self, work):
        return True, work()


@pytest.fixture
def turns(monkeypatch):
    """An Upkeep whose pieces are recorded; the first wants three, the others one."""
    done = []
    keeper = upkeep.Upkeep(Outages())
    for number, errand in enumerate(keeper._errands):
        left = iter([number == 0, number == 0] + [False] * 99)
        errand.piece = lambda number=number, left=left: done.append(number) or next(left)
    return keeper, done


def test_a_turn_does_one_piece(turns):
    keeper, done = turns

    keeper.turn(room=5.0)

    assert done == [0]


def test_nothing_is_begun_before_a_heartbeat(turns):
    keeper, done = turns

    keeper.turn(room=0.1)

    assert done == []
    assert keeper.wait(room=0.1) == float("inf")
    assert keeper.wait(room=5.0) == 0.0


def test_a_short_heartbeat_leaves_room_all_the_same(turns, settings):
    settings.JOBS = {"HEARTBEAT_SECONDS": 0.1, "SERVER_TIMEOUT_SECONDS": 1}
    keeper, done = turns

    keeper.turn(room=0.06)

    assert done == [0]


def test_all_errands_have_their_turn_while_one_has_much_to_do(turns, monkeypatch):
    keeper, done = turns
    now = [1.0]
    monkeypatch.setattr(upkeep.time, "monotonic", lambda: now[0])

    for _ in range(6):
        keeper.turn(room=5.0)
        now[0] += 0.1

    assert sorted(done) == [0, 0, 0, 1, 2]
    assert keeper.wait(room=5.0) > 1


def test_a_slow_batch_makes_the_next_smaller_and_quick_ones_larger_again(monkeypatch):
    sizes, now = [], [0.0]

    def prune(size, after):
        sizes.append(size)
        now[0] += 1.0 if len(sizes) < 3 else 0.001
        return pruning.Pruned(size, pruning.Position(HOUR, 1))

    monkeypatch.setattr(upkeep, "prune_jobs", prune)
    monkeypatch.setattr(upkeep.time, "monotonic", lambda: now[0])
    keeper = upkeep.Upkeep(Outages())

    for _ in range(5):
        keeper._prune()

    assert sizes == [500, 250, 125, 250, 500]
