"""The project's settings for tests: one database, named by TEST_DATABASE_URL."""

import json
import os
from typing import Any

os.environ["READ_DOT_ENV"] = "0"
os.environ.setdefault("DEBUG", "1")

import django

from config import databases
from config.settings import *  # noqa: F403
from config.settings import Q_CLUSTER, VAR_DIR, env

# A cluster started by a test works the test's database; see tests/cluster.py.
_url = os.environ.get("TEST_CLUSTER_DATABASE_URL") or os.environ.get(
    "TEST_DATABASE_URL", f"sqlite:///{VAR_DIR / 'tests' / 'outside.sqlite3'}"
)
DATABASES = {"default": databases.prepare(env.db_url_config(_url))}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    VAR_DIR.joinpath("tests").mkdir(parents=True, exist_ok=True)
    # A file, because other processes must see it.
    DATABASES["default"]["TEST"] = {"NAME": str(VAR_DIR / "tests" / f"test-{os.getpid()}.sqlite3")}
# As in a project that never heard of it: the engine keeps its connections all the same.
DATABASES["default"]["CONN_MAX_AGE"] = 0

JOBS = {"WORKERS": 2, **json.loads(os.environ.get("TEST_JOBS", "{}"))}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
if "TEST_EMAIL_URL" in os.environ:
    vars().update(env.email_url_config(os.environ["TEST_EMAIL_URL"]))
if "TEST_ALT_CLUSTERS" in os.environ:
    Q_CLUSTER["ALT_CLUSTERS"] = {os.environ["TEST_ALT_CLUSTERS"]: {}}
if "TEST_BROKER" in os.environ:
    Q_CLUSTER["broker_class"] = os.environ["TEST_BROKER"]
if "TEST_CACHE" in os.environ:
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
            "LOCATION": os.environ["TEST_CACHE"],
        }
    }

if django.VERSION < (6, 0):
    INSTALLED_APPS = [*INSTALLED_APPS, "django_tasks"]  # noqa: F405
# The tasks of tests/tasks.py; QUEUES of an empty list are all queues.
TASKS = {"default": {"BACKEND": "jobs.backends.JobsBackend", "QUEUES": []}}


def _judge_as_sql_server(**kwargs: Any) -> None:
    from . import sql_server

    sql_server.judge_this_process(**kwargs)


if "TEST_AS_SQL_SERVER" in os.environ:
    from django.db.backends.signals import connection_created

    connection_created.connect(_judge_as_sql_server)

if "TEST_FAULTS" in os.environ:  # the processes of this cluster are to die in what they write
    from tests.chaos.faults import die_anywhere

    die_anywhere(os.environ["TEST_FAULTS"])
