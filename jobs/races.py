"""Transactions that lost to another one, and are made again."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from django.db import Error, connections

from .conf import conf

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

ATTEMPTS = 5
#: What a transaction that was rolled back for another's sake is told: SQLSTATEs (40001 is a
#: serialization failure, and SQL Server's deadlock), and MySQL's number, whose driver has no other.
_ROLLED_BACK = {"40001", "40P01", 1213}
#: And one that waited too long for another's lock.
_WAITED = {"55P03", 1205}


class Raced(Exception):
    """Rows changed between being read and being updated; the transaction starts over."""


class Locked(Raced):
    """Rows are in the hands of a transaction that may stay open for long; come back later."""


def is_deadlock(error: Error) -> bool:
    """Whether the database rolled a transaction back so that another one could go on."""
    return _code(error) in _ROLLED_BACK


def is_lock_timeout(error: Error) -> bool:
    """Whether the database gave up waiting for a row or table that another transaction holds."""
    return _code(error) in _WAITED


def _code(error: Error) -> Any:
    return getattr(error.__cause__, "sqlstate", None) or next(iter(error.args), None)


def repeat_when_raced(function: Callable[P, R]) -> Callable[P, R]:
    """Run `function`, a whole transaction, again when it raises Raced or lost to a deadlock.

    Rows are locked in the order of their ids, but a server may read by one index what it changes
    in another: where rows are locked, deadlocks are part of the contract. Within the caller's own
    transaction, which is lost as well, that error is the caller's.
    """

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        connection = connections[conf.DATABASE]
        whole = not connection.in_atomic_block and connection.get_autocommit()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return function(*args, **kwargs)
            except Raced as error:
                if attempt == ATTEMPTS or isinstance(error, Locked):
                    raise
            except Error as error:
                if not whole or attempt == ATTEMPTS or not is_deadlock(error):
                    raise
                logger.debug("%s: again after a deadlock", function.__name__)
            time.sleep(random.uniform(0, 0.01 * attempt))  # noqa: S311
        raise AssertionError("unreachable")

    return wrapper
