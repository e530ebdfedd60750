"""Django's settings for the systems that need them; BENCH_SYSTEM picks."""

from __future__ import annotations

import os
from typing import Any

import environ
from django.db.backends.signals import connection_created

from config import databases

SYSTEM = os.environ["BENCH_SYSTEM"]
SECRET_KEY = "bench"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth"]

# The same options, and so the same durability, for every system on the same database.
DATABASES = {"default": databases.prepare(environ.Env.db_url_config(os.environ["BENCH_DATABASE"]))}
DATABASES["default"]["CONN_MAX_AGE"] = 0 if SYSTEM == "django-q2" else None

WORKERS = int(os.environ.get("BENCH_WORKERS", "2"))

if SYSTEM == "bonfire":
    INSTALLED_APPS = ["jobs", "django_q", *INSTALLED_APPS]
    JOBS = {"WORKERS": WORKERS}
elif SYSTEM.startswith("django-q2"):
    INSTALLED_APPS = ["django_q", *INSTALLED_APPS]
    Q_CLUSTER: dict[str, Any] = {"name": "bench", "workers": WORKERS, "orm": "default"}
    if SYSTEM == "django-q2-tuned":
        Q_CLUSTER["save_limit"] = 0
    if retry := int(os.environ.get("BENCH_RETRY_SECONDS", "0")):
        Q_CLUSTER |= {"retry": retry, "timeout": retry - 1}
elif SYSTEM == "django-tasks-db":
    INSTALLED_APPS = ["django_tasks_db", *INSTALLED_APPS]
    TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}


def _count(execute: Any, *args: Any) -> Any:
    # Opened each time: forked processes close what they inherit.
    with open(os.environ["BENCH_STATEMENTS"], "ab", buffering=0) as file:
        file.write(b".")
    return execute(*args)


def _count_statements(*, connection: Any, **kwargs: Any) -> None:
    if _count not in connection.execute_wrappers:  # they outlive a connection, and a fork
        connection.execute_wrappers.append(_count)


# The size of the file is the number of statements of all processes; BEGIN and COMMIT, which some
# drivers send by themselves, are not among them.
if "BENCH_STATEMENTS" in os.environ:
    connection_created.connect(_count_statements, dispatch_uid="count", weak=False)
