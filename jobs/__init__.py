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
        acontinue_with,
        adelete,
        aenqueue,
        aenqueue_many,
        arequeue,
        areschedule,
        aschedule,
        continue_with,
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
        InvalidSchedule,
        JobCancelled,
        JobsError,
        JobTimeout,
        StillStopping,
        UnknownQueue,
        UnknownRecurringJob,
        UnknownServer,
    )
    from .progress import track
    from .queues import apause_queue, aresume_queue, pause_queue, resume_queue
    from .recurring_jobs import (
        apause,
        arecurring,
        aremove_recurring,
        aresume,
        atrigger,
        pause,
        recurring,
        remove_recurring,
        resume,
        trigger,
    )
    from .servers import (
        aquiet_server,
        aresume_server,
        astop_server,
        quiet_server,
        resume_server,
        stop_server,
    )

__version__ = "0.1.0"

# Models can't be imported while Django is still loading the apps, and this package is itself
# one of them; so each name is fetched from its module when somebody first asks for it.
_HOME = {
    "acontinue_with": "client",
    "adelete": "client",
    "aenqueue": "client",
    "aenqueue_many": "client",
    "arequeue": "client",
    "areschedule": "client",
    "aschedule": "client",
    "continue_with": "client",
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
    "JobCancelled": "exceptions",
    "InvalidSchedule": "exceptions",
    "JobsError": "exceptions",
    "JobTimeout": "exceptions",
    "StillStopping": "exceptions",
    "UnknownQueue": "exceptions",
    "apause_queue": "queues",
    "aresume_queue": "queues",
    "pause_queue": "queues",
    "resume_queue": "queues",
    "track": "progress",
    "UnknownRecurringJob": "exceptions",
    "apause": "recurring_jobs",
    "arecurring": "recurring_jobs",
    "aremove_recurring": "recurring_jobs",
    "aresume": "recurring_jobs",
    "atrigger": "recurring_jobs",
    "pause": "recurring_jobs",
    "recurring": "recurring_jobs",
    "remove_recurring": "recurring_jobs",
    "resume": "recurring_jobs",
    "trigger": "recurring_jobs",
    "UnknownServer": "exceptions",
    "aquiet_server": "servers",
    "aresume_server": "servers",
    "astop_server": "servers",
    "quiet_server": "servers",
    "resume_server": "servers",
    "stop_server": "servers",
}

__all__ = [
    "IllegalTransition",
    "InvalidArguments",
    "InvalidFunction",
    "InvalidOption",
    "InvalidSchedule",
    "JobCancelled",
    "JobFunction",
    "JobTimeout",
    "JobsError",
    "StillStopping",
    "UnknownQueue",
    "UnknownRecurringJob",
    "UnknownServer",
    "acontinue_with",
    "adelete",
    "aenqueue",
    "aenqueue_many",
    "apause",
    "apause_queue",
    "aquiet_server",
    "arecurring",
    "aremove_recurring",
    "arequeue",
    "areschedule",
    "aresume",
    "aresume_queue",
    "aresume_server",
    "aschedule",
    "astop_server",
    "atrigger",
    "continue_with",
    "current",
    "delete",
    "enqueue",
    "enqueue_many",
    "job",
    "pause",
    "pause_queue",
    "quiet_server",
    "recurring",
    "remove_recurring",
    "requeue",
    "reschedule",
    "resume",
    "resume_queue",
    "resume_server",
    "schedule",
    "signals",
    "stop_server",
    "testing",
    "track",
    "trigger",
    "using",
]


def __getattr__(name: str) -> Any:
    if name in ("signals", "testing"):
        return import_module(f".{name}", __name__)
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value
