"""The page of the servers, and what can be asked of one there."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone

import jobs
from jobs.dashboard import metrics
from jobs.models import Job, Order, Server
from jobs.states import State

pytestmark = pytest.mark.django_db
URL = "admin:jobs_server_changelist"
ACT = "admin:jobs_server_act"


@pytest.fixture(autouse=True)
def _no_numbers_of_other_tests():
    metrics.forget()
    yield
    metrics.forget()


@pytest.fixture
def server():
    return start("web:1:ab")


def start(name, age=0, **values):
    beat = timezone.now() - timedelta(seconds=age)
    return Server.objects.create(name=name, host="h", pid=7, heartbeat_at=beat, **values)


def run(server):
    call = {"args": [], "kwargs": {}}
    job = Job.objects.create(
        func="shop.pay", arguments=call, queue="mail", state=State.PROCESSING, server=server.name
    )
    working = {"slot": 0, "job": job.pk, "since": timezone.now().timestamp()}
    server.workers = [*server.workers, working]
    server.save()
    return job


def shown(client):
    return client.get(reverse(URL)).content.decode()


def ask(client, action, server, **more):
    data = {"action": action, "server": server.name, "sure": "1", **more}
    return client.post(reverse(ACT), data, follow=True).content.decode()


def log_in(client, django_user_model, *permissions):
    user = django_user_model.objects.create_user("op@bonfire.example", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(user)


def test_without_a_server_it_says_that_nothing_will_be_processed(admin_client):
    assert "nothing will be processed" in shown(admin_client)


def test_a_server_shows_what_it_is_and_what_it_runs(admin_client, server):
    server.queues, server.load = ["mail"], {"cpu_percent": 71.2, "memory_mb": 300.4}
    job = run(server)
    page = shown(admin_client)
    for text in ("web:1:ab", "Alive", "71 %", "300 MB", f"#{job.pk}", "shop.pay"):
        assert text in page
    assert reverse("admin:jobs_job_state", args=["enqueued"]) + "?queue=mail" in page


def test_a_job_that_has_ended_since_the_heartbeat_is_not_shown(admin_client, server):
    job = run(server)
    Job.objects.filter(pk=job.pk).update(state=State.SUCCEEDED)
    assert "shop.pay" not in shown(admin_client)


def test_late_and_silent_servers_are_told_apart(admin_client, settings):
    settings.JOBS = {**settings.JOBS, "HEARTBEAT_SECONDS": 5, "SERVER_TIMEOUT_SECONDS": 30}
    start("late", 20)
    assert "Late" in shown(admin_client)
    start("silent", 90)
    page = shown(admin_client)
    assert "silent has been silent for 1 min 30 s" in page
    assert "its jobs return to their queues" in page


def test_an_action_asks_first(admin_client, server):
    page = ask(admin_client, "stop", server, sure="")
    assert "as by SIGTERM" in page
    server.refresh_from_db()
    assert server.order == Order.NONE


def test_quiet_resume_and_stop_note_who_and_why(admin_client, admin_user, server):
    for action, order, text in (
        ("quiet", Order.QUIET, "asked to take no new jobs"),
        ("resume", Order.NONE, "asked to take jobs again"),
        ("stop", Order.STOP, "asked to stop"),
    ):
        assert text in ask(admin_client, action, server, reason="deploy")
        server.refresh_from_db()
        assert server.order == order
        assert (server.ordered_by, server.ordered_reason) == (admin_user.get_username(), "deploy")
        assert LogEntry.objects.first().change_message.endswith("deploy")
    assert "stops already" in ask(admin_client, "quiet", server)
    assert LogEntry.objects.count() == 3


def test_a_server_that_is_gone_is_told_of(admin_client, server):
    server.delete()
    assert "web:1:ab is gone" in ask(admin_client, "stop", Server(name="web:1:ab"))


def test_who_may_only_look_sees_no_button_and_is_refused(client, django_user_model, server):
    log_in(client, django_user_model, "view_server")
    job = run(server)
    page = shown(client)
    assert reverse(ACT) not in page
    assert f"#{job.pk}" in page
    assert "shop.pay" not in page
    assert client.post(reverse(ACT), {"action": "stop", "server": server.name}).status_code == 403


def test_the_page_costs_the_same_for_many(admin_client, server, django_assert_num_queries):
    run(server)
    admin_client.get(reverse(URL))
    with django_assert_num_queries(5) as few:
        admin_client.get(reverse(URL))
    for number in range(30):
        run(start(f"s{number}"))
    with django_assert_num_queries(len(few)):
        admin_client.get(reverse(URL))


def test_an_open_page_gets_the_rows_anew(admin_client, server):
    part = admin_client.get(reverse(URL), headers={"HX-Request": "true"}).content.decode()
    assert 'id="server-rows"' in part
    assert "<html" not in part


def test_a_server_that_is_not_there_can_not_be_asked(db):
    with pytest.raises(jobs.UnknownServer):
        jobs.quiet_server("nobody")


def test_a_text_that_is_too_long_is_refused(server):
    with pytest.raises(jobs.InvalidOption):
        jobs.stop_server(server.name, reason="x" * 256)
