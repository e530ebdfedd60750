"""What makes the test's database refuse things that it should take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

_BEGIN = {
    "sqlite": [
        "CREATE TRIGGER refusing BEFORE UPDATE ON jobs_job "
        "WHEN old.id IN ({ids}) AND old.state = 'processing' "
        "BEGIN SELECT RAISE(ABORT, 'not this one'); END"
    ],
    "postgresql": [
        "CREATE FUNCTION refusing() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN RAISE EXCEPTION ''not this one''; END'",
        "CREATE TRIGGER refusing BEFORE UPDATE ON jobs_job FOR EACH ROW "
        "WHEN (old.id IN ({ids}) AND old.state = 'processing') EXECUTE FUNCTION refusing()",
    ],
    "mysql": [
        "CREATE TRIGGER refusing BEFORE UPDATE ON jobs_job FOR EACH ROW "
        "IF old.id IN ({ids}) AND old.state = 'processing' "
        "THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not this one'; END IF"
    ],
}
_END = {
    "sqlite": ["DROP TRIGGER refusing"],
    "postgresql": ["DROP FUNCTION refusing() CASCADE"],
    "mysql": ["DROP TRIGGER refusing"],
}


def _execute(statements: list[str], **values: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement.format(**values))


@contextmanager
def refusing(*pks: int) -> Iterator[None]:
    """Let the database refuse every change of these jobs once they run."""
    _execute(_BEGIN[connection.vendor], ids=", ".join(map(str, pks)))
    try:
        yield
    finally:
        _execute(_END[connection.vendor])


@contextmanager
def without_column(table: str, column: str) -> Iterator[None]:
    """Take a column away, as before a migration that adds it."""
    there, away = map(connection.ops.quote_name, (column, f"not_yet_{column}"))
    _execute([f"ALTER TABLE {table} RENAME COLUMN {there} TO {away}"])
    try:
        yield
    finally:
        _execute([f"ALTER TABLE {table} RENAME COLUMN {away} TO {there}"])
