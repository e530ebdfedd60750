"""The numbers of the overview as JSON."""

import pytest
from django.urls import reverse
from django.utils import timezone

from jobs.dashboard import figures, metrics
from jobs.models import Counter, Job
from jobs.states import State

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_of_other_tests():
    metrics.forget()
    figures.forget()
    yield
    metrics.forget()
    figures.forget()


def test_the_documented_keys_are_there(admin_client):
    from jobs.dashboard.overview import stats

    answer = admin_client.get(reverse("admin:jobs_job_stats")).json()
    for key in answer:
        assert key == "counted_up_to" or f"`{key}`" in stats.__doc__


def test_the_numbers_are_those_of_the_page(admin_client):
    Job.objects.create(func="a.b", arguments={"args": [], "kwargs": {}}, state=State.FAILED)
    minute = timezone.now().replace(second=0, microsecond=0)
    Counter.objects.create(minute=minute, server="s", name="failed", value=3)
    answer = admin_client.get(reverse("admin:jobs_job_stats")).json()
    assert answer["states"]["failed"] == 1
    assert answer["last_24_hours"]["failed"] == 3
    assert answer["attention"][0]["id"] == "no-server"


def test_who_may_not_see_jobs_gets_none(client, django_user_model):
    user = django_user_model.objects.create_user(
        email="op@bonfire.example", password="x", is_staff=True
    )
    client.force_login(user)
    assert client.get(reverse("admin:jobs_job_stats")).status_code == 403
