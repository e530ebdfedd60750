"""How a dispatcher learns that there is work: NOTIFY, a look at SQLite's version, or polling."""

from __future__ import annotations

import logging
import re
import sqlite3
import time
from typing import Any, NamedTuple, Protocol

from django.db.backends.base.base import BaseDatabaseWrapper

from ..conf import conf
from ..wakeup import DUE_CHANGED, ORDERS_CHANGED, WINDOW_SECONDS, can_notify, channel

logger = logging.getLogger(__name__)

#: SQLite's counter of foreign commits costs microseconds to read.
SQLITE_SECONDS = 0.015
#: No commit escapes that counter, so where it can be read it is enough to poll so often.
SQLITE_POLL_SECONDS = 5.0
#: Polling where nothing better exists: quickly under load, backing off to POLL_SECONDS.
QUICK_SECONDS = 0.02
LISTEN_AGAIN_SECONDS = 5.0
#: What goes on for long is said once in so many seconds.
LOG_SECONDS = 60.0


class Hint(NamedTuple):
    """There may be work: jobs to claim, or a new earliest due time.

    `sure`: somebody said that there are jobs; else it is worth a look. `queues`: where, if that
    is known. `orders`: a server was given an order, maybe this one.
    """

    work: bool
    due: bool
    sure: bool = False
    queues: frozenset[str] | None = None
    orders: bool = False


class Wakeup(Protocol):
    """A source of hints."""

    def fileno(self) -> int | None:
        """Return a descriptor to select on, or None."""

    def seconds(self) -> float:
        """Return after how many seconds `look` must be called again."""

    def look(self) -> Hint | None:
        """Return a hint if there is one."""

    def worked(self) -> None:
        """Hear that a claim found something."""

    def close(self) -> None:
        """Let go of what it holds."""


def for_connection(connection: BaseDatabaseWrapper) -> Wakeup:
    """Return the best source of hints for this database."""
    if can_notify(connection.alias):
        if _can_listen():
            return Listener(connection)
        logger.info(
            "NOTIFY is not heard without psycopg 3.2 or newer; polling every %g s",
            conf.POLL_SECONDS,
        )
    # PRAGMA data_version is SQLite's own; an in-memory database has no second connection.
    if connection.vendor == "sqlite" and not _in_memory(connection):
        return VersionWatcher(connection)
    return Poller()


def _can_listen() -> bool:
    """Whether the driver can be asked for notifications without waiting for one."""
    try:
        import psycopg
    except ImportError:
        return False
    found = re.match(r"(\d+)\.(\d+)", psycopg.__version__)
    return found is not None and (int(found[1]), int(found[2])) >= (3, 2)


def _in_memory(connection: Any) -> bool:
    return bool(connection.is_in_memory_db())


class Poller:
    """Looks every POLL_SECONDS, and quickly while there is work."""

    def __init__(self) -> None:
        self._interval = QUICK_SECONDS
        self._next = 0.0

    def fileno(self) -> int | None:
        return None

    def seconds(self) -> float:
        return max(0.0, self._next - time.monotonic())

    def look(self) -> Hint | None:
        if self.seconds() > 0:
            return None
        self._next = time.monotonic() + self._interval
        self._interval = min(conf.POLL_SECONDS, self._interval * 1.5)
        return Hint(work=True, due=True)

    def worked(self) -> None:
        self._interval = QUICK_SECONDS

    def close(self) -> None: ...


class VersionWatcher(Poller):
    """Sees the commits of other connections to a SQLite file; polls besides."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        super().__init__()
        self._interval = conf.POLL_SECONDS
        self._path = connection.get_connection_params()["database"]
        self._handle: sqlite3.Connection | None = None
        self._version: Any = None
        self._next_version = 0.0

    def seconds(self) -> float:
        return max(0.0, min(self._next_version, self._next) - time.monotonic())

    def look(self) -> Hint | None:
        now = time.monotonic()
        if now >= self._next_version:
            self._next_version = now + SQLITE_SECONDS
            version = self._read()
            if version != self._version:
                self._version = version
                return Hint(work=True, due=True)
        if now >= self._next:
            seconds = conf.POLL_SECONDS
            self._next = now + (max(seconds, SQLITE_POLL_SECONDS) if self._version else seconds)
            return Hint(work=True, due=True)
        return None

    def worked(self) -> None: ...

    def _read(self) -> Any:
        try:
            if self._handle is None:
                uri = isinstance(self._path, str) and self._path.startswith("file:")
                self._handle = sqlite3.connect(self._path, uri=uri, isolation_level=None)
            return self._handle.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error as error:
            logger.debug("reading SQLite's data_version: %s", error)
            self.close()
            return None

    def close(self) -> None:
        if self._handle is not None:
            self._handle.close()
            self._handle = None


class Listener:
    """LISTEN on a connection of its own; polls besides, so that a lost NOTIFY delays little."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        params = connection.get_connection_params()
        self._params = {k: v for k, v in params.items() if k not in ("cursor_factory", "context")}
        self._connection: Any = None
        self._connect_at = 0.0
        self._next_poll = 0.0
        self._echo = float("inf")
        self._silent_until = 0.0

    def fileno(self) -> int | None:
        return None if self._connection is None else int(self._connection.fileno())

    def seconds(self) -> float:
        moments = [self._next_poll, self._echo]
        if self._connection is None:
            moments.append(self._connect_at)
        return max(0.0, min(moments) - time.monotonic())

    def look(self) -> Hint | None:
        now = time.monotonic()
        if self._connection is None and now >= self._connect_at:
            self._connect()
        payloads = self._payloads()
        # After the first NOTIFY the senders keep silent for a moment: look once more after it.
        echo = now >= self._echo
        if payloads:
            self._echo = now + WINDOW_SECONDS * 1.2
        elif echo:
            self._echo = float("inf")
        poll = now >= self._next_poll
        if poll:
            self._next_poll = now + conf.POLL_SECONDS
        if not (payloads or echo or poll):
            return None
        queues = frozenset(payloads - {DUE_CHANGED, ORDERS_CHANGED})
        jobs = bool(queues)
        due = poll or echo or DUE_CHANGED in payloads
        return Hint(
            work=poll or echo or jobs,
            due=due,
            sure=jobs,
            queues=queues,
            orders=ORDERS_CHANGED in payloads,
        )

    def worked(self) -> None: ...

    def _payloads(self) -> set[str]:
        import psycopg

        if self._connection is None:
            return set()
        try:
            return {note.payload for note in self._connection.notifies(timeout=0)}
        except psycopg.Error as error:
            self._complain("LISTEN was cut off", error)
            self.close()
            return set()

    def _connect(self) -> None:
        import psycopg
        from psycopg import sql

        self._connect_at = time.monotonic() + LISTEN_AGAIN_SECONDS
        try:
            self._connection = psycopg.connect(**self._params, autocommit=True)
            self._connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel())))
            self._next_poll = 0.0  # for what was said before
        except psycopg.Error as error:
            self._complain("LISTEN failed", error)
            self.close()

    def _complain(self, what: str, error: Exception) -> None:
        now = time.monotonic()
        if now >= self._silent_until:
            self._silent_until = now + LOG_SECONDS
            logger.info("%s (%s); polling until it works", what, str(error).strip())

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
