"""The lists of jobs by state and the retries page."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from jobs.dashboard import metrics
from jobs.models import HistoryEntry, Job, Server
from jobs.states import State

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_numbers_of_other_tests():
    metrics.forget()
    yield
    metrics.forget()


def make(func="a.b", state=State.FAILED, args=(), **values):
    arguments = {"args": list(args), "kwargs": {}}
    return Job.objects.create(func=func, arguments=arguments, state=state, **values)


def url(state, query=""):
    return reverse("admin:jobs_job_state", args=[state]) + query


def text(client, address, **kwargs):
    answer = client.get(address, **kwargs)
    assert answer.status_code == 200
    return answer.content.decode()


HEADS = {
    State.ENQUEUED: ["Queue", "Priority", "Due", "Since"],
    State.SCHEDULED: ["Queue", "Due", "Scheduled"],
    State.PROCESSING: ["Server", "Queue", "Started"],
    State.SUCCEEDED: ["Duration", "Wait", "Succeeded"],
    State.FAILED: ["Error", "Queue", "Failed"],
    State.DELETED: ["Reason or error", "Deleted"],
    State.AWAITING: ["Parent", "Condition", "Since"],
}


@pytest.mark.parametrize("state", State)
def test_each_state_has_its_columns(admin_client, state):
    make(state=state)
    answer = admin_client.get(url(state))
    assert [head.title for head in answer.context["heads"]] == ["Id", "Job", *HEADS[state]]


@pytest.mark.parametrize("state", State)
def test_an_empty_list_says_so_and_has_no_table(admin_client, state):
    page = text(admin_client, url(state))
    assert 'class="empty' in page
    assert "<table" not in page
    assert "There is no" not in page


def test_a_search_without_result_offers_the_way_back(admin_client):
    page = text(admin_client, url("failed", "?queue=nowhere"))
    assert "No job matches." in page
    assert f'<a href="{url("failed")}">Clear all filters</a>' in page


def test_a_succeeded_job_shows_how_long_it_waited_and_ran(admin_client):
    now = timezone.now()
    job = make(state=State.SUCCEEDED, created_at=now, run_at=now)
    HistoryEntry.objects.create(
        job=job,
        state=State.PROCESSING,
        entered_at=now + timedelta(seconds=65),
        left_at=now + timedelta(seconds=65.25),
    )
    page = text(admin_client, url("succeeded"))
    assert "250 ms" in page
    assert "1 min 5 s" in page


def test_an_awaiting_job_shows_its_parent_with_its_state(admin_client):
    parent = make(state=State.PROCESSING)
    make(state=State.AWAITING, parent=parent, condition="succeeded")
    page = text(admin_client, url("awaiting"))
    assert f">#{parent.pk}</a>" in page
    assert "label s-processing" in page
    assert "<code>succeeded</code>" in page


def test_a_job_of_a_server_that_is_silent_is_marked(admin_client):
    Server.objects.create(name="here", host="h", pid=1, heartbeat_at=timezone.now())
    make(state=State.PROCESSING, server="here")
    make(state=State.PROCESSING, server="gone")
    page = text(admin_client, url("processing"))
    assert "⚠ gone" in page
    assert "⚠ here" not in page


def test_what_jobs_say_is_shown_as_text(admin_client):
    make(func="<script>alert(1)</script>", args=["<img src=x>", "\u202eesrever"], error_type="<b>")
    page = text(admin_client, url("failed"))
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "<bdi>&lt;script&gt;" in page


def test_a_megabyte_of_arguments_is_not_sent(admin_client):
    make(args=["x" * 1_000_000])
    page = text(admin_client, url("failed"))
    assert len(page) < 100_000
    assert "(long arguments)" in page


@pytest.mark.parametrize("state", State)
def test_the_number_of_statements_does_not_grow_with_the_rows(admin_client, state):
    def statements(count, **headers):
        parent = Job.objects.first()
        Job.objects.bulk_create(
            Job(
                func="a.b",
                arguments={"args": [], "kwargs": {}},
                state=state,
                server="s",
                parent=parent,
            )
            for _number in range(count)
        )
        metrics.forget()
        with CaptureQueriesContext(connection) as captured:
            page = text(admin_client, url(state, "?size=500"), **headers)
        assert page.count('name="job"') == Job.objects.filter(state=state).count() or not count
        return len(captured)

    make(state=state, parent=make(state=State.DELETED if state != State.DELETED else State.FAILED))
    one, twenty, all = statements(0), statements(19), statements(480)
    assert one == twenty == all <= 15
    assert statements(0, headers={"HX-Request": "true"}) <= 15


def test_pages_are_reached_by_key(admin_client):
    for _number in range(45):
        make()
    first = admin_client.get(url("failed"))
    second = admin_client.get(url("failed") + first.context["pager"]["next"])
    assert len(second.context["slice"].rows) == 20
    assert second.context["slice"].rows[0].pk == first.context["slice"].rows[-1].pk - 1
    back = admin_client.get(url("failed") + second.context["pager"]["previous"])
    assert back.context["slice"].rows == first.context["slice"].rows
    last = admin_client.get(url("failed") + first.context["pager"]["last"])
    assert last.context["pager"]["next"] == ""


def test_a_list_is_sorted_by_what_has_an_index_only(admin_client):
    page = text(admin_client, url("failed", "?sort=func"))
    assert "can&#x27;t be sorted by “func”" in page


@pytest.mark.parametrize(
    "query", ["?size=7", "?after=nonsense", "?before=%00", "?recurring_job=x", "?e=1", "?since=x"]
)
def test_a_wrong_parameter_is_named_and_the_list_is_there(admin_client, query):
    make()
    page = text(admin_client, url("failed", query))
    assert page.count('class="alert s-warning"') == 1
    assert 'name="job"' in page


def test_filters_that_are_on_are_chips_that_can_be_removed(admin_client):
    make(queue="mail")
    answer = admin_client.get(url("failed", "?queue=mail&func=a&size=50"))
    assert [url for _chip, url in answer.context["chips"]] == [
        "?func=a&size=50",
        "?queue=mail&size=50",
    ]


def test_an_id_leads_to_its_job(admin_client):
    job = make()
    answer = admin_client.get(reverse("admin:jobs_job_changelist"), {"q": f"#{job.pk}"})
    assert answer.status_code == 302
    assert answer.headers["Location"] == reverse("admin:jobs_job_change", args=[job.pk])


def test_the_search_of_the_navigation_goes_through_all_states(admin_client):
    make(func="billing.one", state=State.SUCCEEDED)
    make(func="billing.two", state=State.AWAITING)
    make(func="other")
    answer = admin_client.get(reverse("admin:jobs_job_changelist"), {"q": "billing"})
    assert [job.func for job in answer.context["slice"].rows] == ["billing.two", "billing.one"]


def test_without_a_search_all_jobs_are_where_something_is_to_be_done(admin_client):
    make()
    answer = admin_client.get(reverse("admin:jobs_job_changelist"))
    assert answer.headers["Location"] == url("failed")


@pytest.mark.parametrize(
    ("state", "actions"),
    [
        ("failed", ["requeue", "delete"]),
        ("scheduled", ["enqueue", "delete"]),
        ("succeeded", ["requeue"]),
    ],
)
def test_the_buttons_post_what_the_action_needs(admin_client, state, actions):
    job = make(state=state, queue="mail")
    page = text(admin_client, url(state, "?queue=mail&size=50"))
    for action in actions:
        assert f'name="action" value="{action}"' in page
    assert page.count('name="action"') == len(actions)
    assert f'name="job" value="{job.pk}"' in page
    assert f'name="seen" value="{state}"' in page
    assert 'name="query" value="queue=mail"' in page
    assert f'name="next" value="{url(state)}?queue=mail&amp;size=50"' in page


def test_who_may_only_look_has_no_boxes(client, django_user_model):
    from django.contrib.auth.models import Permission

    user = django_user_model.objects.create_user(email="o@b.example", password="x", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_job"))
    client.force_login(user)
    make()
    page = text(client, url("failed"))
    assert 'type="checkbox"' not in page
    assert 'name="action"' not in page


def test_an_update_says_what_became_of_rows_that_left(admin_client):
    stays, left = make(), make(state=State.SUCCEEDED)
    headers = {"HX-Request": "true", "X-Shown": f"{stays.pk},{left.pk},999999,x"}
    part = text(admin_client, url("failed"), headers=headers)
    moved = part[part.index('class="moved"') :]
    assert f'data-job="{left.pk}"><span class="label s-succeeded">' in moved
    assert 'data-job="999999"><span class="label text s-deleted">Gone' in moved
    assert f'data-job="{stays.pk}"' not in moved


def test_retries_are_those_that_failed_before_the_next_one_first(admin_client):
    now = timezone.now()
    late = make(state=State.SCHEDULED, retries=2, run_at=now + timedelta(hours=2))
    soon = make(
        state=State.SCHEDULED, retries=1, run_at=now + timedelta(hours=1), error_type="a.Oops"
    )
    make(state=State.SCHEDULED)
    answer = admin_client.get(reverse("admin:jobs_job_retries"))
    assert answer.context["slice"].rows == [soon, late]
    page = answer.content.decode()
    assert ">Oops<" in page
    assert "2 of 11" in page
    assert "Give up" in page
    assert 'name="query" value="retries=1"' in page
    assert f'<a href="{reverse("admin:jobs_job_retries")}" aria-current="page">Retries' in page


def test_without_retries_all_is_well(admin_client):
    assert "No job is to be retried." in text(admin_client, reverse("admin:jobs_job_retries"))


def test_an_update_has_the_rows_of_the_list_with_their_boxes(admin_client):
    old, new = make(), make(func="new.one")
    headers = {"HX-Request": "true", "X-Shown": str(old.pk)}
    part = text(admin_client, url("failed"), headers=headers)
    assert part.index(f'id="job-{new.pk}"') < part.index(f'id="job-{old.pk}"')
    assert part.count('name="job"') == 2
    assert "csrfmiddlewaretoken" not in part
