"""The admin's log says who did what to jobs, and why."""

import pytest
from django.contrib.admin.models import CHANGE, DELETION, LogEntry

from jobs.dashboard import audit, metrics
from jobs.models import Job, Operation
from jobs.states import State

pytestmark = pytest.mark.django_db

ACT = "/hangfire/jobs/job/act/"


@pytest.fixture(autouse=True)
def _no_numbers_of_other_tests():
    metrics.forget()
    yield
    metrics.forget()


def fill(count):
    arguments = {"args": [], "kwargs": {}}
    Job.objects.bulk_create(
        Job(func="a.b", arguments=arguments, queue="default", state=State.FAILED)
        for _ in range(count)
    )
    return list(Job.objects.order_by("pk").values_list("pk", flat=True))


def test_one_job(admin_client, admin_user):
    (pk,) = fill(1)
    admin_client.post(ACT, {"action": "requeue", "job": pk, "reason": "bank is back"})
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id, entry.action_flag) == (admin_user, str(pk), CHANGE)
    assert entry.change_message == "requeued (bank is back)"
    assert entry.get_change_message() == "requeued (bank is back)"


def test_many_jobs_are_one_entry_with_their_ids_in_brief(admin_client):
    ids = fill(6)
    chosen = [*ids[:3], ids[5]]
    admin_client.post(ACT, {"action": "delete", "job": chosen, "confirmed": "1"})
    entry = LogEntry.objects.get()
    assert entry.action_flag == DELETION
    assert entry.object_repr == "4 jobs"
    assert entry.change_message == f"deleted: #{ids[0]}–#{ids[2]}, #{ids[5]}"


def test_what_did_not_move_is_not_in_the_log(admin_client):
    (pk,) = fill(1)
    admin_client.post(ACT, {"action": "requeue", "job": pk, "seen": "succeeded"})
    assert not LogEntry.objects.exists()


def test_an_operation_is_one_entry_and_stopping_it_another(admin_client):
    fill(501)
    asked = {"action": "requeue", "all": "1", "query": "queue=default", "seen": "failed"}
    admin_client.post(ACT, {**asked, "reason": "bank"})
    operation = Operation.objects.get()
    entry = LogEntry.objects.get()
    assert entry.change_message == (
        f"requeued: all failed with queue=default, up to #{operation.until}, "
        f"by operation {operation.pk} (bank)"
    )
    admin_client.post(f"/hangfire/jobs/job/operations/{operation.pk}/stop/")
    assert LogEntry.objects.count() == 2
    assert "stopped" in LogEntry.objects.first().change_message


def test_the_ids_of_scattered_jobs_are_cut_at_a_whole_one():
    text = audit.brief(range(1_000_000, 1_001_000, 2))
    assert len(text) <= audit.IDS_LENGTH + 3
    assert text.endswith(", …")
    assert all(part.startswith("#") for part in text[:-3].split(", "))
