"""Occurrences become jobs: each once, whatever servers and operators do."""

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from django.apps import apps
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

import jobs
from jobs import occurrences, recurring_jobs, transitions
from jobs.engine.database import Outage
from jobs.engine.scheduler import BROKEN_SECONDS, Scheduler
from jobs.models import Job, RecurringJob
from jobs.models.locking import LockingQuerySet
from jobs.occurrences import create_due, seconds_to_next
from jobs.races import Raced
from jobs.states import State
from tests import functions

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def recurring(name="each-minute", func=functions.nothing, *, next_run=NOON, **said):
    jobs.recurring(name, func, **{"cron": "* * * * *", **said})
    RecurringJob.objects.filter(name=name).update(next_run=next_run)
    return get(name)


def get(name="each-minute"):
    return RecurringJob.objects.get(name=name)


def found(name="each-minute"):
    made = Job.objects.filter(recurring_job__name=name).order_by("occurrence")
    return list(made.values_list("occurrence", flat=True))


def sleep_until(as_of):
    passes = 0
    while create_due(as_of):
        passes += 1
    return passes


# An occurrence


def test_an_occurrence_becomes_a_job_like_any_other():
    row = recurring(func=functions.add, args=(1,), queue="mail", priority=3, timezone="Asia/Tokyo")

    assert create_due(NOON) == 1

    job = Job.objects.get()
    assert (job.state, job.queue, job.priority, job.args) == (State.ENQUEUED, "mail", 3, [1])
    assert (job.recurring_job, job.occurrence, job.run_at) == (row, NOON, NOON)
    assert (job.time_zone, job.language) == ("Asia/Tokyo", "en")
    assert job.reason == "recurring: each-minute"
    row = get()
    assert (row.last_run, row.next_run) == (NOON, NOON + MINUTE)


def test_before_its_time_nothing_happens():
    recurring()

    assert create_due(NOON - timedelta(seconds=1)) == 0


def test_a_second_scheduler_finds_nothing_left():
    recurring()

    assert (create_due(NOON), create_due(NOON)) == (1, 0)
    assert found() == [NOON]


def test_what_is_paused_creates_nothing():
    recurring()
    jobs.pause("each-minute")

    assert create_due(NOON + MINUTE) == 0


def test_a_function_that_can_t_be_imported_still_gets_its_jobs():
    recurring()
    RecurringJob.objects.update(func="deployed.later")

    assert create_due(NOON) == 1
    assert Job.objects.get().func == "deployed.later"


@pytest.mark.parametrize(("misfire", "count"), [("once", 2), ("all", 43_202), ("skip", 1)])
def test_thirty_days_asleep_with_a_job_each_minute(misfire, count):
    recurring(misfire=misfire)
    as_of = NOON + timedelta(days=30) + timedelta(seconds=61)

    passes = sleep_until(as_of)

    assert passes == -(-count // 1000)
    assert Job.objects.count() == count, "those missed, and the one that is on time"
    assert get().next_run == NOON + timedelta(days=30) + 2 * MINUTE
    if misfire == "all":
        assert {b - a for a, b in pairwise(found())} == {MINUTE}
    create_due(as_of + MINUTE)
    assert Job.objects.count() == count + 1, "and it goes on"


def test_what_was_missed_long_ago_does_not_overtake_what_has_waited_since():
    recurring()

    create_due(NOON + timedelta(days=1))

    assert Job.objects.earliest("occurrence").run_at == NOON + timedelta(days=1) - MINUTE


def test_one_with_weeks_to_catch_up_does_not_keep_the_others_waiting():
    recurring(misfire="all")
    recurring("other", next_run=NOON + timedelta(days=30))

    create_due(NOON + timedelta(days=30))

    assert (len(found()), len(found("other"))) == (500, 1)


# What may go wrong


def test_a_stored_one_that_turned_bad_shows_its_error_and_stops_no_other():
    bad = {
        "cron": "61 * * * *",
        "time_zone": "Europe/Atlantis",
        "misfire": "x",
        "queue": "a,b",
        "priority": 999,
        "options": {"max_retries": "many"},
        "arguments": [],
    }
    for field, value in bad.items():
        recurring(field)
        RecurringJob.objects.filter(name=field).update(**{field: value})
    recurring()

    sleep_until(NOON)

    assert found() == [NOON]
    for field in bad:
        row = get(field)
        assert ("timezone" if field == "time_zone" else field) in row.error
        assert row.next_run == NOON, "it goes on here once it is mended"
    assert Job.objects.count() == 1


def test_text_in_a_json_column_that_is_no_json_is_an_error_like_others():
    row = recurring()
    with connection.cursor() as cursor:
        table = RecurringJob._meta.db_table
        cursor.execute(f"UPDATE {table} SET arguments = %s WHERE id = %s", ["{oops", row.pk])

    sleep_until(NOON)

    assert "arguments must be JSON" in get().error
    assert get().arguments == "{oops"


def test_a_bad_one_is_left_alone_until_it_is_tried_again():
    recurring()
    RecurringJob.objects.update(cron="bad")
    create_due(NOON)
    RecurringJob.objects.update(cron="* * * * *")

    assert create_due(NOON) == 0
    assert create_due(NOON, broken=True) == 1

    assert (found(), get().error) == ([NOON], "")


def test_an_edit_forgets_the_error():
    row = recurring()
    RecurringJob.objects.update(cron="bad")
    create_due(NOON)
    row.refresh_from_db()
    row.cron = "0 * * * *"

    recurring_jobs.edited(row, ["cron"])

    assert get().error == ""
    assert get().next_run > timezone.now()


def test_a_next_run_set_back_makes_no_occurrence_twice():
    recurring(misfire="all")
    recurring("other")
    sleep_until(NOON + MINUTE)
    RecurringJob.objects.update(next_run=NOON)

    sleep_until(NOON + 2 * MINUTE)

    for name in ("each-minute", "other"):
        assert found(name) == [NOON, NOON + MINUTE, NOON + 2 * MINUTE]


def refuse_inserts(times, *, of="", then_everything=False):
    """A wrapper of `execute` with which INSERTs of jobs that hold the text `of` fail."""
    failed = []

    def execute(run, sql, params, many, context):
        insert = sql.startswith(f"INSERT INTO {connection.ops.quote_name(Job._meta.db_table)}")
        if (insert and len(failed) < times and of in str(params)) or (failed and then_everything):
            failed.append(sql)
            raise OperationalError("packet for query is too large\n(it says)")
        return run(sql, params, many, context)

    return connection.execute_wrapper(execute)


def test_one_whose_jobs_the_database_refuses_stops_no_other():
    recurring("fat", functions.add, args=("fat",))
    recurring()

    with refuse_inserts(99, of="fat"):
        sleep_until(NOON)
        create_due(NOON, broken=True)

    assert (found(), found("fat"), get().error) == ([NOON], [], "")
    assert get("fat").error == "OperationalError: packet for query is too large (it says)"
    assert get("fat").next_run == NOON
    assert create_due(NOON, broken=True) == 1
    assert (found("fat"), get("fat").error) == ([NOON], "")


def test_a_failure_that_passes_marks_nobody():
    recurring()

    with refuse_inserts(2):
        assert create_due(NOON) == 1

    assert (found(), get().error) == ([NOON], "")


@pytest.mark.django_db(transaction=True)
def test_a_database_that_goes_away_marks_nobody():
    recurring()
    recurring("other")

    with refuse_inserts(1, then_everything=True), pytest.raises(OperationalError):
        create_due(NOON)

    assert set(RecurringJob.objects.values_list("error", flat=True)) == {""}
    assert not Job.objects.exists()


def test_a_scheduler_that_dies_before_its_commit_has_done_nothing(monkeypatch):
    recurring()
    create_many = transitions.create_many

    def die(made):
        create_many(made)
        raise SystemExit

    monkeypatch.setattr(transitions, "create_many", die)
    with pytest.raises(SystemExit):
        create_due(NOON)
    monkeypatch.undo()
    assert (get().next_run, Job.objects.count()) == (NOON, 0)

    create_due(NOON)

    assert found() == [NOON]


def test_a_pause_between_read_and_update_stands():
    row = recurring()
    jobs.pause("each-minute")

    with pytest.raises(Raced):
        occurrences._move_on([row.pk], occurrences._Move(NOON, NOON + MINUTE, NOON))

    assert get().next_run is None


def test_a_pass_over_those_due_at_the_same_time_costs_a_constant_number_of_statements():
    def statements(count):
        for n in range(count):
            recurring(f"{count}-{n}")
        with CaptureQueriesContext(connection) as captured:
            assert create_due(NOON) == count
        return len(captured)

    statements(1)  # makes the Queue row
    assert statements(2) == statements(20) <= 6
    assert statements(200) <= 13, "SQLite takes few rows at once"


# Many at once


@pytest.mark.parametrize("locks", ["heeded", "ignored"])
@pytest.mark.django_db(transaction=True)
def test_three_schedulers_at_once_make_one_job_of_each_occurrence(monkeypatch, locks):
    if locks == "ignored":
        monkeypatch.setattr(LockingQuerySet, "locked", lambda rows, **how: rows)
    for n in range(50):
        recurring(f"r{n}", misfire="all")
    barrier, problems = threading.Barrier(3), []

    def schedule():
        try:
            barrier.wait()
            for minutes in range(5):
                for _ in range(5):
                    try:
                        create_due(NOON + minutes * MINUTE)
                    except OperationalError:  # locked or deadlocked: the engine tries again
                        pass
        except Exception as error:
            problems.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=schedule) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sleep_until(NOON + 4 * MINUTE)

    assert problems == []
    made = Counter(Job.objects.values_list("recurring_job__name", "occurrence"))
    wanted = {(f"r{n}", NOON + m * MINUTE) for n in range(50) for m in range(5)}
    assert made == Counter(wanted)


# When the scheduler wakes


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def in_seconds(seconds):
    return timezone.now() + timedelta(seconds=seconds)


def test_it_sleeps_until_the_next_occurrence_but_looks_every_five_seconds():
    scheduler = Scheduler(Outage("test"), lambda: None, clock := Clock())
    scheduler.work()
    assert scheduler.seconds() == 5.0

    recurring(next_run=in_seconds(0.3))
    clock.now += 5
    scheduler.work()

    assert 0 < scheduler.seconds() <= 0.3
    assert not Job.objects.exists()


def test_it_looks_within_a_second_when_somebody_said_that_something_changed():
    hints = [0.0]
    scheduler = Scheduler(Outage("test"), lambda: None, clock := Clock(), lambda: hints[-1])
    scheduler.work()
    clock.now += 0.4
    hints.append(clock.now)
    assert scheduler.seconds() == pytest.approx(0.6), "not more than once a second"

    recurring(next_run=in_seconds(0.3))
    clock.now += 0.6
    scheduler.work()

    assert 0 < scheduler.seconds() <= 0.3
    assert not Job.objects.exists()


def test_it_creates_what_is_due_by_the_database_s_clock_whatever_the_host_s_says(monkeypatch):
    recurring(next_run=in_seconds(-0.1))
    recurring("later", next_run=in_seconds(1800))
    for hours in (1, -1):
        wrong = timezone.now() + timedelta(hours=hours)
        monkeypatch.setattr(timezone, "now", lambda wrong=wrong: wrong)
        Scheduler(Outage("test"), lambda: None, Clock()).work()
        monkeypatch.undo()

    assert (len(found()), len(found("later"))) == (1, 0)


def test_after_a_pass_it_looks_again_at_once():
    recurring(next_run=in_seconds(-0.1))
    scheduler = Scheduler(Outage("test"), lambda: None, clock := Clock())

    scheduler.work()

    assert len(found()) == 1
    assert scheduler.seconds() == 0
    scheduler.work()
    assert 0 < scheduler.seconds() <= 5
    clock.now += 0.5
    scheduler.work()
    assert len(found()) == 1


def test_what_another_holds_is_looked_at_again_soon_but_not_at_once(monkeypatch):
    recurring(next_run=in_seconds(-0.1))
    monkeypatch.setattr(LockingQuerySet, "locked", lambda rows, **how: rows.none())
    scheduler, waits = Scheduler(Outage("test"), lambda: None, clock := Clock()), []

    for _ in range(7):
        scheduler.work()
        waits.append(round(scheduler.seconds(), 2))
        clock.now += scheduler.seconds()

    assert waits == [0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0]


def test_it_says_that_there_is_work_even_when_another_server_was_quicker():
    said = []
    scheduler = Scheduler(Outage("test"), lambda: said.append(1), clock := Clock())
    recurring(next_run=in_seconds(0.5))
    scheduler.work()
    assert said == []

    RecurringJob.objects.update(next_run=in_seconds(60))
    clock.now += 0.5
    scheduler.work()
    clock.now += 1
    scheduler.work()

    assert said == [1]


def test_a_starting_server_writes_what_was_declared_in_ready(monkeypatch):
    monkeypatch.setattr(recurring_jobs, "_remembered", {})
    monkeypatch.setattr(apps, "ready", False)
    jobs.recurring("early", functions.nothing, cron="0 0 1 1 *")
    monkeypatch.setattr(apps, "ready", True)

    Scheduler(Outage("test"), lambda: None).work()

    assert get("early").next_run


def test_bad_ones_are_tried_again_from_time_to_time():
    recurring(next_run=in_seconds(-1))
    RecurringJob.objects.update(cron="bad")
    scheduler = Scheduler(Outage("test"), lambda: None, clock := Clock())
    for _ in range(3):
        scheduler.work()
        clock.now += 1
    assert get().error
    RecurringJob.objects.update(cron="0 0 29 2 *")
    scheduler.work()
    assert found() == []

    clock.now += BROKEN_SECONDS
    scheduler.work()

    assert len(found()) == 1


def test_the_time_to_the_next_is_one_indexed_statement():
    recurring(next_run=in_seconds(100))

    with CaptureQueriesContext(connection) as captured:
        assert 99 < seconds_to_next() <= 100

    assert len(captured) == 1


# In tests of a project


def test_drain_runs_what_recurs_by_then():
    recurring(func=functions.add, cron="30 23 L * *", args=(1,))
    RecurringJob.objects.update(next_run=timezone.now() + timedelta(days=20))

    assert jobs.testing.drain() == []
    assert len(jobs.testing.drain(as_of=timezone.now() + timedelta(days=21))) == 1
