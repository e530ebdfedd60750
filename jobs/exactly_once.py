"""`@job(atomic=True)`: what the function writes and the job's outcome are one transaction."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from django.db import Error, connections, transaction

from . import transitions
from .conf import conf
from .exceptions import JobCancelled
from .outcomes import Claimed, Outcome

logger = logging.getLogger(__name__)


class Fenced(Exception):
    """The job was given up here while it ran and belongs to another run: nothing is written."""


def exactly_once(job: Claimed, run: Callable[[], Outcome]) -> Outcome:
    """Commit what `run` writes to the jobs' database together with its outcome, or neither.

    Returns the outcome, marked as recorded. Raises what `run` raises, after the rollback;
    JobCancelled for a job that was deleted while it ran, and Fenced for one that was given up.
    """
    outcome: Outcome | None = None
    committed: list[bool] = []
    try:
        with transaction.atomic(using=conf.DATABASE):
            # The first hook, so that one of the function's that raises does not pass for a rollback.
            transaction.on_commit(lambda: committed.append(True), using=conf.DATABASE)
            outcome = run()
            _record(job, outcome)
    except Error as error:
        # Between "COMMIT was sent" and "it was answered" only the database knows.
        if outcome is None or not (committed or _was_committed(job)):
            raise
        logger.warning("#%d was committed, then the database failed: %s", job.id, error)
    except Exception:
        if outcome is None or not committed:
            raise
        logger.exception("#%d was committed, then one of its on_commit hooks raised", job.id)
    return outcome._replace(recorded=True)


def _record(job: Claimed, outcome: Outcome) -> None:
    match transitions.hold(job.id, job.token):
        case "deleted":
            raise JobCancelled("the job was deleted while it ran")
        case None:
            raise Fenced(f"#{job.id} was given up here and belongs to another run")
    transitions.record([outcome])


def _was_committed(job: Claimed) -> bool:
    """Ask the database until it answers; a COMMIT still under way there is waited for."""
    delay = 0.05
    while True:
        try:
            return transitions.has_ended(job.id, job.token)
        except Error as error:
            logger.warning("#%d: was its COMMIT done? The database does not say: %s", job.id, error)
            connections[conf.DATABASE].close()
            time.sleep(delay)
            delay = min(2.0, delay * 2)
