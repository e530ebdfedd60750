"""Failed jobs grouped by error."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone

from jobs.dashboard import failures, metrics
from jobs.models import HistoryEntry, Job
from jobs.states import State

pytestmark = pytest.mark.django_db

TRACEBACK = """Traceback (most recent call last):
  File "/srv/app/billing/gateway.py", line 88, in charge
    reply = self.http.post(url)
  File "/usr/lib/python3.13/http/client.py", line 7, in post
    raise TimeoutError("no answer")
TimeoutError: no answer
"""


@pytest.fixture(autouse=True)
def _nothing_of_other_tests():
    metrics.forget()
    failures.forget()
    yield
    metrics.forget()
    failures.forget()


def fail(key="k1", error="TimeoutError", message="no answer", *, hours=0.0, **more):
    moment = timezone.now() - timedelta(hours=hours)
    values = {"func": "billing.charge", "queue": "default", "arguments": {"args": [], "kwargs": {}}}
    values |= {"state": State.FAILED, "error_key": key, "error_type": error, "attempt": 1}
    values |= {"reason": f"{error}: {message}", "state_changed_at": moment, **more}
    job = Job.objects.create(**values)
    HistoryEntry.objects.create(
        job=job,
        state=State.PROCESSING,
        data={"error": {"type": error, "message": message, "traceback": TRACEBACK}},
        entered_at=moment,
        left_at=moment,
    )
    return job


def shown(client, **query):
    return client.get(reverse("admin:jobs_job_failures"), query).content.decode()


def test_jobs_with_the_same_error_are_one_group(admin_client):
    fail(hours=30)
    fail(hours=1)
    fail("k2", "KeyError", "'x'")
    groups = {group.key: group for group in failures.take().groups}
    assert (groups["k1"].count, groups["k1"].day, groups["k2"].count) == (2, 1, 1)
    assert groups["k1"].last - groups["k1"].first > timedelta(hours=28)
    assert "3 jobs in 2 groups." in shown(admin_client)


def test_a_group_tells_error_message_and_the_place_in_the_projects_own_code(admin_client):
    fail()
    page = shown(admin_client)
    assert "TimeoutError</a> no answer" in page
    assert "billing/gateway.py:88</code> in <code>charge</code>" in page
    assert "1 failure in the last 24 hours" in page


def test_the_newest_job_of_a_group_speaks_for_it():
    fail(message="new")
    fail(message="old", hours=2)  # the larger id: it was requeued and had failed before
    assert failures.take().groups[0].message == "new"


def test_jobs_in_other_states_do_not_count(admin_client):
    fail()
    fail(state=State.SCHEDULED)
    assert [group.count for group in failures.take().groups] == [1]


def test_the_present_hour_is_the_last_column():
    fail()
    fail(hours=23.99)
    columns = failures.take().groups[0].spark.split("M")[1:]
    assert columns[-1].startswith("107.8 ")


def test_only_the_first_groups_are_shown_until_all_are_asked_for(admin_client):
    for number in range(failures.SHOWN + 2):
        fail(f"k{number}", f"Error{number}")
    short = shown(admin_client)
    assert short.count('<tr id="group-') == failures.SHOWN
    assert "Show all 22 groups" in short
    assert shown(admin_client, all="1").count('<tr id="group-') == failures.SHOWN + 2


def test_a_group_opens_in_its_place_and_an_update_keeps_it_open(admin_client):
    job = fail()
    url = reverse("admin:jobs_job_failures") + "?group=k1"
    page = admin_client.get(url).content.decode()
    assert 'aria-expanded="true"' in page
    assert f"Select job {job.pk}" in page
    assert "reply = self.http.post(url)" in page
    part = admin_client.get(url, headers={"HX-Request": "true"}).content.decode()
    assert 'id="failures"' in part
    assert "Latest traceback" in part
    assert "<html" not in part


def test_what_may_be_done_to_all_is_posted_with_the_query_of_the_group(admin_client):
    fail()
    page = shown(admin_client, group="k1")
    assert 'name="query" value="state=failed&amp;error_key=k1"' in page
    assert 'name="action" value="requeue"' in page
    assert 'name="action" value="delete"' in page
    assert reverse("admin:jobs_job_state", args=["failed"]) + "?error_key=k1" in page


def test_a_filter_narrows_counts_and_actions_alike(admin_client):
    fail()
    fail(queue="mail")
    page = shown(admin_client, queue="mail")
    assert "1 job in 1 group." in page
    assert "state=failed&amp;error_key=k1&amp;queue=mail" in page


@pytest.mark.parametrize("text", ["timeouterror", "NO ANSWER", "gateway.py:88", "billing.charge"])
def test_text_is_found_in_error_message_place_and_function(admin_client, text):
    fail()
    fail("k2", "KeyError", "'x'", func="other.one")
    groups = failures.take().groups
    assert [group.key for group in groups if group.tells(text)][:1] == ["k1"]
    assert "No failed job matches the filter." in shown(admin_client, q="nowhere")


def test_the_order_is_by_jobs_or_by_the_latest(admin_client):
    fail("many", "ManyError", hours=5)
    fail("many", "ManyError", hours=5)
    fail("late", "LateError")
    by_jobs, latest = shown(admin_client), shown(admin_client, sort="latest")
    assert by_jobs.index("group-many") < by_jobs.index("group-late")
    assert latest.index("group-late") < latest.index("group-many")


def test_who_may_only_look_sees_no_action(client, django_user_model):
    user = django_user_model.objects.create_user(
        email="op@bonfire.example", password="x", is_staff=True
    )
    user.user_permissions.add(Permission.objects.get(codename="view_job"))
    client.force_login(user)
    fail()
    page = shown(client, group="k1")
    assert "TimeoutError" in page
    assert 'name="action"' not in page


def test_unknown_groups_and_orders_are_named_and_ignored(admin_client):
    fail()
    page = shown(admin_client, group="gone", sort="wrong")
    assert "The group that was open has no failed jobs now." in page
    assert "There is no order “wrong”" in page


def test_an_action_is_seen_by_the_next_page(admin_client):
    fail()
    assert "1 job in 1 group." in shown(admin_client)
    fail()
    metrics.forget()
    assert "2 jobs in 1 group." in shown(admin_client)


def test_the_page_says_how_long_failed_jobs_are_kept(admin_client):
    assert "Failed jobs are kept for 90 days." in shown(admin_client)


def test_an_error_without_attempt_or_key_is_shown(admin_client):
    Job.objects.create(
        func="a.b", arguments={"args": [], "kwargs": {}}, state=State.FAILED, reason="gone <b>"
    )
    page = shown(admin_client)
    assert "Without an error" in page
    assert "gone &lt;b&gt;" in page


def test_the_number_of_statements_does_not_grow(admin_client, django_assert_max_num_queries):
    for number in range(30):
        fail(f"k{number}", f"Error{number}")
        fail(f"k{number}", f"Error{number}")
    with django_assert_max_num_queries(15):
        shown(admin_client, group="k3")
