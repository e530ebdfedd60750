"""`JOBS["DATABASE"]`: the jobs live on another alias than the rest of the project."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

import jobs
from jobs.testing import drain
from tests import functions, tasks

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "elsewhere"])


@pytest.fixture(scope="module", autouse=True)
def _elsewhere(django_db_setup: None) -> Iterator[None]:
    """Another alias of the same database: whose connection is asked is what matters here."""
    connections.settings["elsewhere"] = {**connection.settings_dict}
    yield
    connections["elsewhere"].close()
    del connections["elsewhere"], connections.settings["elsewhere"]


@pytest.fixture(autouse=True)
def _jobs_are_there(settings) -> None:
    settings.JOBS = {"DATABASE": "elsewhere"}


@pytest.mark.parametrize("address", ["job/", "job/<job>/change/", "server/", "queue/"])
def test_the_admin_asks_it_for_jobs_and_nobody_else(admin_client: Client, address: str) -> None:
    job = jobs.enqueue(functions.nothing)
    drain()

    with CaptureQueriesContext(connection) as queries:
        response = admin_client.get(
            f"/hangfire/jobs/{address.replace('<job>', str(job.pk))}", follow=True
        )

    assert response.status_code == 200
    assert not [q["sql"] for q in queries if "jobs_" in q["sql"]]


def test_tasks_of_djangos_framework_live_there(django_assert_num_queries):
    with django_assert_num_queries(0):
        result = tasks.add.enqueue(1)
        drain()
        result.refresh()
    assert result.return_value == 2
