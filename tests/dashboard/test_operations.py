"""Operations in the background: that they end, stop, go on after a crash, and show how far they are."""

import pytest
from django.contrib.messages import get_messages
from django.db import OperationalError
from django.urls import reverse

from jobs import operations, transitions
from jobs.dashboard import metrics
from jobs.models import Job, Operation
from jobs.states import State
from jobs.steering import ACTIONS

pytestmark = pytest.mark.django_db

FAILED = "/hangfire/jobs/job/failed/"


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch):
    monkeypatch.setattr(operations, "BATCH", 5)
    metrics.forget()
    yield
    metrics.forget()


def fill(count, state=State.FAILED, **values):
    given = {"func": "a.b", "arguments": {"args": [], "kwargs": {}}, "queue": "default"}
    Job.objects.bulk_create(Job(**{**given, "state": state, **values}) for _ in range(count))


def start(action="requeue", seen=State.FAILED, query="", **more):
    return operations.start(ACTIONS[action], seen, query, by="anna", **more).operation


def count(state):
    return Job.objects.filter(state=state, func="a.b").count()


def test_it_moves_all_that_match_and_tells_its_numbers():
    fill(12)
    fill(3, queue="mail")
    operation = start(query="queue=default", reason="bank")
    numbers = operations.work(operation.pk)
    assert numbers == {"moved": 12, "skipped": 0, "failed": 0, "of": 12}
    assert (count(State.ENQUEUED), count(State.FAILED)) == (12, 3)
    operation.refresh_from_db()
    assert operation.finished_at is not None
    assert Job.objects.filter(state=State.ENQUEUED).first().reason == "requeued by anna: bank"


def test_it_is_a_job_before_all_others():
    fill(1)
    job = start().job
    assert (job.func, job.priority, job.queue) == ("jobs.operations.work", 100, "default")


def test_it_does_not_reach_jobs_that_came_later():
    fill(6)
    operation = start()
    fill(2)
    operations.work(operation.pk)
    assert count(State.FAILED) == 2


def test_it_does_not_act_on_itself():
    fill(6, State.ENQUEUED)
    operation = start("delete", State.ENQUEUED)
    operations.work(operation.pk)
    assert Job.objects.get(pk=operation.job_id).state == State.ENQUEUED
    assert count(State.DELETED) == 6


def test_a_job_that_fails_again_is_requeued_once():
    """Or an operation on jobs that fail at once would have no end."""
    fill(7)
    operation = start()
    operations._next(operation.pk)
    Job.objects.filter(state=State.ENQUEUED, func="a.b").update(state=State.FAILED)
    numbers = operations.work(operation.pk)
    assert numbers["moved"] == 7


def test_after_a_crash_it_goes_on_where_it_was(monkeypatch):
    fill(12)
    operation = start()
    real, calls = operations.steer, []

    def dies_in_the_second_batch(*args, **kwargs):
        result = real(*args, **kwargs)
        calls.append(1)
        if len(calls) == 2:
            raise OperationalError("the connection is lost")
        return result

    monkeypatch.setattr(operations, "steer", dies_in_the_second_batch)
    with pytest.raises(OperationalError):
        operations.work(operation.pk)
    operation.refresh_from_db()
    assert (operation.moved, count(State.ENQUEUED)) == (5, 5)
    numbers = operations.work(operation.pk)
    assert numbers == {"moved": 12, "skipped": 0, "failed": 0, "of": 12}


def test_what_moved_on_by_itself_is_counted_as_skipped():
    fill(12)
    operation = start()
    Operation.objects.filter(pk=operation.pk).update(of=12)
    operations._next(operation.pk)
    last = Job.objects.filter(func="a.b").order_by("-pk").values("pk")[:2]
    transitions.requeue([row["pk"] for row in last], "by hand")
    numbers = operations.work(operation.pk)
    assert numbers == {"moved": 10, "skipped": 2, "failed": 0, "of": 12}


def test_stopping_ends_it_after_its_batch(admin_client):
    fill(12)
    operation = start()
    operations._next(operation.pk)
    answer = admin_client.post(
        reverse("admin:jobs_job_operation_stop", args=[operation.pk]), {"next": FAILED}
    )
    assert [str(m) for m in get_messages(answer.wsgi_request)] == ["Stopped after 5 jobs."]
    assert operations.work(operation.pk)["moved"] == 5
    assert count(State.FAILED) == 7


def test_stopped_before_it_began_its_job_is_not_run():
    fill(3)
    operation = start()
    assert operations.stop(operation, by="ben")
    assert Job.objects.get(pk=operation.job_id).state == State.DELETED
    assert not operations.stop(operation, by="ben")


def test_stopping_needs_the_permission_of_the_action(client, django_user_model):
    from django.contrib.auth.models import Permission

    fill(3)
    operation = start("delete")
    user = django_user_model.objects.create_user(
        email="op@bonfire.example", password="x", is_staff=True
    )
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_job", "requeue_job"]))
    client.force_login(user)
    url = reverse("admin:jobs_job_operation_stop", args=[operation.pk])
    assert client.post(url).status_code == 403
    assert url not in client.get(FAILED).content.decode()


@pytest.mark.parametrize("pk", [404, 2**63, 10**30])
def test_an_unknown_operation_is_not_found(admin_client, pk):
    url = reverse("admin:jobs_job_operation_stop", args=[pk])
    assert admin_client.post(url).status_code == 404


def test_the_same_is_not_started_twice_but_again_when_it_is_over():
    fill(3)
    action = ACTIONS["requeue"]
    first = operations.start(action, State.FAILED, "", by="anna")
    second = operations.start(action, State.FAILED, "", by="ben")
    assert (first.is_new, second.is_new) == (True, False)
    assert second.operation == first.operation
    operations.work(first.operation.pk)
    assert operations.start(action, State.FAILED, "", by="ben").is_new


def test_one_whose_job_was_deleted_is_shown_as_interrupted_and_does_not_block(admin_client):
    fill(3)
    operation = start()
    transitions.delete([operation.job_id], "by hand")
    page = admin_client.get(FAILED).content.decode()
    assert "Interrupted" in page
    assert "Go on" in page
    assert operations.start(ACTIONS["requeue"], State.FAILED, "", by="ben").is_new


def test_an_open_page_sees_its_progress_and_its_result(admin_client):
    fill(10)
    operation = start(reason="bank is back")

    def shown():
        return admin_client.get(FAILED, headers={"HX-Request": "true"}).content.decode()

    assert "Waits for a worker" in shown()
    Operation.objects.filter(pk=operation.pk).update(of=10)
    operations._next(operation.pk)
    part = shown()
    assert '<progress max="100" value="50"' in part
    assert "5 moved, 0 skipped" in part
    assert "started by anna" in part
    assert "bank is back" in part
    operations.work(operation.pk)
    part = shown()
    assert "10 moved" in part
    assert "Finished." in part
    assert "<progress" not in part


def test_the_page_of_operations_lists_them_and_asks_a_constant_number_of_times(
    admin_client, django_assert_max_num_queries
):
    fill(3)
    for query in ("queue=a", "queue=b", "queue=c", "queue=d"):
        start(query=query)
    with django_assert_max_num_queries(15):
        page = admin_client.get(reverse("admin:jobs_job_operations")).content.decode()
    assert page.count("queue = ") >= 4


def test_what_does_not_exist_is_no_work():
    assert operations.work(12345) == {}
