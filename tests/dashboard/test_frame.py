"""What stands around every page."""

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

from jobs.dashboard import metrics
from jobs.models import Job
from jobs.states import State

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_numbers_of_other_tests():
    metrics.forget()
    yield
    metrics.forget()


@pytest.fixture
def operator(django_user_model, client):
    """Somebody who may see jobs and nothing else."""
    user = django_user_model.objects.create_user(
        email="op@bonfire.example", password="x", is_staff=True
    )
    user.user_permissions.add(Permission.objects.get(codename="view_job"))
    client.force_login(user)
    return user


def test_each_state_is_beside_the_page_with_its_number(admin_client):
    Job.objects.create(func="a.b", arguments={"args": [], "kwargs": {}}, state=State.FAILED)
    page = admin_client.get(reverse("admin:jobs_job_state", args=["failed"])).content.decode()
    for state in State:
        assert reverse("admin:jobs_job_state", args=[state]) in page
    assert '<span class="badge s-failed full">1</span>' in page


def test_an_open_page_gets_its_live_parts_only(admin_client):
    url = reverse("admin:jobs_job_state", args=["failed"])
    part = admin_client.get(url, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
    for id in ("nav", "side", "operations", "rows"):
        assert f'id="{id}"' in part
    assert part.count('hx-swap-oob="true"') == 4


def test_who_may_not_see_a_model_sees_no_way_to_it(client, operator):
    page = client.get(reverse("admin:jobs_job_state", args=["failed"])).content.decode()
    assert reverse("admin:jobs_queue_changelist") not in page


def test_without_permission_there_is_no_page(client, operator):
    operator.user_permissions.clear()
    assert client.get(reverse("admin:jobs_job_overview")).status_code == 403


def test_who_was_logged_out_is_led_to_the_log_in_page_by_the_next_update(client):
    answer = client.get(reverse("admin:jobs_job_overview"), headers={"HX-Request": "true"})
    assert answer.status_code == 401
    assert answer.headers["HX-Redirect"] == reverse("admin:login")


def test_the_old_address_of_the_admin_leads_to_the_same_page(client):
    answer = client.get("/admin/jobs/job/?q=7")
    assert (answer.status_code, answer.headers["Location"]) == (307, "/hangfire/jobs/job/?q=7")


def test_the_numbers_take_one_statement_for_all_states(admin_client, django_assert_num_queries):
    Job.objects.create(func="a.b", arguments={"args": [], "kwargs": {}}, state=State.FAILED)
    with django_assert_num_queries(4):
        metrics.take()
