"""Running jobs in tests, in this process, without a cluster."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime

from . import continuations, reports, transitions
from .conf import conf
from .models import Job
from .occurrences import create_due
from .outcomes import Claimed, Outcome
from .progress import Outlet
from .queues import not_paused
from .runner import execute
from .states import State

#: `drain` runs at most so many executions: a job that enqueues itself would never end.
LIMIT = 10_000


def drain(
    *, as_of: datetime | None = None, queues: Sequence[str] | None = None, limit: int = LIMIT
) -> list[Outcome]:
    """Run what is due, and what that enqueues, until nothing is left; return the outcomes.

    `as_of`: run what is due by that moment, for delayed jobs, retries and recurring jobs; default:
    the database's clock. Recurring jobs wake up at `as_of` as after a sleep, so `misfire` says
    what becomes of the occurrences until then; for each at its time, drain day by day. Retries
    and delayed jobs that the runs themselves put into the future stay there, and so do jobs of
    paused queues. `queues`: only these, in this order. Raises RuntimeError after `limit`
    executions.

    It uses the claims, the runner and the transitions of a real worker, in the caller's thread
    and database connection, and so works inside a TestCase.
    """
    while create_due(as_of):
        pass
    while transitions.promote_due(500, as_of):
        pass
    outcomes: list[Outcome] = []
    while job := _claim_one(queues):
        if len(outcomes) >= limit:
            transitions.give_back([(job.id, job.token)], "drain() ended", started=False)
            raise RuntimeError(f"drain() ran {limit} jobs and there are still more")
        outlet = Outlet()
        outcome = execute(job, "drain", outlet=outlet)
        transitions.record([outcome])
        reports.write(outlet.take())
        continuations.settle([job.id])
        outcomes.append(outcome)
    return outcomes


def _claim_one(queues: Sequence[str] | None) -> Claimed | None:
    for queue in not_paused(queues or _queues()):
        token = uuid.uuid4().hex
        if claimed := transitions.claim(queue, 1, server="drain", token=token, idle=1):
            return claimed[0]
    return None


def _queues() -> list[str]:
    jobs = Job.objects.using(conf.DATABASE).filter(state=State.ENQUEUED)
    return list(jobs.values_list("queue", flat=True).distinct().order_by("queue"))
