"""The queues' page, and the servers'."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from jobs.dashboard import metrics
from jobs.models import Job, Queue, Server
from jobs.states import State

pytestmark = pytest.mark.django_db

QUEUES, ACT, SERVERS = (
    "admin:jobs_queue_changelist",
    "admin:jobs_queue_act",
    "admin:jobs_server_changelist",
)


@pytest.fixture(autouse=True)
def _no_numbers_of_other_tests():
    metrics.forget()
    yield
    metrics.forget()


def job(**values):
    values = {"func": "a.b", "arguments": {"args": [], "kwargs": {}}, "queue": "mail", **values}
    return Job.objects.create(**values)


def test_a_queue_shows_how_many_jobs_wait_and_run_in_it(admin_client):
    Queue.objects.create(name="mail")
    for state in (State.ENQUEUED, State.ENQUEUED, State.PROCESSING, State.FAILED):
        job(state=state)
    (queue,) = admin_client.get(reverse(QUEUES)).context["queues"]
    assert (queue.length, queue.running) == (2, 1)
    assert queue.oldest is not None


def test_a_queue_is_paused_and_resumed_with_a_note_of_who_and_why(admin_client, admin_user):
    queue = Queue.objects.create(name="mail")
    admin_client.post(reverse(ACT), {"action": "pause", "queue": "mail", "reason": "SMTP is down"})
    queue.refresh_from_db()
    assert queue.paused_at is not None
    assert queue.paused_reason == "SMTP is down"
    page = admin_client.get(reverse(QUEUES)).content.decode()
    assert "SMTP is down" in page
    admin_client.post(reverse(ACT), {"action": "resume", "queue": "mail"})
    queue.refresh_from_db()
    assert queue.paused_at is None
    notes = LogEntry.objects.filter(user=admin_user).order_by("id")
    assert [entry.get_change_message() for entry in notes] == ["Paused: SMTP is down", "Resumed"]


def test_the_second_of_two_operators_is_told(admin_client):
    Queue.objects.create(name="mail", paused_at=timezone.now())
    page = admin_client.post(reverse(ACT), {"action": "pause", "queue": "mail"}, follow=True)
    assert "was paused already" in page.content.decode()
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("posted", [{"action": "pause", "queue": "nowhere"}, {"action": "burn"}])
def test_what_makes_no_sense_is_refused_with_the_reason(admin_client, posted):
    page = admin_client.post(reverse(ACT), posted, follow=True)
    assert page.status_code == 200
    assert 'class="alert s-failed"' in page.content.decode()


def test_who_may_only_look_can_not_pause(client, django_user_model):
    Queue.objects.create(name="mail")
    user = django_user_model.objects.create_user(email="o@x.example", password="x", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_queue"))
    client.force_login(user)
    assert "Pause" not in client.get(reverse(QUEUES)).content.decode()
    assert client.post(reverse(ACT), {"action": "pause", "queue": "mail"}).status_code == 403


def test_a_foreign_address_is_not_gone_back_to(admin_client):
    Queue.objects.create(name="mail")
    posted = {"action": "pause", "queue": "mail", "next": "//evil.example/"}
    assert admin_client.post(reverse(ACT), posted).url == reverse(QUEUES)


def test_the_number_of_statements_does_not_grow_with_the_queues(admin_client):
    def statements():
        metrics.forget()
        with CaptureQueriesContext(connection) as asked:
            admin_client.get(reverse(QUEUES))
        return len(asked)

    Queue.objects.create(name="mail")
    job(state=State.ENQUEUED)
    statements()
    few = statements()
    for n in range(30):
        Queue.objects.create(name=f"q{n}")
    assert statements() == few <= 15


@pytest.mark.parametrize(("seconds", "word"), [(1, "alive"), (15, "late"), (60, "silent")])
def test_a_server_is_judged_by_its_last_heartbeat(admin_client, seconds, word):
    now = timezone.now()
    Server.objects.create(
        name="web", host="web", pid=7, heartbeat_at=now - timedelta(seconds=seconds)
    )
    (server,) = admin_client.get(reverse(SERVERS)).context["servers"]
    assert server.status == word


def test_a_server_shows_what_it_runs(admin_client):
    Server.objects.create(name="web", host="web", pid=7, heartbeat_at=timezone.now())
    running = job(state=State.PROCESSING, server="web")
    (server,) = admin_client.get(reverse(SERVERS)).context["servers"]
    assert server.running == [running]


def test_without_a_server_the_page_warns(admin_client):
    assert "no job will be processed" in admin_client.get(reverse(SERVERS)).content.decode()
