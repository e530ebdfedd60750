"""From `DATABASE_URL` to Django's settings, with what each database needs to serve as a queue."""

from __future__ import annotations

from typing import Any


def prepare(database: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of one database with our options added; those of the URL win."""
    engine = database["ENGINE"]
    given = database.get("OPTIONS", {})
    if engine == "django.db.backends.sqlite3":
        ours: dict[str, Any] = {
            # A writer waits for the lock instead of failing in the middle of a transaction.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        }
    elif engine == "django.db.backends.mysql":
        ours = {"charset": "utf8mb4", "isolation_level": "read committed"}
    elif engine == "mssql":
        given = dict(given)
        python_driver = given.pop("python_driver", "mssql_python")
        encrypt = given.pop("encrypt", "yes")
        trust = given.pop("trust_server_certificate", "no")
        extra = f"Encrypt={encrypt};TrustServerCertificate={trust}"
        if python_driver == "pyodbc":
            # Nested queries fail with MARS on Linux.
            ours = {
                "driver": "ODBC Driver 18 for SQL Server",
                "extra_params": f"{extra};MARS_Connection=no",
            }
        else:
            ours = {"python_driver": python_driver, "extra_params": extra}
    else:
        ours = {}
    return {**database, "OPTIONS": {**ours, **given}}


#: mssql-python's pool survives a fork, and then gives "Invalid cursor state": to be set for SQL
#: Server as `DATABASE_CONNECTION_POOLING`.
CONNECTION_POOLING = False
