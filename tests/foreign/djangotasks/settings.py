"""The settings of our tests, with a failure being final at once, as in Django's own backends."""

from tests.settings import *  # noqa: F403
from tests.settings import JOBS as _JOBS

from . import BACKENDS

JOBS = {**_JOBS, "MAX_RETRIES": 0}
TASKS = {"default": {"BACKEND": BACKENDS["django.tasks.backends.dummy.DummyBackend"]}}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"nowhere": {"class": "logging.NullHandler"}},
    "root": {"handlers": ["nowhere"]},
}
