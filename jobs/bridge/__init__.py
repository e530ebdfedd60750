"""django-q2's own API. Until it is bridged, it is refused: nobody would work its queue."""

from __future__ import annotations

from typing import Any

from ..exceptions import JobsError


class NotBridged(JobsError, NotImplementedError):
    """django-q2's `async_task` was called, which no worker of this cluster would see."""


def refuse_async_task() -> None:
    """Make django-q2's `async_task` raise before it writes anything."""
    from django_q.signals import pre_enqueue

    pre_enqueue.connect(_refuse, dispatch_uid=f"{__name__}.refuse")


def _refuse(*, task: dict[str, Any], **kwargs: Any) -> None:
    raise NotBridged(
        f"async_task({task.get('func')!r}) is not supported yet: this cluster works jobs from its "
        "own table and would never see the task. Use enqueue(func, *args) instead."
    )
