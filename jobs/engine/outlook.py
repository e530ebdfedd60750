"""What there is to do for a server, in one question: an idle one asks little else."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from django.db.models import QuerySet, Subquery

from ..clock import DatabaseNow
from ..conf import conf
from ..models import Job, Server, compiled
from ..states import State

NEVER = float("inf")


class Outlook(NamedTuple):
    """`claimable`: whether a job is enqueued. `due_seconds`: until the next scheduled one is due."""

    claimable: bool
    due_seconds: float


NOTHING = Outlook(False, NEVER)


def of(server: str) -> Outlook:
    """Ask the database; there is nothing to do for a server that it does not know (any more)."""
    for enqueued, due, now in _read(server):
        seconds = NEVER if due is None else (due - now).total_seconds()
        return Outlook(enqueued is not None, seconds)
    return NOTHING


@compiled.query
def _read(server: str) -> QuerySet[Server, tuple[datetime | None, datetime | None, datetime]]:
    servers = Server.objects.using(conf.DATABASE).filter(name=server)
    return servers.values_list(_first(State.ENQUEUED), _first(State.SCHEDULED), DatabaseNow())


def _first(state: State) -> Subquery:
    # In this order, or PostgreSQL may read the table to find any.
    jobs = Job.objects.using(conf.DATABASE).filter(state=state).order_by("run_at", "id")
    return Subquery(jobs.values("run_at")[:1])
