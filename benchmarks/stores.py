"""Where jobs are stored: databases by URL, and a Redis server of our own."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

SCHEMES = {
    "sqlite": "sqlite",
    "postgres": "postgresql",
    "postgresql": "postgresql",
    "mysql": "mysql",
    "redis": "redis",
}


def kind(url: str) -> str:
    """Return sqlite, postgresql, mysql or redis."""
    return SCHEMES[urlsplit(url).scheme]


def database_name(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


def connect(url: str, database: str | None = None) -> Any:
    """Open a plain connection to `url`, or to another database of the same server."""
    parts = urlsplit(url)
    name = database_name(url) if database is None else database
    if kind(url) == "sqlite":
        return sqlite3.connect(f"/{database_name(url)}", isolation_level=None, timeout=20)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if kind(url) == "mysql":
        import MySQLdb

        return MySQLdb.connect(
            host=parts.hostname,
            port=parts.port or 3306,
            user=user,
            password=password,
            database=name,
            connect_timeout=5,
            autocommit=True,
        )
    import psycopg

    return psycopg.connect(
        host=parts.hostname,
        port=parts.port or 5432,
        user=user,
        password=password,
        dbname=name,
        autocommit=True,
        connect_timeout=5,
    )


def empty(url: str) -> None:
    """Remove everything that is in the store. Its name must begin with "bench"."""
    if kind(url) == "redis":
        import redis

        redis.Redis.from_url(url).flushall()
        return
    name = Path(database_name(url)).name
    if not name.startswith("bench"):
        raise ValueError(f"{name!r} will be emptied, so its name must begin with 'bench'")
    if kind(url) == "sqlite":
        for suffix in ("", "-wal", "-shm"):
            Path(f"/{database_name(url)}{suffix}").unlink(missing_ok=True)
        return
    system, force = ("postgres", " WITH (FORCE)") if kind(url) == "postgresql" else ("", "")
    with closing(connect(url, system)) as connection, closing(connection.cursor()) as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name}{force}")
        cursor.execute(f"CREATE DATABASE {name}")


def why_not(url: str) -> str | None:
    """Return why the store at `url` can't be used, or None."""
    try:
        if kind(url) == "redis":
            import redis

            redis.Redis.from_url(url).ping()
        elif kind(url) != "sqlite":
            connect(url, "postgres" if kind(url) == "postgresql" else "").close()
    except ImportError as error:
        return str(error)
    except Exception as error:  # each driver has errors of its own
        return str(error).strip().partition("\n")[0]
    return None


def about(url: str) -> dict[str, str]:
    """Return the server's version and the settings that decide how durable a commit is."""
    if kind(url) == "redis":
        import redis

        client = redis.Redis.from_url(url)
        return {
            "version": f"Redis {client.info()['redis_version']}",
            "durability": "none (appendonly no, no snapshots)",
        }
    with closing(connect(url, {"postgresql": "postgres", "mysql": ""}.get(kind(url)))) as c:
        cursor = c.cursor()

        def value(query: str, column: int = 0) -> str:
            cursor.execute(query)
            row = cursor.fetchone()
            return str(row[column]) if row else ""

        if kind(url) == "sqlite":
            return {
                "version": f"SQLite {value('SELECT sqlite_version()')}",
                "durability": "WAL, synchronous=FULL",
            }
        if kind(url) == "mysql":
            names = ("innodb_flush_log_at_trx_commit", "sync_binlog")
            found = [f"{n}={value(f'SELECT @@{n}')}" for n in names]
            return {"version": value("SELECT version()"), "durability": ", ".join(found)}
        names = ("fsync", "synchronous_commit", "shared_buffers")
        found = [f"{n}={value(f'SHOW {n}')}" for n in names]
        version = value("SHOW server_version").partition(" ")[0]
        return {"version": f"PostgreSQL {version}", "durability": ", ".join(found)}


def commits(url: str) -> int | None:
    """Return how many transactions the database has seen, if its server counts them by database."""
    if kind(url) != "postgresql":
        return None
    with closing(connect(url, "postgres")) as connection:
        row = connection.execute(
            "SELECT xact_commit FROM pg_stat_database WHERE datname = %s", [database_name(url)]
        ).fetchone()
    return int(row[0])


@contextmanager
def old_transaction(url: str) -> Iterator[None]:
    """Hold a transaction that has seen the database as it is now, as a long report would."""
    with closing(connect(url)) as connection:
        cursor = connection.cursor()
        if kind(url) == "sqlite":
            cursor.execute("BEGIN")
        elif kind(url) == "mysql":
            cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
        else:
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT count(*) FROM django_content_type")
        cursor.fetchall()
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")


@contextmanager
def redis_server(folder: Path) -> Iterator[str | None]:
    """Run a Redis that writes nothing to disk; give its URL, or None where there is no Redis."""
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with (folder / "redis.log").open("wb") as log:
        server = subprocess.Popen(
            [program, *options, "--dir", str(folder)],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        _wait_for(port)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
