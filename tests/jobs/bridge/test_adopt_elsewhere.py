"""`manage.py jobs_adopt` where django-q2's rows are in another database than the jobs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, connections
from django_q.models import OrmQ

from config import databases
from jobs.models import Adopted, Job
from jobs.testing import drain

from .test_adopt import adopt, queue

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "elsewhere"])

KILLED = 9


@pytest.fixture(scope="module", autouse=True)
def _elsewhere(
    django_db_setup: None,
    django_db_blocker: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[None]:
    """A second database, whatever the first one is."""
    path = tmp_path_factory.mktemp("elsewhere") / "jobs.sqlite3"
    second = databases.prepare({"ENGINE": "django.db.backends.sqlite3", "NAME": str(path)})
    known = {"default": connection.settings_dict, "elsewhere": second}
    connections.settings["elsewhere"] = connections.configure_settings(known)["elsewhere"]
    with django_db_blocker.unblock():
        call_command("migrate", database="elsewhere", verbosity=0)
    yield
    connections["elsewhere"].close()
    del connections["elsewhere"], connections.settings["elsewhere"]


@pytest.fixture(autouse=True)
def _jobs_are_there(settings) -> None:
    settings.JOBS = {"DATABASE": "elsewhere"}


def adopt_and_die(commits: int) -> bool:
    """Adopt in a process that dies before its next COMMIT after so many; return whether it did."""
    connections.close_all()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            left = iter(range(commits))
            for each in connections.all():
                each.commit = _commit_or_die(each.commit, left)
            adopt("--apply")
            status = 0
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, KILLED)
    return status == KILLED


def _commit_or_die(commit, left):
    def commit_or_die():
        if next(left, None) is None:
            os._exit(KILLED)
        commit()

    return commit_or_die


def test_a_queued_task_becomes_one_job_wherever_its_adoption_is_interrupted():
    for commits in count():
        queue()
        died = adopt_and_die(commits)

        assert OrmQ.objects.exists() or Job.objects.using("elsewhere").exists(), commits
        adopt("--apply")
        assert Job.objects.using("elsewhere").count() == 1, commits
        assert not OrmQ.objects.exists()
        if not died:
            break
        Job.objects.using("elsewhere").all().delete()
        Adopted.objects.using("elsewhere").all().delete()
    assert commits >= 2, "it was interrupted between the two commits"


def test_what_an_interrupted_run_left_is_named_by_its_job():
    queue()
    adopt_and_die(1)
    job = Job.objects.using("elsewhere").get()

    assert f"would be taken over: job {job.pk} was made of it before" in adopt()[0]
    assert OrmQ.objects.exists(), "a dry run writes nothing"
    assert adopt("--apply")[-1] == "1 taken over, 0 left as it is"
    assert adopt("--apply") == ["0 taken over, 0 left as it is"]


def test_a_job_that_has_run_and_is_gone_does_not_come_back():
    queue()
    adopt_and_die(1)
    drain()
    Job.objects.using("elsewhere").all().delete()

    adopt("--apply")

    assert not OrmQ.objects.exists()
    assert not Job.objects.using("elsewhere").exists()


def test_the_same_task_queued_twice_is_two_jobs():
    queue()
    queue()

    adopt("--apply")

    assert Job.objects.using("elsewhere").count() == 2


def test_one_that_a_cluster_takes_meanwhile_is_left(monkeypatch):
    row = queue()
    monkeypatch.setattr("jobs.bridge.adoption.tasks.job_of", _taken_meanwhile(row))

    assert "a cluster of django-q2 has just taken it" in adopt("--apply")[0]
    assert not Job.objects.using("elsewhere").exists()
    assert not Adopted.objects.using("elsewhere").exists()


def _taken_meanwhile(row):
    from jobs.bridge.tasks import job_of

    def take(task, cluster):
        OrmQ.objects.filter(pk=row.pk).delete()
        return job_of(task, cluster)

    return take
