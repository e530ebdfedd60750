"""What SQL Server would be asked: every query is compiled by mssql-django too, and judged.

There is no server in it. A connection that never connects compiles what runs on the test's
database; and while it does, that database is treated as if it could do no more than SQL Server,
so that the code for what SQL Server lacks really runs, and on real rows.
"""

from __future__ import annotations

import importlib
import logging
import re
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple
from unittest import mock

from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.sql import compiler
from django.db.models.sql import query as query_module
from django.db.utils import ConnectionHandler
from django.utils.connection import ConnectionProxy

from jobs.models import compiled

logger = logging.getLogger("jobs.tests.sql_server")

ALIAS = "sql server"
#: One query takes so many parameters,
PARAMETERS = 2_100
#: and one list of so many values; two long ones give wrong rows without an error.
LIST, SHORT_LIST = 500, 20

#: What the ORM and our code ask before they choose how to do a thing.
FLAGS = (
    "allow_sliced_subqueries_with_in",
    "can_return_columns_from_insert",
    "can_return_rows_from_bulk_insert",
    "has_select_for_no_key_update",
    "has_select_for_update",
    "has_select_for_update_of",
    "has_select_for_update_skip_locked",
    "supports_ignore_conflicts",
    "supports_update_conflicts",
    "supports_update_conflicts_with_target",
)


class Statement(NamedTuple):
    """What SQL Server would get, and from which function of ours."""

    sql: str
    params: tuple[Any, ...]
    caller: str


@cache
def connection() -> BaseDatabaseWrapper:
    """Return a connection of mssql-django that compiles and never connects."""
    try:
        importlib.import_module("pyodbc")
    except ImportError:  # it needs an ODBC driver manager, and compiling needs no driver
        sys.modules["pyodbc"] = _Driver("pyodbc")
    found = ConnectionHandler({"default": {"ENGINE": "mssql", "NAME": "never asked"}})["default"]
    found.alias = ALIAS
    # Else it would ask the server for these.
    vars(found).update(
        sql_server_version=2022,
        to_azure_sql_db=False,
        get_autocommit=lambda: False,  # whoever executes checks it
        ensure_connection=_refuse,
    )
    return found


def _refuse() -> None:
    raise AssertionError("something asked SQL Server, of which there is none")


class _Driver(types.ModuleType):
    version = "5.0.0"
    Error = type("Error", (Exception,), {})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.Error if name.endswith(("Error", "Warning")) else name


@contextmanager
def treated_as(executing: BaseDatabaseWrapper) -> Iterator[None]:
    """Treat a connection as one to SQL Server, but for its language."""
    if isinstance(executing, ConnectionProxy):
        # What is changed must be undone in the same wrapper. The runner makes new ones after
        # an interruption, and by way of the proxy the old one's features would end up in those.
        executing = connections[DEFAULT_DB_ALIAS]
    theirs, features = connection(), type(executing.features)
    flags = {name: getattr(theirs.features, name) for name in FLAGS}
    poorer = type("Features", (features,), flags)(executing)
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(executing, "features", poorer))
        changes: dict[str, Any] = {"bulk_batch_size": theirs.ops.bulk_batch_size}
        if not features.has_select_for_update:
            changes["for_update_sql"] = lambda **kwargs: ""
        for name, value in changes.items():
            stack.enter_context(mock.patch.object(executing.ops, name, value))
        yield


@contextmanager
def compiling(
    heard: Callable[[Statement], None] = lambda statement: None,
) -> Iterator[list[Statement]]:
    """Compile for SQL Server whatever is executed in the block; yields the list it goes to.

    `heard`: is called with each statement as well.
    """
    statements: list[Statement] = []

    class Connections:
        """Those of Django, and ours: queries in queries look theirs up by name."""

        def __getitem__(self, alias: str) -> BaseDatabaseWrapper:
            return connection() if alias == ALIAS else connections[alias]

    def hooked(execute: Callable[..., Any]) -> Callable[..., Any]:
        def execute_sql(self: Any, *args: Any, **kwargs: Any) -> Any:
            if self.connection is not connection() and not self.query.explain_info:
                for statement in _compiled(self, args, kwargs):
                    statements.append(statement)
                    heard(statement)
            return execute(self, *args, **kwargs)

        return execute_sql

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(query_module, "connections", Connections()))
        stack.enter_context(mock.patch.object(compiled, "caching", False))
        for kind in (compiler.SQLCompiler, compiler.SQLInsertCompiler):
            patch = mock.patch.object(kind, "execute_sql", hooked(kind.execute_sql))
            stack.enter_context(patch)
        yield statements


def _compiled(executing: Any, args: tuple[Any, ...], kwargs: Any) -> list[Statement]:
    # Named by both: Django's DeleteQuery and the like compile themselves.
    ours = executing.query.clone().get_compiler(using=ALIAS)
    caller = _caller()
    if isinstance(ours, compiler.SQLInsertCompiler):
        ours.returning_fields = kwargs.get("returning_fields", args[0] if args else None)
        return [Statement(sql, tuple(params), caller) for sql, params in ours.as_sql()]
    try:
        sql, params = ours.as_sql()
    except (EmptyResultSet, FullResultSet):
        return []
    return [Statement(sql, tuple(params), caller)] if sql else []


def _caller() -> str:
    """Return the innermost function of the app that is at work, "a page", or "" for a test's own."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.partition(".")[0] == "jobs":
            return f"{module}.{frame.f_code.co_qualname}"
        if module == "django.core.handlers.base":
            return "a page"
        frame = frame.f_back
    return ""


def problems(statement: Statement) -> list[str]:
    """Return which rules a statement breaks."""
    sql, params = statement.sql, statement.params
    found = [text for pattern, text in _FORBIDDEN if re.search(pattern, sql)]
    if len(params) > PARAMETERS:
        found.append(f"{len(params)} parameters")
    # Of parameters or of numbers, see AmongIds; a subquery is no list.
    values = re.findall(r"\bIN \((?!SELECT)([^()]*)\)", sql)
    lists = [match.count(",") + 1 for match in values]
    if max(lists, default=0) > LIST:
        found.append(f"a list of {max(lists)}")
    if sum(length > SHORT_LIST for length in lists) > 1:
        found.append(f"more than one long list: {lists}")
    for value in params:
        if isinstance(value, datetime) and value.utcoffset() != timedelta(0):
            found.append(f"a time that is not in UTC: {value!r}")
        elif not isinstance(value, str | int | float | datetime | None):
            found.append(f"a value that is no plain one: {value!r}")
    return found


@contextmanager
def judging(executing: BaseDatabaseWrapper) -> Iterator[list[Statement]]:
    """Do both of the above in the block, after which none of our statements may break a rule."""
    broken: list[str] = []

    def judge(statement: Statement) -> None:
        if statement.caller and (found := problems(statement)):
            broken.append(f"{statement.caller}: {', '.join(found)}\n{statement.sql}")

    with treated_as(executing), compiling(judge) as statements:
        yield statements
    assert not broken, "\n".join(broken)


_forever = ExitStack()
_treated: list[BaseDatabaseWrapper] = []


def judge_this_process(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Judge, for the rest of this process's life; hears of each connection that is made."""
    if connection in _treated:
        return
    if not _treated:
        _forever.enter_context(compiling(_log_what_breaks_a_rule))
        logger.info("judging what is asked, as SQL Server")
    _treated.append(connection)
    _forever.enter_context(treated_as(connection))


def _log_what_breaks_a_rule(statement: Statement) -> None:
    if statement.caller and (found := problems(statement)):
        logger.error("breaks a rule: %s\n%s", ", ".join(found), statement)


_FORBIDDEN = (
    (r"\bSYSDATETIME\(\)|\bGETDATE\(\)|\bCURRENT_TIMESTAMP\b", "the server's local time"),
    (r" AS datetime2\)", "arithmetic that drops the offset of a time and fractions of a delay"),
    (r"\bMERGE\b|\bON CONFLICT\b|\bON DUPLICATE\b", "an upsert"),
    (r"#django_returning_insert", "an insert by way of a temporary table"),
    (r"\bOUTPUT\b", "reliance on returned rows"),
    (r"\bJSON_|\bISJSON\b|\bOPENJSON\b", "a JSON column"),
    (r"REGEXP", "a regular expression, which needs a function installed on the server"),
    (r"\bFOR UPDATE\b", "another database's locks"),
    (
        r"^(?!SET NOCOUNT OFF; |SELECT |INSERT |SET NOCOUNT ON INSERT )",
        "an unknown kind of statement",
    ),
)
