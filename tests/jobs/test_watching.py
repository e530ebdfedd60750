"""Jobs, queues and servers in the admin."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import translation

import jobs
from jobs import admin
from jobs.models import Job
from jobs.states import State
from jobs.testing import drain
from tests import functions

LIST = "/admin/jobs/job/"
pytestmark = pytest.mark.django_db


def page(client: Client, job: Job) -> str:
    return client.get(f"{LIST}{job.pk}/change/").content.decode()


def test_arguments_options_and_data_are_shown_as_json(admin_client: Client) -> None:
    job = jobs.using(functions.add, max_retries=3).enqueue(1, b="<é>")
    Job.objects.update(func="tests.functions.nothing", arguments={"args": [True], "kwargs": {}})
    drain()

    html = page(admin_client, job)

    assert (
        "<pre>{\n  &quot;args&quot;: [\n    true\n  ],\n  &quot;kwargs&quot;: {}\n}</pre>" in html
    )
    assert "&quot;max_retries&quot;: 3\n}</pre>" in html
    assert "&quot;value&quot;: true" in html
    assert "&#x27;" not in html, "nothing is shown as Python"


def test_a_traceback_is_shown_line_by_line(admin_client: Client) -> None:
    job = jobs.using(functions.fail, max_retries=0).enqueue("a <b>")
    drain()

    html = page(admin_client, job)

    assert "in fail\n    raise ValueError(text)\nValueError: a &lt;b&gt;\n</pre>" in html


def test_the_history_s_moments_are_exact_and_local(admin_client: Client, settings) -> None:
    settings.TIME_ZONE = "Asia/Kolkata"
    job = jobs.enqueue(functions.nothing)
    drain()
    job.history.update(entered_at="2026-03-04T05:06:07.123Z")

    assert "2026-03-04 10:36:07.123" in page(admin_client, job)


def test_a_job_has_no_button_for_the_admin_s_own_history(admin_client: Client) -> None:
    job = jobs.enqueue(functions.nothing)

    assert f"{LIST}{job.pk}/history/" not in page(admin_client, job)


def test_the_list_can_be_narrowed_to_a_queue_and_a_state(admin_client: Client) -> None:
    jobs.using(functions.nothing, queue="mail").enqueue()
    jobs.enqueue(functions.add, 1)
    admin.Queue.objects.get_or_create(name="mail")

    response = admin_client.get(f"{LIST}?queue=mail&state__exact={State.ENQUEUED}")

    assert [job.queue for job in response.context["cl"].result_list] == ["mail"]
    assert "?queue=mail" in admin_client.get(LIST).content.decode()


def test_the_list_reads_no_more_than_it_shows(admin_client: Client, monkeypatch) -> None:
    monkeypatch.setattr(admin, "COUNT_LIMIT", 120)
    jobs.enqueue_many(functions.nothing, [(n,) for n in range(130)])

    with CaptureQueriesContext(connection) as queries:
        response = admin_client.get(LIST)

    statements = [q["sql"] for q in queries if "jobs_job" in q["sql"]]
    assert len(statements) == 2, "the count and the rows"
    assert all("LIMIT" in sql for sql in statements)
    assert not any("DISTINCT" in sql for sql in statements)
    assert response.context["cl"].result_count == 120
    assert "120+ jobs" in response.content.decode()


def test_a_short_list_is_counted_exactly(admin_client: Client) -> None:
    jobs.enqueue_many(functions.nothing, [(n,) for n in range(3)])

    assert "\n3 jobs" in admin_client.get(LIST).content.decode()


def test_the_last_page_that_is_counted_can_be_opened(admin_client: Client, monkeypatch) -> None:
    monkeypatch.setattr(admin, "COUNT_LIMIT", 200)
    jobs.enqueue_many(functions.nothing, [(n,) for n in range(250)])

    cl = admin_client.get(f"{LIST}?p=2").context["cl"]

    assert len(cl.result_list) == 100


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_count_that_was_cut_short_says_so(language: str, settings) -> None:
    with translation.override(language):
        assert str(admin.AtLeast(10_000)) == {"en": "10,000+", "de": "10.000+"}[language]
