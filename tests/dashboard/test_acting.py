"""Actions on jobs: what moves, what is left alone, what is refused, and what is said of it."""

import pytest
from django.contrib.auth.models import Permission
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.urls import reverse

from jobs import steering, transitions
from jobs.dashboard import acting, matching, metrics
from jobs.models import Job, Operation
from jobs.states import State

pytestmark = pytest.mark.django_db

ACT = "/hangfire/jobs/job/act/"
FAILED = "/hangfire/jobs/job/failed/"


@pytest.fixture(autouse=True)
def _no_numbers_of_other_tests():
    metrics.forget()
    yield
    metrics.forget()


def make(state=State.FAILED, **values):
    given = {"func": "a.b", "arguments": {"args": [], "kwargs": {}}, "queue": "default"}
    return Job.objects.create(**{**given, "state": state, **values})


def states(*jobs):
    found = dict(Job.objects.values_list("pk", "state"))
    return [found[job.pk] for job in jobs]


def post(client, action="requeue", **fields):
    return client.post(ACT, {"action": action, "next": FAILED, **fields})


def said(answer):
    return " ".join(map(str, get_messages(answer.wsgi_request)))


@pytest.fixture
def operator(django_user_model, client):
    """Somebody who may see and requeue jobs."""
    user = django_user_model.objects.create_user(
        email="op@bonfire.example", password="x", is_staff=True
    )
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_job", "requeue_job"]))
    client.force_login(user)
    return user


def test_selected_jobs_are_requeued_and_the_page_is_shown_again(admin_client):
    jobs = [make(), make()]
    answer = post(admin_client, job=[job.pk for job in jobs], seen="failed")
    assert (answer.status_code, answer.headers["Location"]) == (302, FAILED)
    assert states(*jobs) == ["enqueued", "enqueued"]
    assert said(answer) == "2 jobs enqueued."


def test_the_history_says_who_did_it_and_why(admin_client, admin_user):
    job = make()
    post(admin_client, job=job.pk, reason="the bank\n is back")
    job.refresh_from_db()
    assert job.reason == f"requeued by {admin_user.get_username()}: the bank is back"


def test_a_job_that_has_moved_on_is_left_alone_and_told(admin_client):
    moved_on, failed = make(State.SUCCEEDED), make()
    answer = post(admin_client, job=[moved_on.pk, failed.pk], seen="failed")
    assert states(moved_on, failed) == ["succeeded", "enqueued"]
    assert said(answer) == "1 job enqueued. Left alone, as they are now: 1 in state Succeeded."


def test_of_two_operators_one_moves_the_job_and_both_are_told(admin_client):
    job = make()
    first = post(admin_client, job=job.pk, seen="failed")
    second = post(admin_client, job=job.pk, seen="failed")
    assert said(first) == "1 job enqueued."
    assert said(second).endswith(
        "0 jobs enqueued. Left alone, as they are now: 1 in state Enqueued."
    )
    assert Job.objects.get().history.count() == 1


def test_a_job_that_is_gone_is_told(admin_client):
    assert "1 no longer there" in said(post(admin_client, job=987654))


def test_a_retry_is_enqueued_now_and_keeps_count_of_its_retries(admin_client):
    job = make(State.SCHEDULED, retries=3)
    post(admin_client, "enqueue", job=job.pk, seen="scheduled")
    job.refresh_from_db()
    assert (job.state, job.retries) == ("enqueued", 3)


def test_enqueue_now_is_for_waiting_jobs_only(admin_client):
    job, child = make(), make(State.AWAITING)
    answer = post(admin_client, "enqueue", job=[job.pk, child.pk])
    assert states(job, child) == ["failed", "enqueued"]
    assert "1 in state Failed" in said(answer)


def test_requeueing_gives_all_retries_back(admin_client):
    job = make(retries=10)
    post(admin_client, job=job.pk)
    job.refresh_from_db()
    assert job.retries == 0


def test_deleting_asks_first_and_keeps_what_was_chosen(admin_client):
    job = make(State.SCHEDULED, retries=1)
    asking = post(admin_client, "delete", job=job.pk, seen="scheduled", reason="obsolete")
    page = asking.content.decode()
    assert states(job) == ["scheduled"]
    assert "1 job will be deleted." in page
    assert f'name="job" value="{job.pk}"' in page
    assert 'value="obsolete"' in page
    post(admin_client, "delete", job=job.pk, seen="scheduled", confirmed="1")
    assert states(job) == ["deleted"]


def test_a_running_job_is_stopped_by_deleting_it(admin_client):
    job = make(State.PROCESSING, claim_token="t", server="s")
    answer = post(admin_client, "delete", job=job.pk, seen="processing", confirmed="1")
    job.refresh_from_db()
    assert job.is_stopping
    assert said(answer) == "1 job deleted."
    assert "1 still stopping" in said(post(admin_client, job=job.pk))


def test_children_of_a_deleted_job_do_not_wait_on(admin_client, django_capture_on_commit_callbacks):
    parent = make()
    child = make(State.AWAITING, parent=parent, condition="succeeded")
    with django_capture_on_commit_callbacks(execute=True):
        post(admin_client, "delete", job=parent.pk, confirmed="1")
    assert states(child) == ["deleted"]


def test_all_that_match_move_and_no_others(admin_client):
    one, other = make(error_key="k1"), make(error_key="k2")
    answer = post(admin_client, all="1", query="?error_key=k1&after=9&sort=-id", seen="failed")
    assert states(one, other) == ["enqueued", "failed"]
    assert said(answer) == "1 job enqueued."


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", 5),
        ("queue=mail", 1),
        ("func=billing.", 2),
        ("func=billing.&queue=mail", 1),
        ("recurring_job=7", 1),
        ("retries=1", 1),
        ("queue=&after=1", 5),
    ],
)
def test_what_matches(query, expected):
    make(queue="mail", func="billing.invoice")
    make(func="billing.remind")
    make(recurring_job_id=7)
    make(retries=2)
    make()
    make(State.SUCCEEDED)
    assert matching.jobs(query, State.FAILED).count() == expected


@pytest.mark.parametrize(
    "query",
    ["colour=red", "recurring_job=abc", "recurring_job=-1", "queue=a%00b", "x=" + "y" * 3000],
)
def test_a_filter_that_is_not_understood_matches_nothing_instead_of_everything(admin_client, query):
    job = make()
    answer = post(admin_client, all="1", query=query, seen="failed")
    assert states(job) == ["failed"]
    assert said(answer).endswith("Nothing was done.")


@pytest.mark.parametrize(
    "fields",
    [
        {"job": "abc"},
        {"job": ["1", "-1"]},
        {"job": "1; DROP TABLE jobs_job"},
        {"job": "9" * 25},
        {"job": "1²"},
        {"job": "１"},
        {"job": ""},
        {},
        {"all": "1"},
        {"job": "1", "seen": "burning"},
        {"job": [str(n) for n in range(1, 502)]},
    ],
)
def test_a_malformed_request_does_nothing_and_says_so(admin_client, fields):
    job = make()
    answer = post(admin_client, **fields)
    assert answer.status_code == 302
    assert said(answer).endswith("Nothing was done.")
    assert states(job) == ["failed"]


def test_a_hundred_thousand_ids_are_refused(admin_client):
    job = make()
    assert post(admin_client, job=[str(n) for n in range(1, 100_002)]).status_code == 400
    assert states(job) == ["failed"]


@pytest.mark.parametrize("action", ["", "os.system", "run", "__class__", "reschedule"])
def test_there_are_no_other_actions(admin_client, action):
    job = make()
    answer = post(admin_client, action, job=job.pk)
    assert said(answer) == "There is no such action; nothing was done."
    assert states(job) == ["failed"]


@pytest.mark.parametrize(
    "address", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:1"]
)
def test_nobody_is_led_away(admin_client, address):
    answer = post(admin_client, job=make().pk, next=address)
    assert answer.headers["Location"] == reverse("admin:jobs_job_changelist")


def test_each_action_needs_its_own_permission(client, operator):
    job = make()
    assert post(client, "delete", job=job.pk, confirmed="1").status_code == 403
    assert states(job) == ["failed"]
    post(client, job=job.pk)
    assert states(job) == ["enqueued"]
    operator.user_permissions.set(Permission.objects.filter(codename="view_job"))
    scheduled = make(State.SCHEDULED)
    for action in ("requeue", "enqueue"):
        assert post(client, action, job=scheduled.pk).status_code == 403
    assert states(scheduled) == ["scheduled"]


def test_without_a_token_of_ours_there_is_no_action(admin_user):
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    job = make()
    assert post(client, job=job.pk).status_code == 403
    assert states(job) == ["failed"]


def test_it_is_no_address_to_look_at(admin_client):
    assert admin_client.get(ACT).status_code == 405


def test_more_than_a_request_carries_becomes_an_operation(admin_client, admin_user):
    arguments = {"args": [], "kwargs": {}}
    Job.objects.bulk_create(
        Job(func="a.b", arguments=arguments, queue="default", state=State.FAILED)
        for _ in range(501)
    )
    answer = post(admin_client, all="1", query="", seen="failed", reason="bank")
    assert "operation" in said(answer)
    assert Job.objects.filter(state=State.FAILED).count() == 501
    operation = Operation.objects.get()
    assert (operation.by, operation.reason) == (admin_user.get_username(), "bank")
    again = post(admin_client, all="1", query="", seen="failed")
    assert "not started twice" in said(again)
    assert Operation.objects.count() == 1


def test_one_job_that_the_database_refuses_does_not_keep_the_others(admin_client):
    if connection.vendor != "sqlite":
        pytest.skip("the trigger is written for SQLite")
    jobs = [make() for _ in range(3)]
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TRIGGER refuse BEFORE UPDATE ON jobs_job WHEN OLD.id = {jobs[1].pk}"
            " BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    answer = post(admin_client, job=[job.pk for job in jobs], seen="failed")
    assert states(*jobs) == ["enqueued", "failed", "enqueued"]
    assert said(answer) == "2 jobs enqueued. 1 was refused by the database."


def test_an_action_costs_the_same_for_one_job_and_for_many(
    admin_client, django_assert_max_num_queries
):
    jobs = [make() for _ in range(200)]
    with django_assert_max_num_queries(25):
        post(admin_client, job=[job.pk for job in jobs], seen="failed")


def test_jobs_that_change_again_and_again_are_no_server_error(admin_client, monkeypatch):
    def race(*args, **kwargs):
        raise acting.Raced

    monkeypatch.setattr(acting, "steer", race)
    assert "try once more" in said(post(admin_client, job=make().pk))


def test_steering_moves_only_what_was_seen():
    first, second = make(), make(State.DELETED)
    result = steering.steer(
        steering.ACTIONS["requeue"], [second.pk, first.pk, 99999], by="a", seen=State.FAILED
    )
    assert result.moved == [first.pk]
    assert result.skipped == {second.pk: State.DELETED}
    assert result.missing == {99999}


def test_enqueueing_now_leaves_jobs_in_other_states_alone():
    job = make()
    assert transitions.enqueue_now([job.pk], "x").skipped == {job.pk: State.FAILED}
