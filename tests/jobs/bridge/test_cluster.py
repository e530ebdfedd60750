"""django-q2's API with a real server of ours."""

import io
from datetime import timedelta

import psutil
import pytest
from django.core.management import call_command
from django.utils import timezone
from django_q.models import OrmQ, Schedule, Task
from django_q.signing import SignedPackage
from django_q.status import Stat
from django_q.tasks import (
    Chain,
    Iter,
    async_task,
    fetch,
    fetch_group,
    result,
    result_group,
    schedule,
)

from jobs.models import Job, Server
from jobs.states import State
from tests.cluster import until

pytestmark = pytest.mark.django_db(transaction=True)

ADD = "tests.functions.add"
#: Milliseconds for `wait=`.
WAIT = 15_000


def test_tasks_groups_hooks_and_chains(cluster):
    cluster()
    hooked = async_task(ADD, 1, hook="tests.functions.note_task", group="sums")
    async_task(ADD, 2, group="sums")
    odd = async_task("tests.functions.kind", (1, 2))
    chain = Chain()
    chain.append(ADD, 1)
    chain.append("tests.functions.kind", {3})
    chain.append(ADD, 3)
    chain.run()

    assert result(hooked, wait=WAIT) == 2
    assert fetch(odd, wait=WAIT).args == ((1, 2),)
    assert sorted(result_group("sums", count=2, wait=WAIT)) == [2, 3]
    assert len(fetch_group(chain.group, count=3, wait=WAIT)) == 3
    assert sorted(map(str, chain.result(wait=WAIT))) == ["2", "4", "set"]
    hook = until(lambda: Job.objects.filter(func__endswith="note_task", state="succeeded").first())
    assert hook.result == [hooked, True, 2]
    assert hook.history.get(state=State.PROCESSING).data["worker"]


def test_a_failed_task_is_tried_again_and_becomes_a_success(cluster, tmp_path):
    cluster(jobs={"RETRY_DELAYS": [0.1]})
    task_id = async_task("tests.functions.fail_until", str(tmp_path / "there"))
    until(lambda: Task.objects.filter(pk=task_id, attempt_count__gte=2).exists())
    assert fetch(task_id).success is False

    (tmp_path / "there").touch()

    until(lambda: Task.objects.filter(pk=task_id, success=True).exists())
    job = Job.objects.get()
    assert (job.state, result(task_id)) == (State.SUCCEEDED, "done")
    assert fetch(task_id).attempt_count == job.attempt


def test_a_task_s_timeout_ends_it(cluster):
    cluster(jobs={"MAX_RETRIES": 0})
    task_id = async_task("time.sleep", 30, timeout=0.3)

    task = fetch(task_id, wait=WAIT)

    assert task.success is False
    assert "JobTimeout" in task.result


def test_a_task_whose_worker_is_killed_runs_again(cluster):
    server = cluster(jobs={"WORKERS": 1})
    task_id = async_task("time.sleep", 1)
    until(lambda: Job.objects.filter(state=State.PROCESSING).exists())

    server.workers[0].kill()

    until(lambda: Task.objects.filter(pk=task_id).exists())
    assert Job.objects.get().crashes == 1
    assert fetch(task_id).success is True


def test_schedules_made_in_code_or_by_the_orm_run(cluster):
    cluster()
    coded = schedule(ADD, 1, schedule_type="D", next_run=timezone.now())
    once = schedule(ADD, 2)
    made = Schedule.objects.create(
        func=ADD, args="3", schedule_type="I", next_run=timezone.now() + timedelta(seconds=1)
    )

    for row in (coded, made):
        until(lambda row=row: Schedule.objects.get(pk=row.pk).success())
    until(lambda: not Schedule.objects.filter(pk=once.pk).exists())
    assert sorted(Task.objects.values_list("result", flat=True)) == [2, 3, 4]
    made.refresh_from_db()
    assert made.next_run > timezone.now() + timedelta(seconds=50)


@pytest.mark.parametrize("wanted", ["QUEUES", "Q_CLUSTER_NAME", "--name"])
def test_a_server_of_a_cluster_works_its_queue_only(cluster, wanted):
    if wanted == "QUEUES":
        cluster(jobs={"QUEUES": ["slow"]})
    elif wanted == "--name":
        cluster("--name", "slow", env={"TEST_ALT_CLUSTERS": "slow"})
    else:
        cluster(env={"Q_CLUSTER_NAME": "slow", "TEST_ALT_CLUSTERS": "slow"})
    other, task_id = async_task(ADD, 1), async_task(ADD, 2, cluster="slow")

    assert fetch(task_id, wait=WAIT).cluster == "slow"
    assert fetch(other) is None


def test_an_iteration_over_several_workers(cluster, settings, tmp_path):
    location = str(tmp_path / "cache")
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
            "LOCATION": location,
        }
    }
    cluster(jobs={"WORKERS": 3}, env={"TEST_CACHE": location})
    iteration = Iter(ADD, list(range(40)))
    iteration.run()

    assert sorted(iteration.result(wait=WAIT)) == list(range(1, 41))
    cached = async_task(ADD, 5, cached=True)
    assert result(cached, wait=WAIT, cached=True) == 6


def test_servers_are_shown_as_clusters(cluster, capsys):
    server = cluster(jobs={"HEARTBEAT_SECONDS": 0.2})
    until(lambda: Server.objects.exists())

    [stat] = Stat.get_all()

    assert stat.sentinel == server.sentinel.pid
    until(lambda: len(server.workers) == 2)
    [stat] = Stat.get_all()
    assert sorted(stat.workers) == sorted(worker.pid for worker in server.workers)
    assert all(psutil.pid_exists(pid) for pid in stat.workers)
    assert stat.uptime() > 0
    assert Stat.get(pid=stat.pid, cluster_id=stat.cluster_id).host == stat.host
    call_command("qinfo", ids=True, stdout=io.StringIO())
    assert str(stat.cluster_id) in capsys.readouterr().out


def test_run_once_works_off_what_is_there_and_ends(cluster):
    task_ids = [async_task(ADD, number) for number in range(5)]

    server = cluster("--run-once", wait=False)

    assert server.process.wait(30) == 0, server.text
    assert [result(task_id) for task_id in task_ids] == [1, 2, 3, 4, 5]


def test_a_server_says_which_rows_nobody_works(cluster):
    Schedule.objects.bulk_create([Schedule(func=ADD, args="1", schedule_type="D")])

    server = cluster()

    until(lambda: "1 rows of Schedule are not worked by this server" in server.text)


def test_with_another_broker_django_q2_s_own_cluster_works_its_queue(cluster):
    task = {"id": "a" * 32, "name": "old", "func": ADD, "args": (1,), "kwargs": {}}
    package = SignedPackage.dumps({**task, "started": timezone.now()})
    OrmQ.objects.create(key="bonfire", payload=package, lock=timezone.now())

    cluster("--stock", env={"TEST_BROKER": "django_q.brokers.orm.ORM"}, wait=False)

    assert result("a" * 32, wait=30_000) == 2
    assert not Job.objects.exists()
