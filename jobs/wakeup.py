"""Telling servers that there is work, after the caller's commit.

PostgreSQL's NOTIFY where there is one (`JOBS["NOTIFY"]` switches it off); elsewhere servers see
it by polling, which stays the correctness path everywhere.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from django.apps import apps
from django.db import connections, transaction

from .conf import conf
from .models import Queue

logger = logging.getLogger(__name__)

#: Within so many seconds one NOTIFY per queue is enough: a woken dispatcher looks again when
#: they have passed.
WINDOW_SECONDS = 0.005

#: Payloads that say: the earliest due time may have changed; a queue was paused or resumed; a
#: server was given an order. No queue's name begins with a space, so the second makes a
#: dispatcher read its list of queues.
DUE_CHANGED = " due"
QUEUES_CHANGED = " queues"
ORDERS_CHANGED = " orders"

_last_notify: dict[tuple[str, str], float] = {}
_known_queues: set[tuple[str, str]] = set()


def channel() -> str:
    """Return the name of the channel servers listen on."""
    return f"{apps.get_containing_app_config(__name__).label}_wake"  # type: ignore[union-attr]


def can_notify(alias: str) -> bool:
    """Return whether the database `alias` can wake its servers."""
    # Django has no feature flag for LISTEN/NOTIFY.
    return conf.NOTIFY and connections[alias].vendor == "postgresql"


def announce(queue: str, *, due_changed: bool = False) -> None:
    """Wake the servers when the caller's transaction has committed.

    At most one statement, and none within WINDOW_SECONDS of the last for the same queue. On the
    first use of a queue its Queue row is made.
    """
    alias = conf.DATABASE
    first_use = (alias, queue) not in _known_queues
    if first_use or can_notify(alias):
        after_commit(partial(_wake, alias, queue, due_changed, first_use))


def announce_all(queues: Iterable[str]) -> None:
    """Announce each of these queues once."""
    for queue in set(queues):
        announce(queue)


def after_commit(run: Callable[[], Any]) -> None:
    """Call `run` when the caller's transaction has committed.

    Where the caller commits by hand (`set_autocommit(False)`), Django does not say when, and
    refuses: there it is left to the polling and the sweeps.
    """
    connection = connections[conf.DATABASE]
    if connection.in_atomic_block or connection.get_autocommit():
        # Robust: the data is committed; what fails here is logged and must not raise.
        transaction.on_commit(run, using=conf.DATABASE, robust=True)


def _wake(alias: str, queue: str, due_changed: bool, first_use: bool) -> None:
    # Many jobs of one transaction may have found the queue new.
    if first_use and (alias, queue) not in _known_queues:
        Queue.objects.using(alias).get_or_create(name=queue)
        _known_queues.add((alias, queue))
    if not can_notify(alias):
        return
    payload = DUE_CHANGED if due_changed else queue
    now = time.monotonic()
    if now - _last_notify.get((alias, payload), 0) < WINDOW_SECONDS:
        return
    _last_notify[alias, payload] = now
    _notify(alias, payload)


def announce_due() -> None:
    """Let the servers look at once what is due next, after the caller's commit."""
    alias = conf.DATABASE
    if can_notify(alias):
        after_commit(partial(_notify, alias, DUE_CHANGED))


def announce_queues() -> None:
    """Let the servers look at once which queues are paused, after the caller's commit."""
    alias = conf.DATABASE
    if can_notify(alias):
        after_commit(partial(_notify, alias, QUEUES_CHANGED))


def announce_orders() -> None:
    """Let the servers look soon what was asked of them, after the caller's commit."""
    alias = conf.DATABASE
    if can_notify(alias):
        after_commit(partial(_notify, alias, ORDERS_CHANGED))


def _notify(alias: str, payload: str) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [channel(), payload])


def forget_known_queues() -> None:
    """Forget which Queue rows exist; for tests that roll the database back."""
    _known_queues.clear()
    _last_notify.clear()
