"""The database's clock: the one that all servers share."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import DateTimeField, Func, Value
from django.db.models.functions import Now


class DatabaseNow(Now):
    """The present moment by the database, comparable with the moments that Django stores.

    Django's own `Now()` is CURRENT_TIMESTAMP on MySQL and MariaDB, and in some versions
    SYSDATETIME on SQL Server: local time there, without saying so. Compared with the UTC that
    stands in the columns, delayed jobs would run hours early or late wherever the server does not
    live in UTC. PostgreSQL's and SQLite's are right.
    """

    def as_mysql(self, compiler: Any, connection: Any, **extra: Any) -> tuple[str, Any]:
        return self.as_sql(compiler, connection, template="UTC_TIMESTAMP(6)", **extra)

    def as_microsoft(self, compiler: Any, connection: Any, **extra: Any) -> tuple[str, Any]:
        return self.as_sql(compiler, connection, template="SYSDATETIMEOFFSET()", **extra)


class DatabaseLater(Func):
    """The moment `delay` from now by the database, for writing it to a row.

    On SQL Server, arithmetic of Django's kind loses the offset of a moment and the fractions of a
    delay.
    """

    template = "%(expressions)s"
    output_field = DateTimeField()

    def __init__(self, delay: timedelta) -> None:
        super().__init__(DatabaseNow() + Value(delay))
        self.delay = delay

    def as_microsoft(self, compiler: Any, connection: Any, **extra: Any) -> tuple[str, Any]:
        now, params = compiler.compile(DatabaseNow())
        sql = f"DATEADD(microsecond, %s, DATEADD(second, %s, DATEADD(day, %s, {now})))"
        return sql, [self.delay.microseconds, self.delay.seconds, self.delay.days, *params]
