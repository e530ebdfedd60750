"""Operations by a real worker: the only one, and one that dies."""

from jobs import operations
from jobs.models import HistoryEntry, Job, Operation
from jobs.states import State
from jobs.steering import ACTIONS
from tests.cluster import until

PATH = "tests.functions.nothing"


def fill(count):
    arguments = {"args": [], "kwargs": {}}
    for _ in range(0, count, 1000):
        Job.objects.bulk_create(
            Job(func=PATH, arguments=arguments, queue="default", state=State.FAILED)
            for _ in range(1000)
        )


def started():
    return operations.start(ACTIONS["requeue"], State.FAILED, "", by="anna").operation


def is_over(operation):
    operation.refresh_from_db()
    return operation.finished_at is not None


def test_the_only_worker_gets_through_it_and_then_through_the_jobs(cluster):
    fill(1000)
    operation = started()
    cluster(workers=1)
    until(lambda: is_over(operation), 60)
    assert (operation.moved, operation.skipped, operation.failed) == (1000, 0, 0)
    until(lambda: Job.objects.filter(func=PATH, state=State.SUCCEEDED).count() == 1000, 60)


def test_when_its_worker_is_killed_it_goes_on_and_its_numbers_are_right(cluster):
    fill(20_000)
    operation = started()
    server = cluster(workers=1)
    until(lambda: Operation.objects.get().moved > 0, 60)
    server.workers[0].kill()
    assert not is_over(operation), "it was through before it could be killed"
    until(lambda: is_over(operation), 90)
    assert Job.objects.get(pk=operation.job_id).attempt > 1
    assert (operation.moved, operation.skipped, operation.failed) == (20_000, 0, 0)
    left_failed = HistoryEntry.objects.filter(state=State.FAILED, job__func=PATH)
    assert left_failed.count() == 20_000
