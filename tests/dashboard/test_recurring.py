"""The list of recurring jobs and the page of one: what operators see."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone, translation

import jobs
from jobs.conf import conf
from jobs.dashboard import metrics
from jobs.dashboard.recurring import cron, lists, runs
from jobs.models import Job, RecurringJob
from jobs.recurrence import schedule_for
from jobs.states import State
from tests import functions

pytestmark = pytest.mark.django_db

LIST = "admin:jobs_recurringjob_changelist"
CALL = {"args": [], "kwargs": {}}


@pytest.fixture(autouse=True)
def _no_numbers_of_other_tests():
    metrics.forget()
    yield
    metrics.forget()


@pytest.fixture
def row():
    jobs.recurring("report", functions.add, cron="0 8 1 * *", timezone="Europe/Berlin", args=(1,))
    return RecurringJob.objects.get()


def make(name, **fields):
    values = {"func": "a.b", "arguments": CALL, "queue": "default", "cron": "0 5 * * *", **fields}
    return RecurringJob.objects.create(name=name, **values)


def run(row, state, **fields):
    return Job.objects.create(
        func=row.func, arguments=CALL, queue="default", recurring_job=row, state=state, **fields
    )


def shown(client, **query):
    return client.get(reverse(LIST), query).content.decode()


def page_of(client, row):
    return client.get(reverse("admin:jobs_recurringjob_change", args=[row.pk])).content.decode()


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 8 1 * *", "At 08:00 on day 1 of the month"),
        ("0 0 8 1 * *", "At 08:00 on day 1 of the month"),
        ("30 23 L * *", "At 23:30 on the last day of the month"),
        ("0 8 LW * *", "At 08:00 on the last weekday of the month"),
        ("0 9 * * 5L", "At 09:00 on the last Friday of the month"),
        ("0 9 * * MON#1", "At 09:00 on the first Monday of the month"),
        ("0 9 * * 7", "At 09:00 every Sunday"),
        ("*/5 * * * *", "Every 5 minutes"),
        ("*/10 * * * * *", "Every 10 seconds"),
        (
            "every 2 weeks from 2026-01-05T09:00:00+00:00",
            "Every 2 weeks, counted from 01/05/2026, 10:00",
        ),
    ],
)
def test_a_schedule_is_said_in_words(expression, words):
    assert cron.in_words(schedule_for(expression, "Europe/Berlin")) == words


def test_words_are_in_the_user_s_language():
    with translation.override("de"):
        assert cron.in_words(schedule_for("*/5 * * * *", "UTC")) == "Alle 5 Minuten"
        assert "Montag" in cron.in_words(schedule_for("0 9,10 * * 1", "UTC"))


def test_the_next_runs_are_on_the_clocks_of_the_zone_and_say_when_those_are_set():
    schedule = schedule_for("0 5 * * *", "Europe/Berlin")

    found = cron.upcoming(schedule, datetime(2026, 10, 23, 12, tzinfo=UTC), 3)

    assert [(one.time, one.zone) for one in found] == [
        ("05:00", "CEST"),
        ("05:00", "CET"),
        ("05:00", "CET"),
    ]
    assert [one.change for one in found] == ["", "clocks have gone back by 60 min", ""]


def test_a_row_says_what_runs_when_and_how_the_last_run_ended(admin_client, row):
    job = run(row, State.FAILED)

    page = shown(admin_client)

    assert "tests.functions.add" in page
    assert "At 08:00 on day 1 of the month" in page
    assert "Europe/Berlin" in page
    assert (
        f'<a class="label s-failed" href="{reverse("admin:jobs_job_change", args=[job.pk])}"'
        in page
    )
    assert 'aria-label="Last run: 1 Failed"' in page


def test_the_strip_shows_the_last_twenty_runs_the_newest_at_the_right(row):
    for _ in range(25):
        run(row, State.SUCCEEDED)
    last = run(row, State.FAILED)
    floors = dict(runs.with_floor(RecurringJob.objects.all()).values_list("pk", "floor"))

    found = runs.of(floors)[row.pk]

    assert len(found) == 20
    assert found[0].id == last.pk
    assert "Last 20 runs: 19 Succeeded, 1 Failed" in runs.summary(found)
    assert f'x="152" y="0" width="6" height="22"><title>#{last.pk} Failed' in runs.strip(found)


def test_the_number_of_statements_does_not_depend_on_the_rows(admin_client):
    def statements():
        metrics.snapshot()
        with CaptureQueriesContext(connections[conf.DATABASE]) as queries:
            shown(admin_client)
        return len(queries)

    one = make("one")
    run(one, State.FAILED)
    few = statements()
    for number in range(lists.ROWS + 5):
        for _ in range(3):
            run(make(f"n{number:03}-{_}"), State.SUCCEEDED)

    assert statements() == few <= 15


def test_pages_follow_each_other_by_name(admin_client):
    names = [f"job-{number:03}" for number in range(lists.ROWS + 10)]
    for name in reversed(names):
        make(name)

    first = admin_client.get(reverse(LIST))
    second = admin_client.get(first.context["after_url"])
    back = admin_client.get(second.context["before_url"])

    assert [r.name for r in first.context["window"].rows] == names[: lists.ROWS]
    assert [r.name for r in second.context["window"].rows] == names[lists.ROWS :]
    assert [r.name for r in back.context["window"].rows] == names[: lists.ROWS]
    assert (first.context["before_url"], second.context["after_url"]) == ("", "")


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"q": "TWO"}, ["two"]),
        ({"q": "mails"}, ["one"]),
        ({"status": "active"}, ["one"]),
        ({"status": "paused"}, ["two"]),
        ({"status": "error"}, ["three"]),
        ({"queue": "slow"}, ["three"]),
        ({"status": "wrong"}, ["one", "three", "two"]),
        ({"after": "one", "status": ""}, ["three", "two"]),
    ],
)
def test_the_list_is_narrowed_and_searched(admin_client, query, names):
    make("one", func="app.mails.send")
    make("two", paused_at=timezone.now())
    make("three", error="it broke", queue="slow")

    answer = admin_client.get(reverse(LIST), query)

    assert [r.name for r in answer.context["window"].rows] == names


def test_a_wrong_filter_is_named_and_ignored(admin_client):
    assert "status: Select a valid choice" in shown(admin_client, status="wrong")


def test_a_paused_one_says_since_when_by_whom_and_why(admin_client, row):
    jobs.pause("report", by="anna", reason="audit")

    for page in (shown(admin_client), page_of(admin_client, row)):
        assert "Paused by anna" in page
        assert "audit" in page


def test_an_error_is_shown_and_the_page_still_opens(admin_client, row):
    RecurringJob.objects.update(cron="bad", next_run=datetime(2026, 1, 1, tzinfo=UTC))
    jobs.testing.drain()

    assert "must have five fields" in shown(admin_client)
    assert "must have five fields" in page_of(admin_client, row)


def test_its_page_shows_ten_runs_to_come_and_those_that_were(admin_client, row, monkeypatch):
    monkeypatch.setattr(timezone, "now", lambda: datetime(2026, 9, 23, 12, tzinfo=UTC))
    job = run(row, State.SUCCEEDED)

    page = page_of(admin_client, row)

    assert page.count(", 08:00 CE") == 10
    assert "Nov. 1, 2026, 08:00 CET" in page
    assert "clocks have gone back by 60 min" in page
    assert reverse("admin:jobs_job_change", args=[job.pk]) in page
    assert "tests.functions.add(1)" in page
    assert f"?recurring_job={row.pk}" in page


def test_its_page_says_what_an_operator_changed(admin_client, row):
    for page in (page_of(admin_client, row), shown(admin_client)):
        assert "An operator changed" not in page
    row.queue = "mail"
    jobs.recurring_jobs.edited(row, ["queue"])

    page = page_of(admin_client, row)

    assert "An operator changed what the code declares" in shown(admin_client)
    assert "An operator changed what the code declares." in page
    assert "&quot;default&quot;" in page


def test_open_pages_get_their_live_parts_only(admin_client, row):
    for url, part in (
        (reverse(LIST), "recurring-rows"),
        (reverse("admin:jobs_recurringjob_change", args=[row.pk]), "recurring-state"),
    ):
        answer = admin_client.get(url, headers={"HX-Request": "true"}).content.decode()
        assert f'id="{part}" hx-swap-oob="true"' in answer
        assert "<html" not in answer


def test_an_open_list_sees_what_changed(admin_client, row):
    def update():
        return admin_client.get(reverse(LIST), headers={"HX-Request": "true"}).content.decode()

    assert update() == update()
    jobs.pause("report", by="anna")
    assert "Paused by anna" in update()
    run(row, State.FAILED)
    assert "Last run: 1 Failed" in update()


def test_without_any_the_list_says_how_to_make_one(admin_client):
    assert "There are no recurring jobs yet." in shown(admin_client)
    assert "No recurring job matches." in shown(admin_client, q="x")


@pytest.mark.parametrize(
    "address", ["99/change/", "99/edit/", "99/delete/", "x/change/", "_31/change/"]
)
def test_what_is_not_there_is_said_so(admin_client, address):
    answer = admin_client.get(reverse(LIST) + address)

    assert answer.status_code == 404
    assert "not there, or no longer" in answer.content.decode()


def test_who_may_only_look_sees_no_buttons(client, django_user_model, row):
    user = django_user_model.objects.create_user(email="o@b.example", password="x", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_recurringjob"))
    client.force_login(user)

    for page in (shown(client), page_of(client, row)):
        assert 'name="action"' not in page
        assert "recurringjob/add/" not in page
        assert "/edit/" not in page


def test_a_job_that_has_expired_leaves_the_time_of_the_last_run(admin_client, row):
    RecurringJob.objects.update(last_run=timezone.now() - timedelta(days=2))

    assert "2 d ago" in shown(admin_client)
    assert "its jobs have expired" in page_of(admin_client, row)


def test_secrets_are_masked_on_its_page(admin_client):
    row = make("login", arguments={"args": [], "kwargs": {"token": "abc123"}})

    assert "abc123" not in page_of(admin_client, row)


@pytest.mark.parametrize("arguments", ["text", [1], {"args": 1, "kwargs": []}, {}])
def test_odd_arguments_are_no_fault_of_the_page(admin_client, arguments):
    row = make("odd", arguments=arguments)

    assert "a.b(…)" in page_of(admin_client, row)
    url = reverse("admin:jobs_recurringjob_edit", args=[row.pk])
    assert admin_client.get(url).status_code == 200
