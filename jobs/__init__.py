"""Background jobs that live in the database. This module is the whole public API.

>>> import jobs
>>> @jobs.job(queue="mail", max_retries=5)
... def send_welcome_email(user_id): ...
>>> send_welcome_email.enqueue(42)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import (
        aenqueue,
        delete,
        enqueue,
        enqueue_many,
        requeue,
        reschedule,
        schedule,
        using,
    )
    from .context import current
    from .decorators import JobFunction, job
    from .exceptions import (
        IllegalTransition,
        InvalidArguments,
        InvalidFunction,
        InvalidOption,
        JobsError,
        StillStopping,
        UnknownQueue,
    )
    from .queues import apause_queue, aresume_queue, pause_queue, resume_queue

__version__ = "0.1.0"

# Models can't be imported while Django is still loading the apps, and this package is itself
# one of them; so each name is fetched from its module when somebody first asks for it.
_HOME = {
    "aenqueue": "client",
    "delete": "client",
    "enqueue": "client",
    "enqueue_many": "client",
    "requeue": "client",
    "reschedule": "client",
    "schedule": "client",
    "using": "client",
    "current": "context",
    "JobFunction": "decorators",
    "job": "decorators",
    "IllegalTransition": "exceptions",
    "InvalidArguments": "exceptions",
    "InvalidFunction": "exceptions",
    "InvalidOption": "exceptions",
    "JobsError": "exceptions",
    "StillStopping": "exceptions",
    "UnknownQueue": "exceptions",
    "apause_queue": "queues",
    "aresume_queue": "queues",
    "pause_queue": "queues",
    "resume_queue": "queues",
}

__all__ = [
    "IllegalTransition",
    "InvalidArguments",
    "InvalidFunction",
    "InvalidOption",
    "JobFunction",
    "JobsError",
    "StillStopping",
    "UnknownQueue",
    "aenqueue",
    "apause_queue",
    "aresume_queue",
    "current",
    "delete",
    "enqueue",
    "enqueue_many",
    "job",
    "pause_queue",
    "requeue",
    "reschedule",
    "resume_queue",
    "schedule",
    "testing",
    "using",
]


def __getattr__(name: str) -> Any:
    if name == "testing":
        return import_module(".testing", __name__)
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value
