"""Recurring jobs through the public API: declaring, triggering, pausing, removing."""

from datetime import UTC, datetime, timedelta

import pytest
from asgiref.sync import async_to_sync
from django.apps import apps
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone

import jobs
from jobs import recurring_jobs
from jobs.engine.database import Outage
from jobs.engine.scheduler import Scheduler
from jobs.models import Job, RecurringJob
from jobs.recurrence import Schedule
from jobs.states import State
from tests import functions

pytestmark = pytest.mark.django_db

YEARLY = "0 0 1 1 *"


def declare(name="report", func=functions.add, **said):
    jobs.recurring(name, func, **{"cron": YEARLY, "args": (1,), **said})
    return get(name)


def get(name="report"):
    return RecurringJob.objects.get(name=name)


# Declaring


def test_a_declaration_becomes_a_row_with_its_next_run():
    before = timezone.now()

    row = declare(cron="0 12 * * *", timezone="Asia/Kathmandu", kwargs={"c": 2}, misfire="all")

    assert (row.func, row.misfire) == ("tests.functions.add", "all")
    assert row.arguments == {"args": [1], "kwargs": {"c": 2}}
    assert row.next_run == Schedule("0 12 * * *", "Asia/Kathmandu").next_after(before)
    assert (row.last_run, row.error, row.paused_at) == (None, "", None)


def test_a_decorated_function_brings_its_options_and_the_declaration_s_win():
    row = declare(func=functions.declared, priority=7, max_retries=1)

    assert (row.queue, row.priority, row.options) == ("mail", 7, {"max_retries": 1})


def test_options_may_come_through_using():
    row = declare(func=jobs.using(functions.add, queue="slow", priority=1), priority=2)

    assert (row.queue, row.priority) == ("slow", 2)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"JOBS": {"TIME_ZONE": "Asia/Tokyo"}, "Q_CLUSTER": {"time_zone": "UTC"}}, "Asia/Tokyo"),
        ({"Q_CLUSTER": {"time_zone": "Europe/Paris"}}, "Europe/Paris"),
        ({"TIME_ZONE": "America/Lima"}, "America/Lima"),
    ],
)
def test_without_a_time_zone_the_settings_say(settings, changes, expected):
    for name, value in changes.items():
        setattr(settings, name, value)

    assert declare().time_zone == expected


@pytest.mark.parametrize(
    ("said", "error", "message"),
    [
        ({"cron": "61 * * * *"}, jobs.InvalidSchedule, "cron='61 * * * *' has a bad minute"),
        ({"cron": "0 0 31 2 *"}, jobs.InvalidSchedule, "names a date that never comes"),
        ({"timezone": "Mars"}, jobs.InvalidSchedule, "timezone='Mars' is not the IANA name"),
        ({"misfire": "never"}, jobs.InvalidSchedule, "misfire='never' must be one of once"),
        ({"args": ()}, jobs.InvalidArguments, "missing a required argument: 'a'"),
        ({"args": (object(),)}, jobs.InvalidArguments, "argument 'a' is a builtins.object"),
        ({"func": "tests.functions.nowhere"}, jobs.InvalidFunction, "can't be imported"),
        ({"func": lambda: 0}, jobs.InvalidFunction, "no importable path"),
        ({"run_after": timedelta(1)}, jobs.InvalidOption, "cron says when"),
        ({"colour": "red"}, jobs.InvalidOption, "unknown option 'colour'"),
        ({"name": " "}, jobs.InvalidOption, "name=' ' must be text"),
        ({"name": "x" * 151}, jobs.InvalidOption, "at most 150 characters"),
    ],
)
def test_a_wrong_declaration_is_refused_by_name_and_writes_nothing(said, error, message):
    with pytest.raises(error) as caught:
        declare(**said)

    assert message in str(caught.value)
    assert not RecurringJob.objects.exists()


def test_declaring_the_same_again_writes_nothing(django_assert_num_queries):
    declare()

    with django_assert_num_queries(1):
        jobs.recurring("report", functions.add, cron=YEARLY, args=(1,))


def test_a_deploy_changes_what_is_declared_anew_and_leaves_operators_edits_and_pauses():
    declare(cron="0 5 * * *", queue="mail")
    RecurringJob.objects.update(cron="0 6 * * *", priority=50)
    jobs.pause("report", by="ada", reason="audit")

    row = declare(cron="0 5 * * *", queue="slow", priority=3)

    assert (row.cron, row.queue, row.priority) == ("0 6 * * *", "slow", 3)
    assert (row.paused_by, row.next_run) == ("ada", None)


def test_a_newly_declared_schedule_counts_from_now_and_forgets_the_error():
    declare()
    RecurringJob.objects.update(next_run=datetime(2020, 1, 1, tzinfo=UTC), error="broken")

    row = declare(cron="0 0 1 6 *")

    assert row.next_run == Schedule("0 0 1 6 *", "UTC").next_after(timezone.now())
    assert row.error == ""


def test_a_declaration_takes_part_in_the_caller_s_transaction():
    with pytest.raises(RuntimeError), transaction.atomic():
        declare()
        raise RuntimeError

    assert not RecurringJob.objects.exists()


def test_two_processes_that_declare_at_once_both_succeed(monkeypatch):
    """The second finds no row, and then its insert finds one."""
    declare(priority=1)
    found = recurring_jobs._rows
    answers = iter([RecurringJob.objects.none(), RecurringJob.objects.none()])
    monkeypatch.setattr(recurring_jobs, "_rows", lambda: next(answers, None) or found())

    row = declare(priority=2)

    assert row.priority == 2
    assert RecurringJob.objects.count() == 1


ignores_case = pytest.mark.skipif(
    connection.vendor != "mysql", reason="for this database they are two names"
)


@ignores_case
def test_a_name_that_is_another_s_for_the_database_is_refused_and_changes_nothing():
    declare("Report", args=(1,))

    with pytest.raises(jobs.InvalidOption) as caught:
        jobs.recurring("report", functions.add, cron=YEARLY, args=(2,))

    assert str(caught.value) == (
        "name='report': for this database it is the same as 'Report', which is there already; "
        "choose another, or remove_recurring('Report') first."
    )
    assert [row.arguments["args"] for row in RecurringJob.objects.all()] == [[1]]


@ignores_case
def test_a_server_starts_and_writes_the_others_when_two_names_are_one(loading, caplog):
    for name in ("Report", "report", "other"):
        jobs.recurring(name, functions.nothing, cron=YEARLY)
    loading.setattr(apps, "ready", True)

    Scheduler(Outage("test"), lambda: None).work()

    assert set(RecurringJob.objects.values_list("name", flat=True)) == {"Report", "other"}
    assert "it is the same as 'Report'" in caplog.text


# Declaring while Django loads the apps


@pytest.fixture
def loading(monkeypatch):
    monkeypatch.setattr(recurring_jobs, "_remembered", {})
    monkeypatch.setattr(apps, "ready", False)
    yield monkeypatch
    monkeypatch.setattr(apps, "ready", True)


def test_what_is_declared_in_ready_touches_no_database_until_migrate(
    loading, django_assert_num_queries
):
    with django_assert_num_queries(0):
        jobs.recurring("early", functions.nothing, cron=YEARLY)
    loading.setattr(apps, "ready", True)
    assert not RecurringJob.objects.exists()

    call_command("migrate", verbosity=0)

    assert get("early").cron == YEARLY


def test_what_is_wrong_in_ready_is_said_there(loading):
    with pytest.raises(jobs.InvalidSchedule, match="bad hour"):
        jobs.recurring("early", functions.nothing, cron="0 25 * * *")


# Triggering


def test_a_triggered_job_runs_now_and_belongs_to_no_occurrence():
    row = declare(queue="mail", priority=4, timezone="Asia/Tokyo", max_retries=1)

    job = jobs.trigger("report")

    job = Job.objects.get(pk=job.pk)
    assert (job.state, job.queue, job.priority, job.args) == (State.ENQUEUED, "mail", 4, [1])
    assert (job.recurring_job, job.occurrence) == (row, None)
    assert (job.time_zone, job.options) == ("Asia/Tokyo", {"max_retries": 1})
    assert job.reason == "triggered: report"
    row.refresh_from_db()
    assert (row.last_run, row.next_run) == (None, get().next_run)


def test_a_paused_recurring_job_can_be_triggered_twice():
    declare()
    jobs.pause("report")

    jobs.trigger("report")
    jobs.trigger("report")

    assert [outcome.kind for outcome in jobs.testing.drain()] == ["succeeded"] * 2


@pytest.mark.parametrize(
    ("column", "value", "error"),
    [
        ("cron", "61 * * * *", jobs.InvalidSchedule),
        ("time_zone", "Europe/Atlantis", jobs.InvalidSchedule),
        ("queue", "a,b", jobs.InvalidOption),
        ("priority", 999, jobs.InvalidOption),
        ("options", "[1]", jobs.InvalidOption),
        ("arguments", "nonsense", jobs.InvalidArguments),
    ],
)
def test_one_that_turned_bad_is_not_triggered(column, value, error):
    declare()
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {RecurringJob._meta.db_table} SET {column} = %s", [value])

    with pytest.raises(error, match=f"^recurring job 'report': .*{column.removesuffix('_zone')}"):
        jobs.trigger("report")
    assert not Job.objects.exists()


# Pausing and removing


def test_pausing_says_who_and_why_and_the_first_word_stays():
    declare()

    assert jobs.pause("report", by="ada", reason="audit") is True
    assert jobs.pause("report", by="bob") is False

    row = get()
    assert (row.paused_by, row.paused_reason, row.next_run) == ("ada", "audit", None)
    assert row.paused_at is not None


def test_resuming_goes_on_with_the_next_occurrence_and_brings_no_storm():
    declare(cron="* * * * *", misfire="all")
    jobs.pause("report", by="ada")
    RecurringJob.objects.update(paused_at=timezone.now() - timedelta(days=30))

    assert jobs.resume("report") is True
    assert jobs.resume("report") is False

    row = get()
    assert timedelta(0) < row.next_run - timezone.now() <= timedelta(minutes=1)
    assert (row.paused_at, row.paused_by, row.paused_reason) == (None, "", "")
    assert jobs.testing.drain() == []


def test_removing_leaves_the_jobs():
    declare()
    job = jobs.trigger("report")

    jobs.remove_recurring("report")

    assert not RecurringJob.objects.exists()
    assert Job.objects.get(pk=job.pk).recurring_job is None


@pytest.mark.parametrize("verb", ["trigger", "pause", "resume", "remove_recurring"])
def test_an_unknown_name_is_answered_with_the_one_meant(verb):
    declare("monthly-invoices")

    with pytest.raises(jobs.UnknownRecurringJob, match="Did you mean 'monthly-invoices'?"):
        getattr(jobs, verb)("monthly-invoice")


def test_an_unknown_name_like_no_other_gets_no_guess():
    with pytest.raises(jobs.UnknownRecurringJob, match=r"recurring job 'zzz'\.$"):
        jobs.trigger("zzz")


@pytest.mark.django_db(transaction=True)
def test_every_verb_has_a_twin_for_async_code():
    async def life():
        await jobs.arecurring("report", functions.add, cron=YEARLY, args=(1,))
        job = await jobs.atrigger("report")
        paused, resumed = await jobs.apause("report"), await jobs.aresume("report")
        await jobs.aremove_recurring("report")
        return job, paused, resumed

    job, paused, resumed = async_to_sync(life)()

    assert (job.args, paused, resumed) == ([1], True, True)
    assert not RecurringJob.objects.exists()


# The model's own validation


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("cron", "0 0 31 2 *", "never comes"),
        ("time_zone", "Europe/Berln", "did you mean 'Europe/Berlin'"),
        ("misfire", "x", "is none of once, all, skip"),
        ("queue", "a,b", "must not hold a comma"),
        ("priority", 101, "from -100 to 100"),
        ("arguments", [1], "arguments must be JSON like"),
        ("arguments", {"args": [float("nan")], "kwargs": {}}, "JSON can't hold"),
        ("arguments", {"args": [], "kwargs": {"z": 1}}, "can't be called so"),
        ("options", {"max_retries": -1}, "max_retries=-1"),
        ("options", {"queue": "x"}, "queue: not kept with a job"),
        ("options", [], "must be a JSON object"),
    ],
)
def test_clean_names_the_field(field, value, message):
    row = declare()
    setattr(row, field, value)

    with pytest.raises(ValidationError) as caught:
        row.clean()

    assert list(caught.value.message_dict) == [field]
    assert message in caught.value.message_dict[field][0]


def test_a_function_that_is_not_here_is_no_reason_to_refuse_an_edit():
    row = declare()
    row.func = "gone.away"

    row.clean()
