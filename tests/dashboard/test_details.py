"""A job's own page."""

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone, translation

from jobs.dashboard import biography, metrics
from jobs.models import HistoryEntry, Job, Queue, RecurringJob, Server
from jobs.states import State

pytestmark = pytest.mark.django_db

HERE = "tests.dashboard.secretive"
NOW = timezone.now()


@pytest.fixture(autouse=True)
def _no_numbers_of_other_tests():
    metrics.forget()
    yield
    metrics.forget()


@pytest.fixture
def operator(django_user_model, client):
    user = django_user_model.objects.create_user(
        email="op@bonfire.example", password="x", is_staff=True
    )
    user.user_permissions.add(Permission.objects.get(codename="view_job"))
    client.force_login(user)
    return user


def job(state=State.ENQUEUED, func=f"{HERE}.charge", args=(), kwargs=None, **values):
    arguments = {"args": list(args), "kwargs": kwargs or {"invoice": 7}}
    values = {"queue": "mail", **values}
    return Job.objects.create(func=func, arguments=arguments, state=state, **values)


def stay(row, state, start, seconds, reason="", **data):
    """Write that `row` was in a state, from `start` seconds after NOW, for some seconds."""
    entered = NOW + timedelta(seconds=start)
    left = entered + timedelta(seconds=seconds)
    if state == State.PROCESSING:
        data = {"started": entered.isoformat(), "ended": left.isoformat(), **data}
    return HistoryEntry.objects.create(
        job=row, state=state, reason=reason, data=data, entered_at=entered, left_at=left
    )


def url(row, name="change"):
    return reverse(f"admin:jobs_job_{name}", args=[row if isinstance(row, int) else row.pk])


def text(client, row, **headers):
    answer = client.get(url(row), headers=headers)
    assert answer.status_code == 200
    return answer.content.decode()


ERROR = {
    "type": "ValueError",
    "message": "no money",
    "traceback": (
        'Traceback (most recent call last):\n  File "/srv/app/billing.py", line 7, in charge\n'
        "    pay()\nValueError: no money\n"
    ),
}


def test_the_page_shows_the_call_and_the_state(admin_client):
    page = text(admin_client, job())
    assert "<bdi>charge</bdi>" in page
    assert '<span class="n">charge</span>' in page
    assert '<span class="label s-enqueued">' in page


def test_a_succeeded_job_shows_result_latency_and_duration(admin_client):
    row = job(State.SUCCEEDED, attempt=1, state_changed_at=NOW + timedelta(seconds=5))
    stay(row, State.ENQUEUED, 0, 3)
    stay(row, State.PROCESSING, 3, 2, server="s1", worker="w1", attempt=1, result={"value": [1]})
    page = text(admin_client, row)
    for part in ("<dt>Latency</dt><dd>3 s</dd>", "<dt>Duration</dt><dd>2 s</dd>", "[1]", "on s1"):
        assert part in page


def test_cards_come_newest_first_with_the_times_between(admin_client):
    row = job(State.FAILED, state_changed_at=NOW + timedelta(seconds=65), error_type="ValueError")
    stay(row, State.ENQUEUED, 0, 1)
    stay(row, State.PROCESSING, 1, 2, attempt=1, error=ERROR)
    stay(row, State.SCHEDULED, 3, 60, "retry 1 of 3")
    stay(row, State.ENQUEUED, 63, 1)
    stay(row, State.PROCESSING, 64, 1, attempt=2, error=ERROR)
    page = text(admin_client, row)
    order = [page.index(part) for part in (
        "billing.py:7", "<b>1 s</b> running", "<b>1 min</b> retry pause", "<b>2 s</b> running",
        "<h3>Created</h3>",
    )]  # fmt: skip
    assert order == sorted(order)
    assert "Pauses before retries" in page
    assert 'aria-label="Pauses before retries 92 %' in page


def test_the_newest_error_is_open_and_earlier_ones_are_folded(admin_client):
    row = job(State.FAILED, state_changed_at=NOW + timedelta(seconds=9))
    stay(row, State.PROCESSING, 0, 1, error={**ERROR, "message": "the first"})
    stay(row, State.SCHEDULED, 1, 1)
    stay(
        row,
        State.PROCESSING,
        2,
        1,
        error={**ERROR, "traceback": ERROR["traceback"].replace("no money", "the second")},
    )
    page = text(admin_client, row)
    assert page.count("<summary>Traceback</summary>") == 1
    assert page.index("the second") < page.index("<summary>Traceback</summary>")
    assert page.index("the first") > page.index("the second")


def test_secrets_are_in_no_part_of_the_page(admin_client):
    secret = "tok-5f3759df-secret"
    row = job(
        State.FAILED,
        args=[7, secret],
        kwargs={"card": {"cvv": secret}},
        reason=f"ValueError: {secret}",
        state_changed_at=NOW + timedelta(seconds=3),
    )
    trace = ERROR["traceback"].replace("no money", f"refused {secret}")
    error = {"type": "ValueError", "message": f"refused {secret}", "traceback": trace}
    stay(row, State.PROCESSING, 0, 1, "", error=error)
    stay(row, State.SCHEDULED, 1, 1, f"retry 1 of 3 after ValueError: {secret}")
    stay(row, State.PROCESSING, 2, 1, "", error=error)
    page = text(admin_client, row)
    assert secret not in page
    assert "refused ••••••••" in page


def test_a_result_hides_what_its_names_say(admin_client):
    row = job(State.SUCCEEDED, state_changed_at=NOW + timedelta(seconds=3))
    stay(row, State.PROCESSING, 0, 1, result={"value": {"api_key": "abcdefgh", "ok": 1}})
    page = text(admin_client, row)
    assert "abcdefgh" not in page
    assert "api_key" in page


@pytest.mark.parametrize(
    "hostile",
    ["<script>alert(1)</script>", "‮evil שלום", "😀" * 50, "x" * 1_000_000, "{% now %}", "\x00"],
)
def test_hostile_values_do_no_harm(admin_client, hostile):
    short = hostile[:200].replace("\x00", "")
    row = job(
        State.FAILED,
        kwargs={"invoice": hostile, hostile[:100]: 1},
        func=f"a.{short}",
        reason=short,
        queue=short[:90] or "q",
        error_type=short,
        state_changed_at=NOW,
    )
    error = {"type": short, "message": hostile[:2000], "traceback": hostile[:20_000]}
    stay(row, State.PROCESSING, 0, 1, short, error=error, server=short, worker=short)
    answer = admin_client.get(url(row))
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "<script>alert" not in page
    assert len(page) < 300_000


@pytest.mark.parametrize(
    "data", [[], "text", 7, {"error": "text"}, {"error": {"traceback": 5}}, {"result": 5},
             {"started": 5, "ended": "soon"}, {"due": "soon", "attempt": "x", "server": {}}]
)  # fmt: skip
@pytest.mark.parametrize("state", [State.FAILED, State.SUCCEEDED])
def test_history_that_somebody_broke_is_shown_as_far_as_it_goes(admin_client, data, state):
    row = job(state, state_changed_at=NOW + timedelta(seconds=3))
    entry = stay(row, State.PROCESSING, 0, 1)
    HistoryEntry.objects.filter(pk=entry.pk).update(data=data)
    entry = stay(row, State.SCHEDULED, 1, 1)
    HistoryEntry.objects.filter(pk=entry.pk).update(data=data)
    text(admin_client, row)


def test_arguments_and_options_that_somebody_broke_are_shown(admin_client):
    row = job()
    for broken in ("not json", "[]", "7", '{"args": 5, "kwargs": []}'):
        with connection.cursor() as cursor:
            sql = "UPDATE jobs_job SET arguments = %s, options = %s WHERE id = %s"
            cursor.execute(sql, [broken, broken, row.pk])
        text(admin_client, row)


def test_a_long_history_is_bounded_in_rows_and_statements(admin_client):
    row = job(State.FAILED, state_changed_at=NOW + timedelta(days=1))
    entries = []
    for number in range(2_500):
        moment = NOW + timedelta(seconds=4 * number)
        for state in (State.ENQUEUED, State.PROCESSING, State.SCHEDULED, State.DELETED):
            end = moment + timedelta(seconds=1)
            data = {"error": ERROR} if state == State.PROCESSING else {}
            entries.append(
                HistoryEntry(job=row, state=state, data=data, entered_at=moment, left_at=end)
            )
            moment = end
    HistoryEntry.objects.bulk_create(entries, batch_size=1000)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        page = text(admin_client, row)
    assert len(queries) <= 15
    assert page.count("<article") == biography.CARDS + 1
    assert "more than 971 older changes" in page


def test_continuations_are_shown_and_bounded(admin_client):
    row = job()
    Job.objects.bulk_create(
        Job(func="a.child", arguments={"args": [], "kwargs": {}}, state=State.AWAITING,
            parent=row, condition="succeeded", queue="q")
        for _ in range(60)
    )  # fmt: skip
    page = text(admin_client, row)
    assert page.count("runs when this job has succeeded") == 50
    assert "The first 50 of 60." in page
    child = Job.objects.filter(parent=row).first()
    assert url(row) in text(admin_client, child)


def test_a_parent_that_is_gone_is_named(admin_client):
    row = job(State.AWAITING, parent_id=987654321)
    assert "#987654321, which is gone" in text(admin_client, row)


def test_where_it_came_from_and_what_was_captured_stand_beside(admin_client):
    schedule = RecurringJob.objects.create(
        name="nightly",
        func="a.b",
        arguments={"args": [], "kwargs": {}},
        queue="q",
        cron="0 0 * * *",
    )
    row = job(
        recurring_job=schedule, occurrence=NOW, language="de", time_zone="Europe/Berlin",
        priority=-5, crashes=2, options={"timeout": 45, "via": {"api": "x", "pickle": "c2VjcmV0"}},
    )  # fmt: skip
    page = text(admin_client, row)
    for part in ("nightly", "<dd>de</dd>", "Europe/Berlin", "-5", "2 of 3", "<code>45</code>"):
        assert part in page
    assert "c2VjcmV0" not in page


# Alerts ------------------------------------------------------------------------------------------


def test_a_running_job_whose_server_is_gone_is_called_aborted(admin_client):
    row = job(State.PROCESSING, server="lost:1", claim_token="t", attempt=1)
    assert "Aborted: its server lost:1 is gone" in text(admin_client, row)


def test_one_whose_server_is_silent_looks_aborted(admin_client):
    long_ago = timezone.now() - timedelta(hours=1)
    Server.objects.create(name="s:1", host="s", pid=1, heartbeat_at=long_ago)
    assert "looks aborted" in text(admin_client, job(State.PROCESSING, server="s:1"))


def test_one_whose_server_lives_has_no_alert(admin_client):
    Server.objects.create(name="s:1", host="s", pid=1, heartbeat_at=timezone.now())
    page = text(admin_client, job(State.PROCESSING, server="s:1"))
    assert "borted" not in page


def test_a_finished_job_says_when_it_goes(admin_client):
    row = job(State.SUCCEEDED, expires_at=timezone.now() + timedelta(hours=23, minutes=1))
    assert "this job will be removed" in text(admin_client, row)
    row = job(State.SUCCEEDED, expires_at=timezone.now() - timedelta(hours=1))
    assert "removed at any moment" in text(admin_client, row)


def test_a_function_that_is_gone_is_named_with_its_arguments(admin_client):
    page = text(admin_client, job(func="no.such.thing", kwargs={"size": 12345}))
    assert "can&#x27;t be found here" in page
    assert "12345" in page


def test_a_job_that_is_being_ended_says_so(admin_client):
    assert "is being ended" in text(admin_client, job(State.DELETED, claim_token="t"))


def test_a_paused_queue_explains_why_nothing_happens(admin_client):
    Queue.objects.create(name="mail", paused_at=NOW, paused_by="anna", paused_reason="moving")
    page = text(admin_client, job())
    assert "its queue mail is paused (anna). moving" in page


# What can be done --------------------------------------------------------------------------------


def test_actions_are_forms_that_say_what_was_seen(admin_client):
    row = job(State.FAILED)
    page = text(admin_client, row)
    assert 'name="action" value="requeue"' in page
    assert 'name="action" value="delete"' in page
    assert 'name="seen" value="failed"' in page
    assert f'name="job" value="{row.pk}"' in page
    assert f'name="next" value="{url(row)}"' in page
    assert 'name="action" value="enqueue"' in text(admin_client, job(State.SCHEDULED))
    assert 'value="requeue"' not in text(admin_client, job(State.PROCESSING))
    assert 'value="delete"' not in text(admin_client, job(State.DELETED))


def test_who_may_only_look_has_no_buttons(client, operator):
    page = text(client, job(State.FAILED))
    assert 'name="action"' not in page
    assert url(1, "run").replace("1", "") not in page
    assert client.get(url(job(), "run")).status_code == 403


# Live parts --------------------------------------------------------------------------------------


def test_an_open_page_gets_what_has_changed_only(admin_client):
    row = job()
    first = admin_client.get(url(row), headers={"HX-Request": "true"}).content.decode()
    for part in ("job-state", "job-acts", "job-cards", "job-facts", "job-alerts"):
        assert f'id="{part}"' in first
    assert '<pre class="snippet' not in first
    version = first.partition('data-version="')[2][:16]
    again = admin_client.get(url(row), {"seen": version}, headers={"HX-Request": "true"})
    assert 'id="job-cards"' not in again.content.decode()
    assert 'id="job-alerts"' in again.content.decode()
    Job.objects.filter(pk=row.pk).update(state=State.SUCCEEDED, state_changed_at=timezone.now())
    then = admin_client.get(url(row), {"seen": version}, headers={"HX-Request": "true"})
    assert 'id="job-cards"' in then.content.decode()


def test_an_open_page_hears_that_its_job_is_gone(admin_client):
    part = admin_client.get(url(987654321), headers={"HX-Request": "true"}).content.decode()
    assert "has been removed meanwhile" in part
    assert 'id="job-acts"' in part
    assert "<html" not in part


def test_an_update_without_news_does_not_read_arguments_and_history(admin_client):
    row = job(State.SUCCEEDED)
    version = text(admin_client, row).partition('data-version="')[2][:16]
    with CaptureQueriesContext(connection) as queries:
        admin_client.get(url(row), {"seen": version}, headers={"HX-Request": "true"})
    assert not any("arguments" in query["sql"] for query in queries)
    assert not any("historyentry" in query["sql"] for query in queries)


def test_the_page_has_no_inline_script_or_style(admin_client):
    row = job(State.FAILED, state_changed_at=NOW)
    stay(row, State.PROCESSING, 0, 1, error=ERROR)
    page = text(admin_client, row)
    assert "style=" not in page
    assert "<style" not in page
    assert "onclick" not in page


# There is no such job ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["change", "run"])
@pytest.mark.parametrize("pk", [987654321, 2**63 - 1, 2**63, 10**60])
def test_a_job_that_is_not_there_is_a_friendly_404(admin_client, pk, name):
    answer = admin_client.get(reverse(f"admin:jobs_job_{name}", args=[pk]))
    assert answer.status_code == 404
    assert "it may have expired" in answer.content.decode()


def test_an_id_that_is_no_number_is_no_500(admin_client):
    for odd in ("9" * 5000, "abc", "-1"):
        answer = admin_client.get(f"{reverse('admin:jobs_job_changelist')}{odd}/change/")
        assert answer.status_code in (302, 404)


def test_the_result_survives_a_language_with_other_numbers(admin_client):
    row = job(State.SUCCEEDED, state_changed_at=NOW + timedelta(seconds=3))
    stay(row, State.PROCESSING, 0, 1, result={"value": {"n": 1234567.5}})
    with translation.override("en"):  # the middleware leaves its language behind
        answer = admin_client.get(url(row), headers={"Accept-Language": "de"})
    assert "1234567.5" in answer.content.decode()
    assert json.dumps(row.arguments)
