"""The database's clock: the one that all servers share."""

from __future__ import annotations

from typing import Any

from django.db.models.functions import Now


class DatabaseNow(Now):
    """The present moment by the database, as Django stores moments: in UTC.

    Django's own `Now()` is CURRENT_TIMESTAMP on MySQL and MariaDB, and SYSDATETIME on SQL Server:
    local time there, without saying so. Compared with the UTC that stands in the columns, delayed
    jobs would run hours early or late wherever the server does not live in UTC. PostgreSQL's and
    SQLite's are right.
    """

    def as_mysql(self, compiler: Any, connection: Any, **extra: Any) -> tuple[str, Any]:
        return self.as_sql(compiler, connection, template="UTC_TIMESTAMP(6)", **extra)

    def as_microsoft(self, compiler: Any, connection: Any, **extra: Any) -> tuple[str, Any]:
        return self.as_sql(compiler, connection, template="SYSUTCDATETIME()", **extra)
