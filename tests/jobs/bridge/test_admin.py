"""django-q2's own pages in the admin."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from django_q.models import Failure, Schedule
from django_q.tasks import async_task

from jobs.models import Job, RecurringJob
from jobs.states import State
from jobs.testing import drain

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.jobs.bridge.urls")]

ADD = "tests.functions.add"
FORM = {
    "name": "by hand",
    "func": ADD,
    "args": "1",
    "schedule_type": "D",
    "repeats": "-1",
    "next_run_0": "2026-01-01",
    "next_run_1": "12:00",
}


def test_a_schedule_made_edited_and_deleted_there_is_followed(admin_client):
    admin_client.post(reverse("admin:django_q_schedule_add"), FORM)
    kept = Schedule.objects.get()
    change = reverse("admin:django_q_schedule_change", args=[kept.pk])
    assert RecurringJob.objects.get().cron.startswith("every 1 days from 2026-01-01T12:00")

    admin_client.post(change, {**FORM, "schedule_type": "W", "kwargs": "b=5"})

    row = RecurringJob.objects.get()
    assert row.cron.startswith("every 1 weeks from 2026-01-01T12:00")
    assert row.arguments == {"args": [1], "kwargs": {"b": 5}}

    delete = reverse("admin:django_q_schedule_delete", args=[kept.pk])
    admin_client.post(delete, {"post": "yes"})

    assert not RecurringJob.objects.exists()


def test_the_list_shows_the_last_run(admin_client):
    Schedule.objects.create(func=ADD, args="1", schedule_type="D", next_run=timezone.now())
    drain(as_of=timezone.now() + timedelta(seconds=1))

    page = admin_client.get(reverse("admin:django_q_schedule_changelist")).content.decode()

    task = Job.objects.get().options["via"]["name"]
    assert f"[{task}]" in page
    assert "icon-yes" in page


def test_a_failed_task_is_shown_and_may_be_submitted_again(admin_client):
    async_task("tests.functions.fail", "no", ack_failure=True, group="a")
    drain()
    failure = Failure.objects.get()
    page = reverse("admin:django_q_failure_changelist")
    assert failure.name in admin_client.get(page).content.decode()
    shown = reverse("admin:django_q_failure_change", args=[failure.pk])
    assert "no : Traceback" in admin_client.get(shown).content.decode()

    admin_client.post(page, {"action": "resubmit_task", "_selected_action": [failure.pk]})

    assert Job.objects.get(state=State.ENQUEUED).args == ["no"]
    assert not Failure.objects.exists()
