"""Locks that a test holds, so that a process of the cluster blocks in a certain transaction."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
from django.db import connection, transaction

from jobs.models import HistoryEntry, Server

from . import processes


@contextmanager
def history_held() -> Iterator[None]:
    """Let nobody write history, with which every claim and every outcome ends.

    Nothing that is done inside is seen by others: it is in the transaction that holds the lock.
    """
    table = HistoryEntry._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "mysql":
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")  # the next one
        with transaction.atomic():
            if connection.vendor == "postgresql":
                cursor.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
            elif connection.vendor == "mysql":
                # At this level with the gaps: no row can be added.
                cursor.execute(f"SELECT id FROM {table} FOR UPDATE")
                cursor.fetchall()
            yield


@contextmanager
def servers_held() -> Iterator[None]:
    """Let no heartbeat be written."""
    with transaction.atomic():
        list(Server.objects.select_for_update())
        yield


def somebody_waits(process: psutil.Process) -> bool:
    """Whether the database has somebody wait for a lock; on SQLite, whether `process` does."""
    if connection.vendor == "sqlite":
        return processes.is_blocked_in(process, processes.SLEEP)  # between two tries
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
        else:
            time.sleep(0.15)  # asked more often than each 0.1 s, it gives the same old answer
            cursor.execute(
                "SELECT count(*) FROM information_schema.innodb_trx t"
                " JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id"
                " WHERE t.trx_state = 'LOCK WAIT' AND p.db = DATABASE()"
            )
        return bool(cursor.fetchone()[0])
