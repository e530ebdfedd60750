"""Running jobs in tests, in this process, without a cluster."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime

from . import transitions
from .conf import conf
from .models import Job
from .outcomes import Outcome
from .runner import execute
from .states import State

#: `drain` runs at most so many executions: a job that enqueues itself would never end.
LIMIT = 10_000


def drain(
    *, as_of: datetime | None = None, queues: Sequence[str] | None = None, limit: int = LIMIT
) -> list[Outcome]:
    """Run what is due, and what that enqueues, until nothing is left; return the outcomes.

    `as_of`: run what is due by that moment, for delayed jobs and retries; default: the database's
    clock. Retries that the runs put into the future stay there. `queues`: only these, in this
    order. Raises RuntimeError after `limit` executions.

    It uses the claims, the runner and the transitions of a real worker, in the caller's thread
    and database connection, and so works inside a TestCase.
    """
    outcomes: list[Outcome] = []
    while True:
        while transitions.promote_due(500, as_of):
            pass
        claimed = [
            job
            for queue in (queues or _queues())
            for job in transitions.claim(
                queue, 100, server="drain", token=uuid.uuid4().hex, idle=100
            )
        ]
        if not claimed:
            return outcomes
        for job in claimed:
            if len(outcomes) >= limit:
                raise RuntimeError(f"drain() ran {limit} jobs and there are still more")
            outcome = execute(job, "drain")
            transitions.record([outcome])
            outcomes.append(outcome)


def _queues() -> list[str]:
    jobs = Job.objects.using(conf.DATABASE).filter(state=State.ENQUEUED)
    return list(jobs.values_list("queue", flat=True).distinct().order_by("queue"))
