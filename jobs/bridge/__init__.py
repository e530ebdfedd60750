"""django-q2's own API. Until it is bridged, it is refused: nobody would work its queue."""

from __future__ import annotations

from typing import Any

from ..exceptions import JobsError


class NotBridged(JobsError, NotImplementedError):
    """django-q2's `async_task` or `schedule` was called, which no worker here would see."""


def refuse_stock_tasks() -> None:
    """Make django-q2's `async_task` and `schedule` raise before they write anything."""
    from django.db.models.signals import pre_save
    from django_q.conf import Conf
    from django_q.models import Schedule
    from django_q.signals import pre_enqueue

    # Looked up before pre_enqueue is sent: the default broker would want Redis first.
    Conf.BROKER_CLASS = f"{__name__}.broker.RefusingBroker"
    pre_enqueue.connect(_refuse_task, dispatch_uid=f"{__name__}.refuse_task")
    pre_save.connect(_refuse_schedule, Schedule, dispatch_uid=f"{__name__}.refuse_schedule")


def _refuse_task(*, task: dict[str, Any], **kwargs: Any) -> None:
    raise NotBridged(
        f"async_task({task.get('func')!r}) is not supported yet: this cluster works jobs from its "
        "own table and would never see the task. Use enqueue(func, *args) instead."
    )


def _refuse_schedule(*, instance: Any, raw: bool, **kwargs: Any) -> None:
    if not raw:  # fixtures may hold old rows
        raise NotBridged(
            f"the Schedule of {instance.func!r} is not supported yet: this cluster would never run "
            "it. Use schedule(func, *args, run_after=…) instead."
        )
