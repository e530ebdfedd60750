"""django-q2's own API, made to reach our jobs: `async_task`, `schedule`, results, hooks, signals."""

from __future__ import annotations

from typing import Any

#: Keys of `settings.Q_CLUSTER` by which a project asks for one of django-q2's other brokers.
OTHER_BROKERS = ("broker_class", "redis", "django_redis", "sqs", "iron_mq", "mongo")


def install() -> None:
    """Make django-q2's API reach the jobs, unless the project names another broker."""
    from django.db.models.signals import post_delete, post_save
    from django_q import conf as q_conf
    from django_q.models import Schedule
    from django_q.signals import pre_enqueue

    from .. import foreign, signals
    from . import adoption, calls, results, schedules, tasks

    if q_conf.error_reporter:
        signals.job_finished.connect(_report, dispatch_uid=f"{__name__}.report")
    # What is in the table stays ours to run, whatever the settings say by now.
    foreign.apis[tasks.API] = calls.TaskCall
    signals.outcomes_recorded.connect(results.write, dispatch_uid=f"{__name__}.write")
    signals.jobs_poisoned.connect(results.write_poisoned, dispatch_uid=f"{__name__}.poisoned")
    signals.occurrences_due.connect(schedules.prepare, dispatch_uid=f"{__name__}.prepare")
    if other_broker():
        return
    signals.server_started.connect(adoption.warn, dispatch_uid=f"{__name__}.warn")
    q_conf.Conf.BROKER_CLASS = own_broker()
    pre_enqueue.connect(_name_function, dispatch_uid=f"{__name__}.name_function")
    post_save.connect(schedules.saved, Schedule, dispatch_uid=f"{__name__}.saved")
    post_delete.connect(schedules.deleted, Schedule, dispatch_uid=f"{__name__}.deleted")


def own_broker() -> str:
    """Return the dotted path of our broker."""
    return f"{__name__}.broker.JobsBroker"


def other_broker() -> str | None:
    """Return the key of `settings.Q_CLUSTER` that names a broker that is not ours, if one does."""
    from django_q.conf import Conf

    for key in OTHER_BROKERS:
        value = Conf.conf.get(key)
        if value and value != own_broker():
            return key
    return None


def cluster_queues(name: str | None) -> list[str] | None:
    """Return the queue to work when a cluster of the settings is named.

    By `Q_CLUSTER_NAME` in the environment, or by `name` when it stands in `ALT_CLUSTERS`.
    """
    from django_q.conf import Conf

    from . import tasks

    if Conf._Q_CLUSTER_NAME:
        return [tasks.queue_of(Conf.CLUSTER_NAME)]
    return [tasks.queue_of(name)] if name in (Conf.conf.get("ALT_CLUSTERS") or {}) else None


def _name_function(*, task: dict[str, Any], **kwargs: Any) -> None:
    """A decorated function can't be pickled; its path leads to it."""
    from ..decorators import JobFunction
    from ..functions import path_of

    if isinstance(task.get("func"), JobFunction):
        task["func"] = path_of(task["func"])


def _report(*, error: BaseException | None, **kwargs: Any) -> None:
    """Have django-q2's error reporters look at the current exception."""
    from django_q.conf import error_reporter

    from ..exceptions import JobCancelled

    if error is not None and not isinstance(error, JobCancelled):
        error_reporter.report()
