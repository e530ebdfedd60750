"""`Schedule` rows as recurring jobs, and as a scheduled job when they run once."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from django_q.models import Schedule
from django_q.signals import pre_enqueue
from django_q.tasks import fetch, schedule

from jobs.models import Adopted, Job, RecurringJob
from jobs.recurrence import schedule_for
from jobs.states import State
from jobs.testing import drain

pytestmark = pytest.mark.django_db

ADD = "tests.functions.add"
PAST = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _time_zone(monkeypatch):
    monkeypatch.setattr("django_q.conf.Conf.TIME_ZONE", "Europe/Berlin")


def upcoming(row, count=3):
    moments = schedule_for(row.cron, row.time_zone).upcoming(row.next_run, count)
    return [f"{moment:%m-%d %H:%M}" for moment in moments]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ({"schedule_type": "I", "minutes": 45}, ["01-31 12:45", "01-31 13:30", "01-31 14:15"]),
        ({"schedule_type": "H"}, ["01-31 13:00", "01-31 14:00", "01-31 15:00"]),
        ({"schedule_type": "D"}, ["02-01 12:00", "02-02 12:00", "02-03 12:00"]),
        ({"schedule_type": "W"}, ["02-07 12:00", "02-14 12:00", "02-21 12:00"]),
        # Clocks go forward on 29 March.
        (
            {"schedule_type": "BW"},
            ["02-14 12:00", "02-28 12:00", "03-14 12:00", "03-28 12:00", "04-11 11:00"],
        ),
        ({"schedule_type": "M"}, ["02-28 12:00", "03-31 11:00", "04-30 11:00"]),
        ({"schedule_type": "BM"}, ["03-31 11:00", "05-31 11:00", "07-31 11:00"]),
        ({"schedule_type": "Q"}, ["04-30 11:00", "07-31 11:00", "10-31 12:00"]),
        ({"schedule_type": "Y"}, ["01-31 12:00", "01-31 12:00"]),
    ],
)
def test_each_kind_is_a_recurring_job(kind, expected):
    schedule(ADD, 1, name="report", next_run=PAST, **kind)

    row = RecurringJob.objects.get()
    assert (row.func, row.arguments["args"], row.next_run) == (ADD, [1], PAST)
    assert upcoming(row, len(expected)) == expected


def test_a_cron_schedule_is_read_in_django_q2_s_time_zone():
    row = Schedule(func=ADD, args="1", schedule_type="C", cron="30 8 * * 1-5", pk=7, next_run=PAST)
    row.save(force_insert=True)

    row = RecurringJob.objects.get()
    assert (row.cron, row.time_zone, row.misfire) == ("30 8 * * 1-5", "Europe/Berlin", "once")


def test_what_is_due_runs_and_is_shown_at_the_schedule():
    kept = schedule(
        ADD,
        1,
        name="report",
        schedule_type="D",
        next_run=timezone.now() - timedelta(minutes=1),
        repeats=2,
    )

    drain()

    kept.refresh_from_db()
    job = Job.objects.get()
    assert (job.result, job.recurring_job.name) == (2, f"report (schedule {kept.pk})")
    assert (kept.success(), kept.repeats) == (True, 1)
    assert kept.next_run > timezone.now()
    assert fetch(kept.task).group == "report"


def test_the_last_of_its_repeats_is_the_last():
    kept = schedule(
        ADD, 1, schedule_type="H", next_run=timezone.now() - timedelta(hours=5), repeats=2
    )

    drain()

    kept.refresh_from_db()
    assert (Job.objects.count(), kept.repeats) == (2, 0)
    assert RecurringJob.objects.get().next_run is None


def test_missed_ones_are_made_up_for_as_catch_up_says(monkeypatch):
    monkeypatch.setattr("django_q.conf.Conf.CATCH_UP", False)
    schedule(ADD, 1, schedule_type="H", next_run=timezone.now() - timedelta(hours=5, minutes=1))

    drain()

    assert Job.objects.count() == 1


def test_an_edit_is_followed_and_a_deletion_too():
    kept = schedule(ADD, 1, schedule_type="D", next_run=PAST + timedelta(days=9000))
    row = RecurringJob.objects.get()

    kept.func, kept.args, kept.schedule_type = "tests.functions.nothing", None, "W"
    kept.save()

    edited = RecurringJob.objects.get()
    assert (edited.pk, edited.func, edited.arguments["args"]) == (
        row.pk,
        "tests.functions.nothing",
        [],
    )
    assert edited.cron.startswith("every 1 weeks from ")

    kept.delete()

    assert not RecurringJob.objects.exists()
    assert not Adopted.objects.exists()


def test_saving_what_has_not_changed_changes_nothing():
    kept = schedule(ADD, 1, schedule_type="M", next_run=timezone.now() - timedelta(days=1))
    drain()
    before = RecurringJob.objects.values().get()

    Schedule.objects.get(pk=kept.pk).save()

    assert RecurringJob.objects.values().get() == before


def test_once_is_a_scheduled_job_and_the_schedule_goes_when_it_has_run():
    due = timezone.now() + timedelta(hours=1)
    kept = schedule(ADD, 1, intended_date_kwarg="b", next_run=due)

    job = Job.objects.get()
    assert (job.state, job.run_at, job.kwargs) == (State.SCHEDULED, due, {"b": due.isoformat()})
    kept.args = "2"
    Schedule.objects.get(pk=kept.pk).save()
    assert Job.objects.count() == 1
    kept.kwargs, kept.intended_date_kwarg = "b=5", None
    kept.save()
    job.refresh_from_db()
    assert job.state == State.DELETED

    drain(as_of=due + timedelta(seconds=1))

    assert Job.objects.get(state=State.SUCCEEDED).result == 7
    assert not Schedule.objects.exists()


def test_once_with_repeats_stays_without_them():
    kept = schedule(ADD, 1, repeats=3)

    drain()

    kept.refresh_from_db()
    assert (kept.repeats, kept.success()) == (0, True)


def test_deleting_it_deletes_the_job_that_waits():
    kept = schedule(ADD, 1, next_run=timezone.now() + timedelta(hours=1))

    kept.delete()

    assert Job.objects.get().state == State.DELETED


def test_what_can_t_be_read_never_runs_and_says_so(caplog):
    Schedule.objects.create(func=ADD, args="not python", schedule_type="D")

    assert "can't run" in caplog.text
    assert not RecurringJob.objects.exists()


def test_an_edit_that_can_t_be_read_is_shown_at_the_recurring_job():
    kept = schedule(ADD, 1, schedule_type="D", next_run=timezone.now())
    Schedule.objects.filter(pk=kept.pk).update(args="not python")

    drain()

    row = RecurringJob.objects.get()
    assert "arguments 'not python' are not written" in row.error
    assert not Job.objects.exists()


def test_arguments_that_are_not_json_and_options_come_along():
    kept = schedule(
        "tests.functions.kind",
        (1, {2}),
        schedule_type="D",
        cluster="slow",
        hook=ADD,
        q_options={"timeout": 5, "group": "sets"},
        next_run=timezone.now() - timedelta(seconds=1),
    )
    drain()

    job = Job.objects.get(func="tests.functions.kind")
    task = fetch(Schedule.objects.get(pk=kept.pk).task)
    assert (job.queue, job.options["timeout"], task.group, task.result) == (
        "slow",
        5,
        "sets",
        "tuple",
    )


def test_receivers_of_pre_enqueue_hear_of_each_occurrence():
    heard = []

    def receiver(task, **kwargs):
        heard.append(task["func"])
        task["kwargs"]["b"] = 9

    pre_enqueue.connect(receiver)
    try:
        schedule(ADD, 1, schedule_type="D", next_run=timezone.now() - timedelta(seconds=1))
        drain()
    finally:
        pre_enqueue.disconnect(receiver)

    assert heard == [ADD]
    assert Job.objects.get().result == 10


def test_once_does_not_come_back_when_its_job_has_expired():
    kept = schedule(ADD, 1, next_run=timezone.now() - timedelta(seconds=1))
    Job.objects.all().delete()

    kept.name = "renamed"
    kept.save()

    assert not Job.objects.exists()
