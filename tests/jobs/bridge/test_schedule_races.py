"""Two connections save one Schedule at the same time: what stands for it in the end is one thing."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from django_q.models import Schedule

from jobs.bridge import schedules
from jobs.models import Adopted, Job
from jobs.states import State

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 10


@pytest.fixture(autouse=True)
def _met(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both saves are committed before either is followed."""
    meeting, adopt = threading.Barrier(2), schedules.adopt

    def adopt_together(schedule: Schedule) -> None:
        meeting.wait(20)
        adopt(schedule)

    monkeypatch.setattr(schedules, "adopt", adopt_together)


def edit_at_once(pk: int, *arguments: int) -> None:
    """Edit it in a thread and a connection for each argument; raise what any of them raised."""
    errors: list[Exception] = []

    def run(argument: int) -> None:
        try:
            edit(pk, argument)
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(a,), daemon=True) for a in arguments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    if errors:
        raise ExceptionGroup("of those at once", errors)


def edit(pk: int, argument: int) -> None:
    row = Schedule.objects.get(pk=pk)
    row.args = str(argument)
    row.save()


def assert_one_job_is_pending(pk: int) -> None:
    """It is the last edit's, and the one that Schedule and link name."""
    [job] = Job.objects.exclude(state=State.DELETED)
    row, link = Schedule.objects.get(pk=pk), Adopted.objects.get()
    assert (job.state, job.args) == (State.SCHEDULED, [int(row.args)])
    assert (link.key, link.job_id) == (str(pk), job.pk)
    assert row.task == job.options["via"]["id"]


def once() -> int:
    """A Schedule as it stood there before: nothing has been made of it."""
    due = timezone.now() + timedelta(hours=1)
    row = Schedule(func="tests.functions.add", args="0", schedule_type="O", next_run=due)
    Schedule.objects.bulk_create([row])
    return Schedule.objects.get().pk


def test_two_edits_of_a_schedule_that_runs_once_leave_one_pending_job():
    pk = once()
    for number in range(1, 2 * ROUNDS, 2):
        edit_at_once(pk, number, number + 1)

        assert_one_job_is_pending(pk)


def test_two_first_saves_of_a_schedule_that_runs_once_make_one_job():
    for number in range(ROUNDS):
        Schedule.objects.all()._raw_delete("default")
        Adopted.objects.all().delete()
        Job.objects.all().delete()
        pk = once()

        edit_at_once(pk, number, number + 100)

        assert_one_job_is_pending(pk)
