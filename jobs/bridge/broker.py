"""The broker that django-q2 finds while its tasks are refused."""

from __future__ import annotations

from typing import Any

from django_q.brokers import Broker

from . import NotBridged


class RefusingBroker(Broker):
    """Takes no task. It needs no connection, so nothing fails before the refusal is heard."""

    def enqueue(self, task: Any) -> Any:
        raise NotBridged("django-q2's broker is not supported yet. Use enqueue(func, *args).")
