"""django-q2's own API is refused."""

import os
import subprocess
import sys

import pytest
from django_q.models import OrmQ, Schedule
from django_q.tasks import async_task, schedule

from jobs.bridge import NotBridged
from jobs.models import Job


@pytest.mark.django_db
def test_async_task_is_refused_and_writes_nothing():
    with pytest.raises(NotBridged, match=r"tests\.functions\.add.*Use enqueue\(func"):
        async_task("tests.functions.add", 1)

    assert (Job.objects.count(), OrmQ.objects.count()) == (0, 0)


@pytest.mark.django_db
def test_a_stock_schedule_is_refused_and_writes_nothing():
    with pytest.raises(NotBridged, match=r"tests\.functions\.add.*Use schedule\(func"):
        schedule("tests.functions.add", 1, schedule_type="D")

    assert Schedule.objects.count() == 0


def test_async_task_is_refused_in_a_project_that_configured_no_broker():
    """By default django-q2 wants Redis, whose package need not be there."""
    code = """
import sys; sys.modules["redis"] = None
import django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["jobs", "django_q", "django.contrib.contenttypes", "django.contrib.auth"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    Q_CLUSTER={"name": "bare"},
)
django.setup()
from django_q.tasks import async_task
async_task("math.floor", 1)
"""
    env = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60
    )

    assert "NotBridged: async_task('math.floor') is not supported yet" in done.stderr
