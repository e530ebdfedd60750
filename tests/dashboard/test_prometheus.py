"""The numbers for Prometheus."""

from datetime import UTC, datetime, timedelta
from importlib import util

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.test import override_settings
from django.urls import include, path
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from config.urls import urlpatterns as of_the_project
from jobs.dashboard import figures, metrics, prometheus
from jobs.models import Counter, Job, Queue
from jobs.states import State

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]
urlpatterns = [*of_the_project, path("", include("jobs.dashboard.metrics_urls"))]
ON = override_settings(JOBS={"PROMETHEUS": True, "PROMETHEUS_TOKEN": "secret"})


@pytest.fixture(autouse=True)
def _nothing_of_other_tests():
    for module in (metrics, figures, prometheus):
        module.forget()
    yield
    for module in (metrics, figures, prometheus):
        module.forget()


def scrape(client, token="secret"):
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.content.decode())
        for sample in family.samples
    }


def test_nothing_is_served_unless_it_is_switched_on(admin_client):
    assert admin_client.get("/metrics").status_code == 404


@ON
def test_a_scraper_needs_the_token(client):
    assert client.get("/metrics").status_code == 401
    wrong = client.get("/metrics", headers={"Authorization": "Bearer wrong"})
    assert wrong.status_code == 401
    assert scrape(client)


@override_settings(JOBS={"PROMETHEUS": True})
def test_without_a_token_in_the_settings_none_is_right(client):
    answer = client.get("/metrics", headers={"Authorization": "Bearer "})
    assert answer.status_code == 401


@ON
def test_a_user_who_may_see_jobs_needs_no_token(admin_client):
    assert admin_client.get("/metrics").status_code == 200


@ON
def test_jobs_are_counted_by_state_and_queue(client):
    Queue.objects.create(name="mail", paused_at=timezone.now())
    Job.objects.create(
        func="a.b", arguments={"args": [], "kwargs": {}}, state=State.ENQUEUED, queue="mail"
    )
    found = scrape(client)
    assert found["bonfire_jobs", "enqueued"] == 1
    assert found["bonfire_queue_jobs", "mail"] == 1
    assert found["bonfire_queue_paused", "mail"] == 1


@ON
def test_outcomes_and_histograms_come_from_the_counters(client):
    minute = timezone.now().replace(second=0, microsecond=0)
    for name, value in (("succeeded", 5), ("retry", 2), ("run<=0.5", 4), ("run>3600", 1)):
        Counter.objects.create(minute=minute, server="s", name=name, value=value)
    found = scrape(client)
    assert found["bonfire_executions_total", "succeeded"] == 5
    assert found["bonfire_executions_total", "retry"] == 2
    assert found["bonfire_run_seconds_bucket", "0.2"] == 0
    assert found["bonfire_run_seconds_bucket", "0.5"] == 4
    assert found["bonfire_run_seconds_bucket", "+Inf"] == 5


def test_totals_grow_by_what_came_and_start_anew_with_the_month():
    noon = datetime(2026, 5, 15, 12, 0, tzinfo=UTC)
    for moment in (datetime(2026, 4, 30, 12, 0, tzinfo=UTC), noon - timedelta(hours=3), noon):
        Counter.objects.create(minute=moment, server="s", name="failed", value=1)
    assert prometheus.totals(noon)["failed"] == 2
    Counter.objects.create(minute=noon + timedelta(minutes=20), server="s", name="failed", value=5)
    assert prometheus.totals(noon + timedelta(minutes=30))["failed"] == 7
    assert prometheus.totals(datetime(2026, 6, 1, tzinfo=UTC))["failed"] == 0


@ON
def test_a_missing_package_is_named_by_the_check_and_by_the_page(admin_client, monkeypatch):
    import sys

    monkeypatch.setattr(
        "jobs.checks.find_spec", lambda name: None if "prom" in name else util.find_spec(name)
    )
    with pytest.raises(SystemCheckError, match=r"E009.*\n?.*prometheus"):
        call_command("check")
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ImproperlyConfigured, match=r"django-bonfire\[prometheus\]"):
        admin_client.get("/metrics")
