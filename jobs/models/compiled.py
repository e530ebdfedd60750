"""Questions that are asked over and over, compiled once.

To make SQL of a query costs the ORM several times what the database needs to answer a small one:
with a claim of one job it was a third of the time from its enqueueing to its start, and on an idle
server nearly all that it costs.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import Expression, QuerySet
from django.db.models.sql import UpdateQuery
from django.db.models.sql.compiler import SQLCompiler

from ..conf import conf
from .ids import AmongIds, IdsToCome, listed

P = ParamSpec("P")
Row = TypeVar("Row")

#: So many are kept in each thread.
KEPT = 128
_NOTHING: Mapping[str, Any] = {}


class _Update(NamedTuple):
    """An UPDATE whose ids and values are yet to be put in."""

    connection: Any
    sql: str
    params: list[tuple[Any, Any]]  # the field whose value is to be put in, or None; a parameter


class _Thread(threading.local):
    """Connections belong to threads, and what was compiled to connections."""

    def __init__(self) -> None:
        self.questions: OrderedDict[Any, SQLCompiler] = OrderedDict()
        self.updates: OrderedDict[Any, _Update] = OrderedDict()


_thread = _Thread()


def query(build: Callable[P, QuerySet[Any, Row]]) -> Callable[P, list[Row]]:
    """Let a query be compiled at the first time only, and return its rows as tuples.

    `build`: returns the query, with `values_list`. It must be the same query whenever its
    arguments are the same, and these be hashable and few: what differs each time, such as this
    process's clock, must not be in it.
    """

    @wraps(build)
    def rows(*args: P.args, **kwargs: P.kwargs) -> list[Row]:
        key = (build, conf.DATABASE, args, *kwargs.items())
        question = _kept(_thread.questions, key)
        # Tests and forks exchange connections.
        if question is None or question.connection is not connections[conf.DATABASE]:
            try:
                question = _keep(_thread.questions, key, _question(build(*args, **kwargs)))
            except EmptyResultSet:
                return []
        found: Any = question.results_iter(tuple_expected=True)
        return list(found)

    return rows


def _question(asked: QuerySet[Any, Any]) -> SQLCompiler:
    compiler = asked.query.get_compiler(using=asked.db)
    statement = compiler.as_sql()
    compiler.as_sql = lambda *args, **kwargs: statement
    return compiler


def update(
    build: Callable[[Any], QuerySet[Any, Any]],
    of: Any,
    ids: Sequence[int],
    values: Mapping[str, Any],
    fixed: Mapping[str, Any] = _NOTHING,
) -> int:
    """Update the rows with these ids; return how many. Compiled once for each set of names.

    `build`: given `of`, returns the query of those that may be updated, as for `query`.
    `values`: by fields' names, no expressions; these go into `fixed`, whose names tell them apart.
    """
    if not caching:
        return build(of).filter(AmongIds(ids)).update(**values, **fixed)
    key = (build, of, conf.DATABASE, tuple(values), tuple(fixed))
    statement = _kept(_thread.updates, key)
    connection = connections[conf.DATABASE]
    if statement is None or statement.connection is not connection:
        statement = _keep(_thread.updates, key, _update(build(of), tuple(values), fixed))
    params = [
        field.get_db_prep_save(values[field.name], connection) if field else param
        for field, param in statement.params
    ]
    with connection.cursor() as cursor:
        cursor.execute(statement.sql.replace(IdsToCome.MARK, listed(ids)), params)
        return int(cursor.rowcount)


def _update(rows: QuerySet[Any, Any], names: Sequence[str], fixed: Mapping[str, Any]) -> _Update:
    found: Any = rows.filter(IdsToCome()).query.chain(UpdateQuery)
    fields: Any = rows.model._meta.get_field
    found.add_update_values({**{name: _Given(fields(name)) for name in names}, **fixed})
    sql, params = found.get_compiler(using=rows.db).as_sql()
    params = [(p.output_field if isinstance(p, _Given) else None, p) for p in params]
    return _Update(connections[rows.db], sql, params)


class _Given(Expression):
    """A value that is given with each execution; it stands for itself among the parameters."""

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        return "%s", [self]


def _kept(kept: OrderedDict[Any, Row], key: Any) -> Row | None:
    if (value := kept.get(key)) is not None:
        kept.move_to_end(key)
    return value


def _keep(kept: OrderedDict[Any, Row], key: Any, value: Row) -> Row:
    kept[key] = value
    if len(kept) > KEPT:
        kept.popitem(last=False)  # the one that was not asked for longest
    return value


#: Off where every statement is to be seen by those who look into the ORM.
caching = True


def forget() -> None:
    """Forget what this thread has compiled, for tests that change what a database can do."""
    _thread.questions.clear()
    _thread.updates.clear()
