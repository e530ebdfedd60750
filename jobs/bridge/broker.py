"""The broker through which django-q2's API reaches the jobs."""

from __future__ import annotations

import json
import logging
import uuid
from typing import Any

from django_q.brokers import Broker
from django_q.conf import Conf
from django_q.signing import SignedPackage

from .. import transitions, wakeup
from ..conf import conf
from ..foreign import VIA
from ..models import Job
from ..models.job import JobQuerySet
from ..outcomes import Kind, Outcome
from ..serialization import dumps
from ..states import State
from . import servers, tasks

logger = logging.getLogger(__name__)

#: Who has claimed what `dequeue` hands to django-q2's own cluster.
STOCK_SERVER = "django-q2"


class JobsBroker(Broker):
    """Makes a Job of each task. `list_key`: the name of a cluster, which is that of a queue."""

    def enqueue(self, task: str) -> int:
        """Insert a signed task as a job, in the caller's transaction; return the job's id.

        Raises BadSignature for what was not signed here.
        """
        job = tasks.job_of(SignedPackage.loads(task), self.list_key)
        transitions.create(job)
        wakeup.announce(job.queue)
        return int(job.pk)

    def queue_size(self) -> int:
        """Return how many tasks wait in this queue."""
        return self._tasks(State.ENQUEUED).count()

    def lock_size(self) -> int:
        """Return how many tasks of this queue are run just now."""
        return self._tasks(State.PROCESSING).count()

    def purge_queue(self) -> int:
        """Delete the tasks that wait in this queue, but no other jobs; return how many."""
        waiting = list(self._tasks(State.ENQUEUED).values_list("pk", flat=True))
        return len(transitions.delete(waiting, "its queue was purged").ids)

    def delete_queue(self) -> int:
        """Do as `purge_queue`."""
        return self.purge_queue()

    def delete(self, task_id: int) -> None:
        """Delete a task by its job's id."""
        transitions.delete([task_id], "deleted")

    def ping(self) -> bool:
        """Say yes: who can't reach the database gets its error."""
        return True

    def info(self) -> str:
        """Return what kind of broker this is."""
        return f"Jobs {conf.DATABASE}"

    def get_stat(self, key: str) -> Any:
        """Return the signed statistics of a cluster, ours or one of django-q2's own."""
        return servers.stat(key) or super().get_stat(key)

    def get_stats(self, pattern: str) -> list[Any]:
        """Return the signed statistics of all running clusters."""
        return servers.stats() + (super().get_stats(pattern) or [])

    # What django-q2's own cluster would ask for. Our servers work the jobs; its test-suite is
    # the only one that calls these.

    def dequeue(self) -> list[tuple[str, str]]:
        """Claim tasks and return them signed, each with what acknowledges it."""
        token = uuid.uuid4().hex
        claims = transitions.claim(
            tasks.queue_of(self.list_key), Conf.BULK, server=STOCK_SERVER, token=token, idle=1
        )
        packages = []
        for job in claims:
            via = json.loads(job.options)[VIA]
            call = json.loads(job.arguments)
            task = tasks.task_of(job.func, via, call["args"], call["kwargs"])
            options = json.loads(job.options)
            if "timeout" in options:
                task["timeout"] = int(options["timeout"])
            packages.append((f"{job.id}:{job.token}", SignedPackage.dumps(task)))
        return packages

    def acknowledge(self, task_id: str) -> None:
        """Note that a task that was handed out is done with."""
        self._end(task_id, Kind.SUCCEEDED, "")

    def fail(self, task_id: str) -> None:
        """Note that a task that was handed out can't be run."""
        self._end(task_id, Kind.FAILED, "django-q2's own cluster could not run it")

    def _end(self, ack_id: str, kind: Kind, reason: str) -> None:
        pk, _, token = str(ack_id).partition(":")
        data = dumps({"server": STOCK_SERVER, "token": token})
        transitions.record([Outcome(int(pk), token, kind, reason, data, 0.0)])

    def _tasks(self, state: State) -> JobQuerySet:
        jobs = Job.objects.using(conf.DATABASE)
        via = f'"{VIA}":{{"api":"{tasks.API}"'
        return jobs.filter(queue=tasks.queue_of(self.list_key), state=state, options__contains=via)


class Collector(JobsBroker):
    """Keeps the jobs for whoever asked for them, instead of inserting them."""

    def __init__(self, list_key: str | None = None) -> None:
        super().__init__(list_key)
        self.jobs: list[Job] = []

    def enqueue(self, task: str) -> int:
        self.jobs.append(tasks.job_of(SignedPackage.loads(task), self.list_key))
        return 0
