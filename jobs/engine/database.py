"""The engine's connections: kept open, with limits on waiting; and what to do when they break."""

from __future__ import annotations

import logging
import random
import sqlite3
import time
from collections.abc import Callable, Hashable
from enum import Enum
from typing import Any, TypeVar

from django.db import Error, InterfaceError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from ..conf import conf
from ..races import Raced, is_deadlock, is_lock_timeout

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
        connection_created.connect(_configure, dispatch_uid=f"{__name__}.configure")
    if connection.vendor == "sqlite":  # shorter than the pulse that keeps us from being killed
        options["OPTIONS"]["timeout"] = min(5, options["OPTIONS"]["timeout"])


def _configure(*, connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Let the server end what waits too long, or a helper killed meanwhile leaves it waiting.

    And let it use the indexes, which each statement of the engine has: with the statistics of a
    table that was empty a moment ago it would rather read all rows than some hundred by their ids.
    Statements and not connection parameters, which poolers such as PgBouncer refuse.
    """
    if connection.alias == conf.DATABASE:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '5s'")
            cursor.execute("SET statement_timeout = '10s'")
            cursor.execute("SET enable_seqscan = off")
            cursor.execute("SET jit = off")  # what seems to cost much then


#: What does not answer is tried again after so many seconds at most,
LONGEST_AWAY_SECONDS = 2.0
#: and so is what is refused: until then somebody has to do something about it.
LONGEST_REFUSED_SECONDS = 30.0
#: What failed must not keep its caller busy with asking whether to try again.
REST_SECONDS = 0.05
#: What nobody has tried again so long after it was time is forgotten.
FORGOTTEN_SECONDS = 10.0
#: MySQL's driver has one class for its server's troubles and for these: an unknown column, a
#: column too many, a wrong date, text in another character set, a trigger that says no, a grant
#: that is missing.
_REFUSED_BY_MYSQL = {1054, 1136, 1142, 1143, 1292, 1366, 1370, 1644}
#: PostgreSQL's word for a server that has become a standby; a new connection may find another.
_READ_ONLY = "25006"


class Failure(Enum):
    """What an error says: who has to wait, and for how long."""

    #: The database does not answer: everything.
    AWAY = "does not answer"
    #: Others were quicker or hold a lock: what failed, and not for long.
    CONTENDED = "is busy with"
    #: It answers, but not to this: what failed, until somebody has put it right.
    REFUSED = "refuses"


class Trouble:
    """Something that fails: since when, and when to try it again; later each time."""

    def __init__(self) -> None:
        self._delay = self._retry_at = 0.0
        self._failures = 0
        self.since = time.monotonic()

    @property
    def wait(self) -> float:
        """Seconds until the next try."""
        return max(0.0, self._retry_at - time.monotonic())

    def failed(self, longest: float) -> None:
        """Hear that it failed again; it is tried again within `longest` seconds."""
        self._failures += 1
        self._delay = min(longest, self._delay * 2 or 0.05)
        self._retry_at = time.monotonic() + self._delay * random.uniform(0.5, 1)  # noqa: S311

    @property
    def is_over(self) -> bool:
        """Whether nobody has tried again although it was time: it needs not be done any more."""
        return time.monotonic() - self._retry_at > FORGOTTEN_SECONDS

    @property
    def lasts(self) -> bool:
        """Whether it is no deadlock or lock, which passes at the next try and is nobody's business."""
        return self._failures > 2


class Outage:
    """Runs database work; when it fails, waits a little longer each time and logs once a minute.

    While the database is away everything waits. What an answering database refuses, for want of a
    migration for example, waits alone, and for longer: trying it again helps nobody.
    """

    def __init__(self, who: str) -> None:
        self.who = who
        self._away: Trouble | None = None
        self._troubles: dict[
            Hashable, Trouble
        ] = {}  # of each work that failed and was not done since
        self._told: dict[str, float] = {}  # when the log was last told of what

    @property
    def since(self) -> float | None:
        """Since when (monotonic) the database is away; None if it is fine."""
        return self._away.since if self._away else None

    @property
    def wait(self) -> float:
        """Seconds until the next try; 0 if the database is fine."""
        return self._away.wait if self._away else 0.0

    def wait_for(self, work: Callable[..., Any], key: Hashable = None) -> float:
        """Seconds until `work` is tried again; 0 if nothing speaks against it.

        For a lambda give the function in which it stands.
        """
        own = self._troubles.get(key or _name(work))
        return max(self.wait, own.wait if own else 0.0)

    @property
    def rest(self) -> float:
        """The least seconds for which to sleep between two looks at what is to be done."""
        return REST_SECONDS if self._troubles else 0.0

    def attempt(
        self,
        work: Callable[[], R],
        key: Hashable = None,
        *,
        longest: float = LONGEST_REFUSED_SECONDS,
    ) -> tuple[bool, R | None]:
        """Run `work` unless it failed a moment ago; return (done, its result).

        `work` must be a whole transaction that can be repeated. `key`: what tells it from other
        work, if the name of the function does not. `longest`: so many seconds may pass between two
        tries while it is refused.
        """
        if self.wait_for(work, key) > 0:
            return False, None
        try:
            result = work()
        except (Error, Raced) as error:
            self._failed(error, _name(work), key or _name(work), longest)
            return False, None
        self._worked(_name(work), key or _name(work))
        return True, result

    def _worked(self, name: str, key: Hashable) -> None:
        self._is_back()
        if trouble := self._troubles.pop(key, None):
            self._over(trouble, name, "%s: %s works again, after %.1f s")
        if self._troubles:
            self._troubles = {k: t for k, t in self._troubles.items() if not t.is_over}

    def _is_back(self) -> None:
        if self._away:
            self._over(self._away, "the database", "%s: %s is back after %.1f s")
        self._away = None

    def _over(self, trouble: Trouble, what: str, text: str) -> None:
        if self._told.get(what, float("-inf")) >= trouble.since:
            logger.warning(text, self.who, what, time.monotonic() - trouble.since)

    def _failed(self, error: Exception, name: str, key: Hashable, longest: float) -> None:
        failure = judge(error)
        # Its own trouble lasts until this very work is done: an error that only looks like an
        # absence, while other work goes on, must not be met again each time that goes on.
        own = self._troubles.setdefault(key, Trouble())
        own.failed(longest if failure is Failure.REFUSED else LONGEST_AWAY_SECONDS)
        if failure is Failure.AWAY:
            self._away = self._away or Trouble()
            self._away.failed(LONGEST_AWAY_SECONDS)
        else:
            self._is_back()
        if self._away:
            if self._away.lasts or own.lasts:
                self._tell("%s: %s does not answer (%s: %s); trying on", "the database", error)
        elif own.lasts:
            hint = " Has `manage.py migrate` been run?" if failure is Failure.REFUSED else ""
            text = f"%s: the database {failure.value} %s (%s: %s).{hint} Trying on"
            self._tell(text, name, error)
        close(connections[conf.DATABASE])

    def _tell(self, text: str, what: str, error: Exception) -> None:
        now = time.monotonic()
        if now - self._told.get(what, float("-inf")) >= 60:
            self._told[what] = now
            logger.error(text, self.who, what, type(error).__name__, _line(error))


def _name(work: Callable[..., Any]) -> str:
    """Return the name of a function, for a lambda that of the function in which it stands."""
    work = getattr(work, "func", work)  # a partial has no name
    return getattr(work, "__qualname__", type(work).__name__).replace(".<locals>.<lambda>", "")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def judge(error: Exception) -> Failure:
    """Return what a failure of the engine's work says.

    Whatever is no sure sign of an absence must be confirmed: drivers have their own ideas of what
    class a lost connection is, so a new one must answer.
    """
    if _is_contended(error):
        return Failure.CONTENDED
    return Failure.REFUSED if not passes(error) and _answers() else Failure.AWAY


def passes(error: Exception) -> bool:
    """Whether it is the kind of error that may be gone at the next try, whatever was asked."""
    if isinstance(error, InterfaceError) or _is_contended(error):
        return True
    if getattr(error.__cause__, "sqlstate", None) == _READ_ONLY:
        return True
    if not isinstance(error, OperationalError):
        return False
    if connections[conf.DATABASE].vendor == "mysql":
        return not _REFUSED_BY_MYSQL.intersection(error.args[:1])
    # SQLite's own word for what is wrong with a statement; a lock or a full disk has another.
    return getattr(error.__cause__, "sqlite_errorcode", None) != sqlite3.SQLITE_ERROR


def _is_contended(error: Exception) -> bool:
    if isinstance(error, Error):
        return is_deadlock(error) or is_lock_timeout(error)
    return isinstance(error, Raced)


def _answers() -> bool:
    """Whether the database answers on a new connection, which stays."""
    connection = connections[conf.DATABASE]
    close(connection)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return False
    return True


def close(connection: BaseDatabaseWrapper) -> None:
    """Drop a connection that may be broken."""
    try:
        connection.close()
    except Error as error:
        logger.debug("closing a broken connection: %s", error)
    finally:
        connection.connection = None
