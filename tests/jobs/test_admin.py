"""Recurring jobs in the admin: what operators see and may do."""

from datetime import UTC, datetime

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone

import jobs
from jobs.models import Job, RecurringJob
from jobs.recurrence import Schedule
from tests import functions

pytestmark = pytest.mark.django_db

CHANGELIST = "admin:jobs_recurringjob_changelist"
FORM = {
    "cron": "30 6 * * *",
    "time_zone": "Asia/Tokyo",
    "misfire": "skip",
    "queue": "mail",
    "priority": "5",
    "arguments": '{"args": [2], "kwargs": {}}',
    "options": '{"max_retries": 3}',
    "initial-options": "{}",
}


@pytest.fixture
def row():
    jobs.recurring("report", functions.add, cron="0 5 * * *", timezone="Europe/Berlin", args=(1,))
    return RecurringJob.objects.get()


@pytest.fixture
def operator(client):
    """A member of staff who may see and change recurring jobs, and nothing else."""
    user = get_user_model().objects.create_user(email="op@example.com", password="x", name="Op")
    user.is_staff = True
    user.save()
    permit(user, "view", "change")
    client.force_login(user)
    return client


def permit(user, *verbs):
    names = [f"{verb}_recurringjob" for verb in verbs]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))


def page_of(row):
    return reverse("admin:jobs_recurringjob_change", args=[row.pk])


def act(client, action, row, reason=""):
    data = {"action": action, "_selected_action": [row.pk], "reason": reason}
    return client.post(reverse(CHANGELIST), data, follow=True)


def test_its_page_shows_the_next_occurrences_on_its_own_clocks(operator, row, monkeypatch):
    monkeypatch.setattr(timezone, "now", lambda: datetime(2026, 10, 23, 12, tzinfo=UTC))

    page = operator.get(page_of(row)).content.decode()

    assert "Oct. 24, 2026, 5 a.m. CEST<br>Oct. 25, 2026, 5 a.m. CET" in page
    assert page.count("5 a.m.") == 5
    assert f"?recurring_job={row.pk}" in page


def test_an_edit_is_saved_and_the_next_run_follows(operator, row):
    answer = operator.post(page_of(row), FORM)

    assert answer.status_code == 302, answer.context["adminform"].errors
    row.refresh_from_db()
    assert (row.cron, row.queue, row.priority, row.misfire) == ("30 6 * * *", "mail", 5, "skip")
    assert (row.arguments, row.options) == ({"args": [2], "kwargs": {}}, {"max_retries": 3})
    assert row.next_run == Schedule("30 6 * * *", "Asia/Tokyo").next_after(timezone.now())


def test_an_edit_does_not_undo_what_a_server_did_meanwhile(operator, row, monkeypatch):
    edited = jobs.recurring_jobs.edited
    moved = datetime(2030, 1, 1, tzinfo=UTC)

    def overtaken(obj, fields):
        RecurringJob.objects.update(next_run=moved, last_run=moved)
        edited(obj, fields)

    monkeypatch.setattr(jobs.recurring_jobs, "edited", overtaken)
    same = {**FORM, "cron": row.cron, "time_zone": row.time_zone}
    operator.post(page_of(row), same)

    row.refresh_from_db()
    assert (row.queue, row.next_run, row.last_run) == ("mail", moved, moved)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("cron", "0 0 31 2 *", "names a date that never comes"),
        ("time_zone", "Europe/Berln", "did you mean"),
        ("queue", "a,b", "must not hold a comma"),
        ("priority", "101", "from -100 to 100"),
        ("arguments", "{oops", "Enter a valid JSON"),
        ("arguments", '"oops"', "This is not JSON"),
        ("arguments", '{"args": [], "kwargs": {}}', "missing a required argument"),
        ("options", '{"max_retries": -1}', "max_retries=-1"),
        ("misfire", "x", "Select a valid choice"),
    ],
)
def test_a_wrong_value_is_refused_at_its_field(operator, row, field, value, message):
    answer = operator.post(page_of(row), {**FORM, field: value})

    assert list(answer.context["adminform"].errors) == [field]
    assert message in str(answer.context["adminform"].errors[field])
    assert RecurringJob.objects.get().queue == "default"


def test_neither_function_nor_name_can_be_edited(operator, row):
    operator.post(page_of(row), {**FORM, "func": "os.abort", "name": "other"})

    row.refresh_from_db()
    assert (row.func, row.name) == ("tests.functions.add", "report")


def test_pausing_and_resuming_note_who_did_it(operator, row):
    assert "Paused 1 recurring job." in act(operator, "pause", row, "audit").content.decode()
    row.refresh_from_db()
    assert (row.paused_by, row.paused_reason, row.next_run) == ("op@example.com", "audit", None)

    assert "Resumed 1 recurring job." in act(operator, "resume", row).content.decode()
    row.refresh_from_db()
    assert row.next_run is not None
    assert list(LogEntry.objects.values_list("change_message", flat=True)) == [
        "resumed",
        "paused: audit",
    ]


def test_triggering_enqueues_a_job_that_its_list_shows(operator, row):
    assert "Enqueued 1 job." in act(operator, "trigger", row).content.decode()

    user = get_user_model().objects.get()
    user.is_superuser = True
    user.save()
    jobs.enqueue(functions.nothing)
    answer = operator.get(reverse("admin:jobs_job_changelist"), {"recurring_job": row.pk})
    assert list(answer.context["cl"].queryset) == list(Job.objects.filter(recurring_job=row))


def test_triggering_one_that_turned_bad_says_why(operator, row):
    RecurringJob.objects.filter(pk=row.pk).update(time_zone="Europe/Atlantis")

    page = act(operator, "trigger", row).content.decode()

    assert "Europe/Atlantis" in page
    assert "Enqueued 0 jobs." in page
    assert not Job.objects.exists()


@pytest.mark.parametrize("action", ["trigger", "pause", "resume"])
def test_who_may_only_look_may_not_act(operator, row, action):
    permit(get_user_model().objects.get(), "view")

    act(operator, action, row)

    row.refresh_from_db()
    assert (row.paused_at, Job.objects.count()) == (None, 0)
    assert operator.get(page_of(row)).status_code == 200


def test_deleting_leaves_its_jobs(operator, row):
    jobs.trigger("report")
    permit(get_user_model().objects.get(), "view", "delete")

    operator.post(reverse("admin:jobs_recurringjob_delete", args=[row.pk]), {"post": "yes"})

    assert not RecurringJob.objects.exists()
    assert Job.objects.get().recurring_job is None


def test_one_that_turned_bad_can_be_seen_and_mended(operator, row):
    RecurringJob.objects.update(cron="bad", next_run=datetime(2026, 1, 1, tzinfo=UTC))
    jobs.testing.drain()

    assert "must have five fields" in operator.get(page_of(row)).content.decode()
    assert operator.get(reverse(CHANGELIST)).status_code == 200
    assert operator.post(page_of(row), FORM).status_code == 302
    row.refresh_from_db()
    assert row.error == ""
