"""One settings module for both systems; BENCH_SYSTEM picks."""

import os
from functools import partial

import environ
from django.db.backends.signals import connection_created

from config import databases

SYSTEM = os.environ["BENCH_SYSTEM"]  # bonfire or stock
SECRET_KEY = "bench"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    *(["jobs"] if SYSTEM == "bonfire" else []),
    "django_q",
    "django.contrib.contenttypes",
    "django.contrib.auth",
]
DATABASES = {"default": databases.prepare(environ.Env.db_url_config(os.environ["BENCH_DATABASE"]))}
# Persistent connections for both, and the same durability.
DATABASES["default"]["CONN_MAX_AGE"] = None
Q_CLUSTER = {
    "name": "bench",
    "workers": 2,
    "orm": "default",
    "save_limit": 0,
    "timeout": 60,
    "retry": 3600,
}


def _count(fd: int, execute, *args):
    os.write(fd, b".")
    return execute(*args)


def _count_statements(*, connection, **kwargs) -> None:
    fd = os.open(os.environ["BENCH_STATEMENTS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    connection.execute_wrappers.append(partial(_count, fd))


# The size of the file is the number of statements of all processes; BEGIN and COMMIT, which some
# drivers send by themselves, are not among them.
if "BENCH_STATEMENTS" in os.environ:
    connection_created.connect(_count_statements, dispatch_uid="count", weak=False)
