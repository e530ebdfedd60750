"""Failed jobs by error."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from jobs.dashboard import metrics
from jobs.models import Job
from jobs.states import State

pytestmark = pytest.mark.django_db


def fail(error, key, count=1, **values):
    now = timezone.now()
    made = []
    for n in range(count):
        values = {"func": "shop.pay", "queue": "default", **values}
        job = Job.objects.create(
            arguments={"args": [n], "kwargs": {}},
            state=State.FAILED,
            error_type=error,
            error_key=key,
            state_changed_at=now - timedelta(minutes=count - n),
            **values,
        )
        job.history.create(
            state=State.PROCESSING,
            data={"error": {"type": error, "message": f"{error} {n}", "traceback": f"Trace {n}"}},
            entered_at=now,
            left_at=now,
        )
        made.append(job)
    return made


def get(client, **query):
    metrics.forget()
    return client.get(reverse("admin:jobs_job_failures", query=query or None))


def test_jobs_of_one_error_are_one_group_the_largest_first(admin_client):
    fail("KeyError", "a")
    fail("Timeout", "b", count=3)
    fail("KeyError", "c", count=2)
    groups = get(admin_client).context["groups"]
    assert [(g.error, g.count) for g in groups] == [
        ("Timeout", 3),
        ("KeyError", 2),
        ("KeyError", 1),
    ]
    assert groups[0].message == "Timeout 2"
    assert groups[0].first < groups[0].last


def test_other_states_are_in_no_group(admin_client):
    (job,) = fail("KeyError", "a")
    Job.objects.filter(pk=job.pk).update(state=State.ENQUEUED)
    page = get(admin_client)
    assert page.context["groups"] == []
    assert "No failed jobs." in page.content.decode()


def test_an_open_group_shows_its_jobs_and_the_latest_traceback(admin_client):
    jobs = fail("KeyError", "a", count=2)
    page = get(admin_client, group="a")
    (group,) = page.context["groups"]
    assert [job.pk for job in group.jobs] == [jobs[1].pk, jobs[0].pk]
    assert "Trace 1" in page.content.decode()


@pytest.mark.parametrize("query", [{"q": "timeo"}, {"func": "shop.ship"}, {"queue": "mail"}])
def test_groups_can_be_filtered(admin_client, query):
    fail("KeyError", "a")
    fail("Timeout", "b", func="shop.ship", queue="mail")
    assert [g.key for g in get(admin_client, **query).context["groups"]] == ["b"]


def test_who_may_not_requeue_has_no_button(client, django_user_model):
    from django.contrib.auth.models import Permission

    fail("KeyError", "a")
    user = django_user_model.objects.create_user(email="o@x.example", password="x", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_job"))
    client.force_login(user)
    assert "Requeue all" not in get(client).content.decode()


def test_the_number_of_statements_does_not_grow_with_the_groups(admin_client):
    def statements():
        with CaptureQueriesContext(connection) as asked:
            get(admin_client)
        return len(asked)

    fail("KeyError", "a")
    statements()
    few = statements()
    for n in range(20):
        fail("KeyError", f"k{n}", count=2)
    assert statements() == few <= 15
