"""The project's settings for tests: one database, named by TEST_DATABASE_URL."""

import json
import os

os.environ["READ_DOT_ENV"] = "0"
os.environ.setdefault("DEBUG", "1")

from config import databases
from config.settings import *  # noqa: F403
from config.settings import VAR_DIR, env

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
