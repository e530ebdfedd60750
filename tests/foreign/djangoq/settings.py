"""django-q2's own test settings, with our app and broker, and the database of TEST_DATABASE_URL."""

import os
import tempfile

import environ
from django_q.tests.settings import *  # noqa: F403
from django_q.tests.settings import INSTALLED_APPS as THEIRS
from django_q.tests.settings import Q_CLUSTER as THEIR_CLUSTER

from config import databases

FOLDER = os.environ.get("TEST_DJANGOQ_FOLDER") or tempfile.gettempdir()

# Without Redis: the broker is ours, and the cache is one that other processes see as well.
INSTALLED_APPS = ["jobs", *(app for app in THEIRS if app != "django_redis")]
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
        "LOCATION": os.path.join(FOLDER, "cache"),
    }
}
Q_CLUSTER = {
    key: value for key, value in THEIR_CLUSTER.items() if key not in ("redis", "django_redis")
}
Q_CLUSTER["broker_class"] = "jobs.bridge.broker.JobsBroker"
DATABASES = {
    "default": databases.prepare(
        environ.Env.db_url_config(
            os.environ.get("TEST_DATABASE_URL") or f"sqlite:///{FOLDER}/outside.sqlite3"
        )
    )
}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["TEST"] = {"NAME": os.path.join(FOLDER, "test.sqlite3")}
ROOT_URLCONF = "django_q.tests.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
