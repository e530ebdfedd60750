"""Our servers as django-q2's `Stat` shows clusters: for qinfo, qmonitor and qmemory."""

from __future__ import annotations

import os
import uuid

import psutil
from django_q.conf import Conf
from django_q.signing import SignedPackage
from django_q.status import Stat

from ..clock import DatabaseNow
from ..conf import conf
from ..engine import identity
from ..models import Server

_NAMESPACE = uuid.UUID("0b6f1cf5-6a0b-4d0e-9f0a-3f6b0d1f6a55")


def stat(key: str) -> str | None:
    """Return the signed statistics of the server whose key this is, None for nobody's."""
    for row in _living():
        if Stat.get_key(_cluster_id(row)) == key:
            return _signed(row)
    return None


def stats() -> list[str]:
    """Return the signed statistics of all servers that live."""
    return [_signed(row) for row in _living()]


def _living() -> list[Server]:
    rows = Server.objects.using(conf.DATABASE).annotate(now=DatabaseNow())
    return [
        row
        for row in rows
        if (row.now - row.heartbeat_at).total_seconds() < conf.SERVER_TIMEOUT_SECONDS
    ]


def _cluster_id(row: Server) -> uuid.UUID:
    return uuid.uuid5(_NAMESPACE, row.name)


def _signed(row: Server) -> str:
    shown = Stat.__new__(Stat)
    shown.__dict__.update(
        broker=None,
        cluster_id=_cluster_id(row),
        pid=row.pid,
        sentinel=row.pid,
        host=row.host,
        tob=row.started_at,
        timestamp=row.heartbeat_at,
        status=Conf.WORKING if row.workers else Conf.IDLE,
        reincarnations=0,
        workers=_worker_pids(row),
        monitor=0,
        pusher=0,
        task_q_size=0,
        done_q_size=0,
    )
    return SignedPackage.dumps(shown, True)


def _worker_pids(row: Server) -> list[int]:
    """Return the processes of the workers, which only their own host can tell."""
    here = (identity.boot_id(), identity.pid_namespace())
    if (row.boot_id, row.pid_namespace) != here:
        return []
    try:
        children = psutil.Process(row.pid).children()
        return [child.pid for child in children if os.getpgid(child.pid) == child.pid]
    except (psutil.Error, ProcessLookupError):  # it has just ended
        return []
