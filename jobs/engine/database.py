"""The engine's connections: kept open, with limits on waiting; and what to do when they break."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from ..conf import conf
from ..transitions import Raced

logger = logging.getLogger(__name__)

R = TypeVar("R")

#: Options of the drivers for the engine's own connections, by Django's name of the vendor: there
#: is no feature flag for how a driver spells its timeouts. Seconds; PostgreSQL's
#: tcp_user_timeout in milliseconds.
_LIMITS: dict[str, dict[str, Any]] = {
    "postgresql": {
        "connect_timeout": 5,
        "keepalives": 1,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 2,
        "tcp_user_timeout": 10_000,
    },
    "mysql": {"connect_timeout": 5, "read_timeout": 10, "write_timeout": 10},
    "sqlite": {"timeout": 5},
    "microsoft": {"connection_timeout": 5, "query_timeout": 10},
}


def keep_connections() -> None:
    """Keep this process's connections open whatever CONN_MAX_AGE says.

    A worker would else pay for a new one with each job. Each is checked before its first use in
    a job, so a database that was restarted meanwhile costs no attempt.
    """
    for alias in connections:
        options = connections[alias].settings_dict
        options["CONN_MAX_AGE"] = None
        options["CONN_HEALTH_CHECKS"] = True
        # A pool has threads, which a fork does not copy.
        options["OPTIONS"] = {k: v for k, v in options.get("OPTIONS", {}).items() if k != "pool"}


def engine_connection() -> BaseDatabaseWrapper:
    """Prepare and return this process's connection to the jobs' database."""
    connection = connections[conf.DATABASE]
    options = connection.settings_dict
    keep_connections()
    options["CONN_HEALTH_CHECKS"] = False  # the engine notices by itself
    limit_waiting()
    return connection


def limit_waiting() -> None:
    """Let this process's next connection to the jobs' database fail rather than wait for long."""
    connection = connections[conf.DATABASE]
    if connection.connection is not None:
        return
    options = connection.settings_dict
    options["OPTIONS"] = {**_LIMITS.get(connection.vendor, {}), **options.get("OPTIONS", {})}
    if connection.vendor == "postgresql":
        connection_created.connect(_limit_statements, dispatch_uid=f"{__name__}.limit_statements")
    if connection.vendor == "sqlite":  # shorter than the pulse that keeps us from being killed
        options["OPTIONS"]["timeout"] = min(5, options["OPTIONS"]["timeout"])


def _limit_statements(*, connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Let the server end what waits too long, or a helper killed meanwhile leaves it waiting.

    Statements and not connection parameters, which poolers such as PgBouncer refuse.
    """
    if connection.alias == conf.DATABASE:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '5s'")
            cursor.execute("SET statement_timeout = '10s'")


class Outage:
    """Runs database work; when it fails, waits a little longer each time and logs once a minute."""

    def __init__(self, who: str) -> None:
        self.who = who
        self.since: float | None = None
        self._delay = 0.0
        self._retry_at = 0.0
        self._logged = 0.0
        self._quiet_failures = 0

    @property
    def wait(self) -> float:
        """Seconds until the next try; 0 if the database is fine."""
        return max(0.0, self._retry_at - time.monotonic()) if self.since else 0.0

    def attempt(self, work: Callable[[], R]) -> tuple[bool, R | None]:
        """Run `work` unless the database failed a moment ago; return (done, its result).

        `work` must be a whole transaction that can be repeated.
        """
        if self.wait > 0:
            return False, None
        try:
            result = work()
        except (Error, Raced) as error:
            self._failed(error)
            return False, None
        if self.since is not None:
            away = time.monotonic() - self.since
            if self._logged >= self.since:
                logger.warning("%s: the database is back after %.1f s", self.who, away)
            self.since, self._delay, self._quiet_failures = None, 0.0, 0
        return True, result

    def _failed(self, error: Exception) -> None:
        now = time.monotonic()
        self.since = self.since or now
        self._quiet_failures += 1
        self._delay = min(2.0, self._delay * 2 or 0.05)
        self._retry_at = now + self._delay * random.uniform(0.5, 1)  # noqa: S311
        # A deadlock or a locked table passes at the next try and is nobody's business.
        if self._quiet_failures > 2 and now - self._logged >= 60:
            self._logged = now
            logger.error(
                "%s: the database does not answer (%s: %s); trying on",
                self.who,
                type(error).__name__,
                str(error).strip(),
            )
        close(connections[conf.DATABASE])


def close(connection: BaseDatabaseWrapper) -> None:
    """Drop a connection that may be broken."""
    try:
        connection.close()
    except Error as error:
        logger.debug("closing a broken connection: %s", error)
    finally:
        connection.connection = None
