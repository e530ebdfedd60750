"""All that is taken from inside django-q2; nothing else in this package touches its internals.

`tests/jobs/engine/test_djangoq.py` checks these assumptions against the installed version.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

from django_q.cluster import Cluster, get_mp_context
from django_q.conf import Conf
from django_q.conf import logger as _logger
from django_q.worker import worker as _worker

#: By its name: the package has a function of the same.
_module = import_module(_worker.__module__)

__all__ = ["STOP", "Cluster", "configure", "get_mp_context", "run_worker"]

#: What the task source returns to end `run_worker`.
STOP = "STOP"


class Tasks(Protocol):
    """Where `run_worker` gets its tasks: dicts with name, func, args and kwargs, or STOP."""

    def get(self) -> Any: ...


class Outcomes(Protocol):
    """Where `run_worker` puts each task back, with `result` and `success`."""

    def put(self, task: dict[str, Any]) -> None: ...


class _Timer:
    """What `worker()` keeps its state in. Nobody else reads it, so it needs no lock."""

    value: float = -1

    def get_lock(self) -> _Timer:
        return self

    def __enter__(self) -> None: ...

    def __exit__(self, *exc_info: object) -> None: ...


class _Told:
    """A signal of the loop's that is silent about tasks of which their own API tells."""

    def __init__(self, signal: Any) -> None:
        self._signal = signal

    def send(self, *, func: Any, **told: Any) -> None:
        if self._signal.receivers and not getattr(func, "is_foreign", False):
            self._signal.send(func=func, **told)


def configure(*, recycle_jobs: int | None, max_rss_kb: int | None) -> None:
    """Set what django-q2's `Conf` read at import, before there were options. Call before forking."""
    Conf.RECYCLE = recycle_jobs or 0  # its count of tasks starts at 1 and never meets 0
    Conf.MAX_RSS = max_rss_kb


def run_worker(tasks: Tasks, outcomes: Outcomes) -> None:
    """Run django-q2's worker loop until `tasks` says STOP or the worker is to be recycled.

    Without a time limit of django-q2's: it has whole seconds only and can't tell one job's
    end from the next one's start.
    """
    if "log_level" not in Conf.conf:
        # Its line for each job would double ours, and cost a worker a third of a short job's time.
        _logger.setLevel(logging.WARNING)
    for name in ("pre_execute", "post_execute_in_worker"):
        if not isinstance(signal := getattr(_module, name), _Told):
            setattr(_module, name, _Told(signal))
    loop: Callable[..., None] = _worker
    loop(tasks, outcomes, _Timer(), -1)
