"""`JOBS["DATABASE"]`: the pages of recurring jobs ask the alias on which the jobs live."""

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

import jobs
from jobs.models import RecurringJob
from tests import functions

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "elsewhere"])


@pytest.fixture(scope="module", autouse=True)
def _elsewhere(django_db_setup):
    """Another alias of the same database: whose connection is asked is what matters here."""
    connections.settings["elsewhere"] = {**connection.settings_dict}
    yield
    connections["elsewhere"].close()
    del connections["elsewhere"], connections.settings["elsewhere"]


@pytest.fixture(autouse=True)
def _jobs_are_there(settings):
    settings.JOBS = {"DATABASE": "elsewhere", "DASHBOARD_FUNCTIONS": ["tests.functions.add"]}


def test_pages_forms_and_actions_ask_it_and_nobody_else(admin_client):
    jobs.recurring("report", functions.add, cron="0 5 * * *", args=(1,))
    row = RecurringJob.objects.using("elsewhere").get()
    form = {
        "name": "sum",
        "func": "tests.functions.add",
        "cron": "0 6 * * *",
        "misfire": "once",
        "time_zone": "UTC",
        "queue": "mail",
        "priority": "0",
        "arguments": '{"args": [2], "kwargs": {}}',
    }

    with CaptureQueriesContext(connection) as queries:
        for name, *args in (("changelist",), ("change", row.pk), ("edit", row.pk), ("add",)):
            url = reverse(f"admin:jobs_recurringjob_{name}", args=args)
            assert admin_client.get(url).status_code == 200
        for name, *args in (("edit", row.pk), ("add",)):
            url = reverse(f"admin:jobs_recurringjob_{name}", args=args)
            assert admin_client.post(url, form).status_code == 302
        act = reverse("admin:jobs_recurringjob_act")
        for action in ("trigger", "pause", "resume", "delete"):
            data = {"action": action, "recurring_job": row.pk, "reason": "", "confirmed": 1}
            assert admin_client.post(act, data).status_code == 302

    assert not [q["sql"] for q in queries if '"jobs_' in q["sql"] or "`jobs_" in q["sql"]]
    assert [r.name for r in RecurringJob.objects.using("elsewhere").all()] == ["sum"]
