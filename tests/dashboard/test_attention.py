"""What needs attention now."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.utils import timezone

from jobs.dashboard import attention, figures, metrics
from jobs.models import Job, Queue, RecurringJob, Server
from jobs.states import State

pytestmark = pytest.mark.django_db
URL = "/hangfire/jobs/job/overview/"
CALL = {"args": [], "kwargs": {}}


@pytest.fixture(autouse=True)
def _nothing_of_other_tests():
    metrics.forget()
    figures.forget()
    yield
    metrics.forget()
    figures.forget()


@pytest.fixture
def server():
    return Server.objects.create(name="alive", host="h", pid=1, heartbeat_at=timezone.now())


def job(state, ago=0.0, **values):
    moment = timezone.now() - timedelta(seconds=ago)
    return Job.objects.create(
        func=values.pop("func", "shop.jobs.pay"),
        arguments=CALL,
        state=state,
        queue=values.pop("queue", "default"),
        run_at=values.pop("run_at", moment),
        state_changed_at=moment,
        **values,
    )


def recurring(name, **values):
    return RecurringJob.objects.create(
        name=name, func="a.b", arguments=CALL, queue="default", cron="0 * * * *", **values
    )


def shown(client):
    metrics.forget()
    page = client.get(URL).content.decode()
    return page.partition('id="attention"')[2].partition("</section>")[0]


def test_nothing_to_do_is_said_quietly(admin_client, server):
    assert "All fine" in shown(admin_client)


def test_no_server_is_the_first_line(admin_client):
    job(State.ENQUEUED)
    found = shown(admin_client)
    assert "No server runs" in found
    assert "nothing will be processed; 1 job waiting" in found


def test_a_silent_server_is_named_with_what_it_holds(admin_client, server):
    silent = timezone.now() - timedelta(seconds=108)
    Server.objects.create(name="worker-3", host="h", pid=2, heartbeat_at=silent)
    job(State.PROCESSING, server="worker-3")
    found = shown(admin_client)
    assert "worker-3 is silent" in found
    assert "no heartbeat for 1 min 48 s, holds 1 job" in found


def test_a_job_that_waits_for_long_is_a_line_with_its_queue(admin_client, server):
    job(State.ENQUEUED, 30, queue="quick")
    assert "All fine" in shown(admin_client)
    job(State.ENQUEUED, 126, queue="mail")
    assert "Queue mail is behind" in shown(admin_client)


def test_what_waits_in_a_paused_queue_is_not_late(admin_client, server):
    Queue.objects.create(name="reports", paused_at=timezone.now(), paused_by="anna")
    job(State.ENQUEUED, 600, queue="reports")
    found = shown(admin_client)
    assert "Queue reports is paused" in found
    assert "by anna" in found
    assert "is behind" not in found


def test_a_paused_queue_without_jobs_is_no_line(admin_client, server):
    Queue.objects.create(name="reports", paused_at=timezone.now())
    assert "All fine" in shown(admin_client)


def test_behind_many_jobs_of_a_paused_queue_a_late_one_is_still_found(
    admin_client, server, monkeypatch
):
    monkeypatch.setattr(attention, "WAITING", 5)
    Queue.objects.create(name="reports", paused_at=timezone.now())
    Queue.objects.create(name="mail")
    for _number in range(6):
        job(State.ENQUEUED, 600, queue="reports")
    job(State.ENQUEUED, 100, queue="mail")
    assert "has waited for 1 min 40 s" in shown(admin_client)


def test_the_largest_group_of_errors_comes_first(admin_client, server):
    for _number in range(3):
        job(State.FAILED, error_type="shop.GatewayTimeout", error_key="k1")
    job(State.FAILED, error_type="builtins.ValueError", error_key="k2")
    found = shown(admin_client)
    assert found.index("3 jobs failed with GatewayTimeout") < found.index(
        "1 job failed with ValueError"
    )


def test_failures_of_yesterday_are_no_news(admin_client, server):
    job(State.FAILED, 90_000, error_type="x.Y", error_key="k")
    assert "All fine" in shown(admin_client)


def test_of_many_failures_the_number_is_a_lower_bound(admin_client, server, monkeypatch):
    monkeypatch.setattr(attention, "FAILURES", 2)
    for _number in range(4):
        job(State.FAILED, error_type="x.Y", error_key="k")
    assert "2+ jobs failed with Y" in shown(admin_client)


def test_a_recurring_job_with_an_error_leads_to_it(admin_client, server):
    row = recurring("rates", error="unknown zone")
    found = shown(admin_client)
    assert "rates can&#x27;t be enqueued" in found
    assert f"/hangfire/jobs/recurringjob/{row.pk}/change/" in found


def test_a_pause_is_a_line_once_it_is_long(admin_client, server):
    recurring("short", paused_at=timezone.now() - timedelta(days=1))
    recurring("long", paused_at=timezone.now() - timedelta(days=9), paused_reason="moving")
    found = shown(admin_client)
    assert "long is paused" in found
    assert "moving" in found
    assert "short" not in found


def test_retries_that_pile_up_are_a_line(admin_client, server, monkeypatch):
    monkeypatch.setattr(attention, "MANY_RETRIES", 2)
    for _number in range(2):
        job(State.SCHEDULED, retries=1, run_at=timezone.now() + timedelta(hours=1))
    assert "2 jobs are to be retried" in shown(admin_client)


def test_a_function_that_is_missing_is_named(admin_client, server):
    job(State.SCHEDULED, func="shop.gone", missing_since=timezone.now())
    assert "shop.gone is missing" in shown(admin_client)


def test_clocks_that_differ_are_a_line(admin_client, server, monkeypatch):
    monkeypatch.setattr(metrics.Snapshot, "clocks_differ_by", 5.0)
    found = shown(admin_client)
    assert "Clocks differ by 5 s" in found
    assert "ahead of the database" in found


def test_each_line_leads_only_where_its_reader_may_go(client, django_user_model):
    user = django_user_model.objects.create_user(
        email="op@bonfire.example", password="x", is_staff=True
    )
    user.user_permissions.add(Permission.objects.get(codename="view_job"))
    client.force_login(user)
    recurring("rates", error="unknown zone")
    found = shown(client)
    assert "No server runs" in found
    assert "rates" in found
    assert "<a " not in found
