"""The page of the queues, where they are paused and resumed."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone

from jobs.dashboard import metrics
from jobs.models import Job, Queue
from jobs.states import State

pytestmark = pytest.mark.django_db
URL = "admin:jobs_queue_changelist"
ACT = "admin:jobs_queue_act"


@pytest.fixture(autouse=True)
def _no_numbers_of_other_tests():
    metrics.forget()
    yield
    metrics.forget()


@pytest.fixture
def mail():
    return Queue.objects.create(name="mail")


def job(**values):
    call = {"args": [], "kwargs": {}}
    return Job.objects.create(func="shop.send", arguments=call, **{"queue": "mail", **values})


def act(client, action, queue="mail", **more):
    data = {"action": action, "queue": queue, **more}
    return client.post(reverse(ACT), data, follow=True).content.decode()


def log_in(client, django_user_model, *permissions):
    user = django_user_model.objects.create_user("op@bonfire.example", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(user)


def test_a_queue_shows_its_length_what_runs_and_what_comes_next(admin_client, mail):
    job(state=State.ENQUEUED)
    urgent = job(state=State.ENQUEUED, priority=5)
    job(state=State.PROCESSING)
    page = admin_client.get(reverse(URL)).content.decode()
    assert '<td class="r" data-label="Length">2</td>' in page
    assert '<td class="r" data-label="Running now">1</td>' in page
    assert f"#{urgent.pk}</a> shop.send" in page
    assert reverse("admin:jobs_job_state", args=["enqueued"]) + "?queue=mail" in page


def test_a_queue_is_paused_and_resumed(admin_client, admin_user, mail):
    page = act(admin_client, "pause", reason="moving")
    mail.refresh_from_db()
    assert (mail.paused_by, mail.paused_reason) == (admin_user.get_username(), "moving")
    assert "Queue mail was paused." in page
    assert ": moving" in page
    assert LogEntry.objects.get().change_message == "Paused: moving"
    assert "was paused already" in act(admin_client, "pause")

    assert "Queue mail was resumed." in act(admin_client, "resume")
    mail.refresh_from_db()
    assert mail.paused_at is None


def test_an_unknown_queue_or_action_changes_nothing(admin_client, mail):
    for action, queue in (("pause", "nil"), ("burn", "mail")):
        assert "no such queue or action" in act(admin_client, action, queue)


def test_who_may_only_look_can_not_pause(client, django_user_model, mail):
    log_in(client, django_user_model, "view_queue")
    assert reverse(ACT) not in client.get(reverse(URL)).content.decode()
    assert client.post(reverse(ACT), {"action": "pause", "queue": "mail"}).status_code == 403
    mail.refresh_from_db()
    assert mail.paused_at is None


def test_a_queue_can_not_be_edited(admin_client, mail):
    url = reverse("admin:jobs_queue_change", args=["mail"])
    assert admin_client.post(url, {"paused_by": "eve"}).status_code == 403


def test_the_page_costs_the_same_for_many(admin_client, mail, django_assert_num_queries):
    job(state=State.ENQUEUED)
    admin_client.get(reverse(URL))
    with django_assert_num_queries(5):
        admin_client.get(reverse(URL))
    for number in range(100):
        Queue.objects.create(name=f"q{number}")
        job(queue=f"q{number}", state=State.ENQUEUED)
    with django_assert_num_queries(5):
        admin_client.get(reverse(URL))


def test_an_open_page_gets_the_rows_anew(admin_client, mail):
    part = admin_client.get(reverse(URL), headers={"HX-Request": "true"}).content.decode()
    assert 'id="queue-rows"' in part
    assert "<html" not in part


def test_the_oldest_job_counts_though_others_come_first(admin_client, mail):
    job(state=State.ENQUEUED, priority=5)
    job(state=State.ENQUEUED, run_at=timezone.now() - timedelta(minutes=7, seconds=20))
    assert "7 min" in admin_client.get(reverse(URL)).content.decode()
