"""Jobs as the results of Django's tasks."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from .conf import conf
from .djangotasks import TaskResult, TaskResultStatus
from .models import HistoryEntry, Job
from .states import State
from .task_functions import LOST, error_of, task_of_job, worker_id

#: There is no status for a job that waits for its retry: it is ready, and has attempts.
STATUS = {
    State.SCHEDULED: TaskResultStatus.READY,
    State.AWAITING: TaskResultStatus.READY,
    State.ENQUEUED: TaskResultStatus.READY,
    State.PROCESSING: TaskResultStatus.RUNNING,
    State.SUCCEEDED: TaskResultStatus.SUCCESSFUL,
    State.FAILED: TaskResultStatus.FAILED,
    State.DELETED: TaskResultStatus.FAILED,
}


def stored_job(pk: int) -> Job | None:
    """Return a job with its history: two statements."""
    jobs = Job.objects.using(conf.DATABASE).prefetch_related("history")
    return jobs.filter(pk=pk).first()


def result_of(job: Job, task: Any) -> Any:
    """Return the result of `job`, whose history has been read, for the declared `task`."""
    attempts = Attempts(job, list(job.history.all()))
    task = task_of_job(task, job.options, queue_name=job.queue, priority=job.priority)
    result = TaskResult(
        task=task,
        id=str(job.pk),
        status=STATUS[State(job.state)],
        enqueued_at=job.created_at,
        started_at=attempts.first_started,
        finished_at=job.finished_at,
        last_attempted_at=attempts.last_started,
        args=job.args,
        kwargs=job.kwargs,
        backend=task.backend,
        errors=attempts.errors,
        worker_ids=attempts.worker_ids,
    )
    object.__setattr__(result, "_return_value", job.result)
    return result


class Attempts:
    """What a job's history says of its attempts.

    `worker_ids`: one for each attempt that counts, so that their number is the job's `attempt`.
    """

    def __init__(self, job: Job, history: list[HistoryEntry]) -> None:
        self.worker_ids = [LOST] * job.attempt
        self.errors: list[Any] = []
        self.first_started: datetime | None = None
        self.last_started: datetime | None = None
        reasons = [*(entry.reason for entry in history[1:]), job.reason]
        for entry, next_reason in zip(history, reasons, strict=False):
            if entry.state == State.PROCESSING:
                self._add(entry, next_reason)
        if job.state == State.PROCESSING:
            self._started(job.state_changed_at)
            self._worker(job.attempt, job.server)
        elif not job.attempt:
            self.first_started = self.last_started = None

    def _add(self, entry: HistoryEntry, next_reason: str) -> None:
        data = entry.data
        started = data.get("started")
        self._started(datetime.fromisoformat(started) if started else entry.entered_at)
        if "worker" in data:
            self._worker(data["attempt"], worker_id(data["server"], data["worker"]))
        if "error" in data:
            self.errors.append(error_of(data["error"]))
        elif next_reason.startswith(("crashed:", "poisoned:")):
            self.errors.append(error_of({"traceback": next_reason}))

    def _started(self, moment: datetime) -> None:
        self.first_started = self.first_started or moment
        self.last_started = moment

    def _worker(self, attempt: int, name: str) -> None:
        # A run that could not import its function is not counted: the next has its number.
        if 0 < attempt <= len(self.worker_ids):
            self.worker_ids[attempt - 1] = name
