"""Trigger, pause, resume and delete recurring jobs in the dashboard."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.urls import reverse

import jobs
from jobs.models import Job, RecurringJob
from tests import functions

pytestmark = pytest.mark.django_db

ACT = "admin:jobs_recurringjob_act"
VERBS = ("view", "trigger", "pause", "delete")


@pytest.fixture
def rows():
    for name in ("a", "b", "c"):
        jobs.recurring(name, functions.add, cron="0 5 * * *", args=(1,))
    return list(RecurringJob.objects.all())


@pytest.fixture
def operator(client, django_user_model):
    """A member of staff who may do everything with recurring jobs but edit them."""
    user = django_user_model.objects.create_user(email="op@b.example", password="x", is_staff=True)
    permit(user, *VERBS)
    client.force_login(user)
    return user


def permit(user, *verbs):
    names = [f"{verb}_recurringjob" for verb in verbs]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))


def act(client, action, rows, **fields):
    data = {"action": action, "recurring_job": [row.pk for row in rows], **fields}
    return client.post(reverse(ACT), data, follow=True).content.decode()


def logged():
    return list(LogEntry.objects.order_by("pk").values_list("object_repr", "change_message"))


def test_triggering_enqueues_a_job_of_each(client, operator, rows):
    assert "Enqueued 2 jobs." in act(client, "trigger", rows[:2])

    made = Job.objects.order_by("pk")
    assert [job.recurring_job for job in made] == rows[:2]
    assert logged() == [
        (row.name, f"Triggered: job #{job.pk}") for row, job in zip(rows, made, strict=False)
    ]


def test_triggering_one_that_turned_bad_says_why(client, operator, rows):
    RecurringJob.objects.filter(name="a").update(time_zone="Europe/Atlantis")

    page = act(client, "trigger", rows[:2])

    assert "Enqueued 1 job. Left alone:" in page
    assert "Europe/Atlantis" in page
    assert [name for name, _said in logged()] == ["b"]


def test_pausing_asks_for_a_reason_and_keeps_it(client, operator, rows):
    assert "Pause 2 recurring jobs?" in act(client, "pause", rows[:2])
    assert not RecurringJob.objects.filter(paused_at__isnull=False).exists()

    assert "Paused 2 recurring jobs." in act(client, "pause", rows[:2], reason="audit")

    rows[0].refresh_from_db()
    assert (rows[0].paused_by, rows[0].paused_reason) == ("op@b.example", "audit")
    assert rows[0].next_run is None
    assert logged() == [("a", "Paused: audit"), ("b", "Paused: audit")]


def test_what_is_paused_already_is_left_alone_and_said(client, operator, rows):
    jobs.pause("a")

    page = act(client, "pause", rows, reason="")

    assert "Paused 2 recurring jobs. Left alone: was paused already." in page
    assert logged() == [("b", "Paused"), ("c", "Paused")]


def test_resuming_lets_it_go_on(client, operator, rows):
    jobs.pause("a")

    assert "Resumed 1 recurring job. Left alone: was not paused." in act(client, "resume", rows[:2])

    rows[0].refresh_from_db()
    assert rows[0].next_run is not None
    assert logged() == [("a", "Resumed")]


def test_deleting_is_confirmed_and_leaves_the_jobs(client, operator, rows):
    jobs.trigger("a")
    page = act(client, "delete", rows[:1])
    assert "Delete 1 recurring job?" in page
    assert "is declared in code" in page
    assert RecurringJob.objects.count() == 3

    assert "Deleted 1 recurring job." in act(client, "delete", rows[:1], confirmed=1, reason="old")

    assert [row.name for row in RecurringJob.objects.all()] == ["b", "c"]
    assert Job.objects.get().recurring_job is None
    assert logged() == [("a", "Deleted: old")]


def test_a_row_s_own_button_acts_on_that_row_whatever_is_selected(client, operator, rows):
    data = {"action": "trigger", "recurring_job": [rows[0].pk]}
    client.post(f"{reverse(ACT)}?only={rows[1].pk}", data)

    assert Job.objects.get().recurring_job == rows[1]


@pytest.mark.parametrize("chosen", [[], ["99"], ["x", "²", "1" * 30]])
def test_nothing_selected_or_no_longer_there_is_said(client, operator, rows, chosen):
    data = {"action": "trigger", "recurring_job": chosen}

    page = client.post(reverse(ACT), data, follow=True).content.decode()

    assert "Nothing was done" in page


@pytest.mark.parametrize(
    ("action", "verb"),
    [("trigger", "trigger"), ("pause", "pause"), ("resume", "pause"), ("delete", "delete")],
)
def test_each_action_has_a_permission_of_its_own(client, operator, rows, action, verb):
    permit(operator, *(other for other in VERBS if other != verb))
    data = {"action": action, "recurring_job": [rows[0].pk], "reason": "", "confirmed": 1}
    page = client.get(reverse("admin:jobs_recurringjob_changelist")).content.decode()

    assert client.post(reverse(ACT), data).status_code == 403
    assert f'value="{action}"' not in page
    assert not LogEntry.objects.exists()


def test_an_unknown_action_is_said_so(client, operator, rows):
    answer = client.post(reverse(ACT), {"action": "explode", "recurring_job": [rows[0].pk]})
    assert answer.status_code == 404


def test_afterwards_one_is_where_one_was(client, operator, rows):
    where = reverse("admin:jobs_recurringjob_changelist") + "?q=a"
    data = {"action": "resume", "recurring_job": [rows[0].pk], "next": where}

    assert client.post(reverse(ACT), data).headers["Location"] == where
