"""One settings module for both systems; BENCH_SYSTEM picks."""

import os

import environ

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
