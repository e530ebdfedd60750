"""Running the function of a job again with other arguments."""

import json
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.core.checks import run_checks
from django.urls import reverse
from django.utils import timezone

from jobs.dashboard import metrics, offered
from jobs.masking import MASK
from jobs.models import Job
from jobs.states import State

pytestmark = pytest.mark.django_db

HERE = "tests.dashboard.secretive"


@pytest.fixture(autouse=True)
def _no_numbers_of_other_tests():
    metrics.forget()
    yield
    metrics.forget()


def job(func=f"{HERE}.charge", args=(), kwargs=None, **values):
    arguments = {"args": list(args), "kwargs": {"invoice": 7} if kwargs is None else kwargs}
    values = {"queue": "mail", "state": State.FAILED, **values}
    return Job.objects.create(func=func, arguments=arguments, **values)


def url(row):
    return reverse("admin:jobs_job_run", args=[row.pk])


def arguments_in(page):
    from html import unescape

    return unescape(page.partition("<textarea")[2].partition(">\n")[2].partition("</textarea>")[0])


def send(client, row, args=(), kwargs=None, queue="mail", delay=""):
    given = json.dumps({"args": list(args), "kwargs": kwargs or {}})
    return client.post(url(row), {"arguments": given, "queue": queue, "delay": delay})


def made(row):
    return Job.objects.exclude(pk=row.pk).get()


def test_the_form_shows_what_the_job_was_called_with(admin_client):
    page = admin_client.get(url(job())).content.decode()
    assert json.loads(arguments_in(page)) == {"args": [], "kwargs": {"invoice": 7}}
    assert 'value="mail"' in page
    assert "invoice" in page


def test_a_new_job_is_made_with_the_arguments_given(admin_client, admin_user):
    row = job(priority=3, options={"max_retries": 2})
    answer = send(admin_client, row, kwargs={"invoice": 8}, queue="other")
    new = made(row)
    assert answer.headers["Location"] == reverse("admin:jobs_job_change", args=[new.pk])
    assert (new.func, new.kwargs, new.queue, new.priority) == (row.func, {"invoice": 8}, "other", 3)
    assert new.options == {"max_retries": 2}
    assert new.state == State.ENQUEUED
    assert Job.objects.get(pk=row.pk).state == State.FAILED
    log = LogEntry.objects.get(object_id=str(row.pk))
    assert log.user == admin_user
    assert f"#{new.pk}" in log.change_message


def test_a_delay_makes_a_scheduled_job(admin_client):
    row = job()
    send(admin_client, row, kwargs={"invoice": 8}, delay="3600")
    new = made(row)
    assert new.state == State.SCHEDULED
    assert new.run_at > timezone.now() + timedelta(minutes=59)


def test_secrets_are_not_sent_and_kept_where_the_mask_is_left(admin_client):
    row = job(args=[7, "tok-secret"], kwargs={"card": {"cvv": 123, "name": "A"}})
    page = admin_client.get(url(row)).content.decode()
    assert "tok-secret" not in page
    given = json.loads(arguments_in(page))
    assert given == {"args": [7, MASK], "kwargs": {"card": {"cvv": MASK, "name": "A"}}}
    given["args"][0] = 8
    given["kwargs"]["card"]["name"] = "B"
    send(admin_client, row, **given)
    new = made(row)
    assert new.args == [8, "tok-secret"]
    assert new.kwargs == {"card": {"cvv": 123, "name": "B"}}


def test_a_mask_elsewhere_stands_for_nothing(admin_client):
    row = job(args=[7, "tok-secret"], kwargs={})
    answer = send(admin_client, row, args=[MASK, MASK])
    assert answer.status_code == 400
    assert "keeps no such value" in answer.content.decode()
    answer = send(admin_client, row, args=[7], kwargs={"token": MASK})
    assert answer.status_code == 400
    assert Job.objects.count() == 1


def test_arguments_of_a_megabyte_are_kept_and_not_sent(admin_client):
    large = "<b>" * 333_333
    row = job(kwargs={"invoice": 7, "card": large})
    page = admin_client.get(url(row)).content.decode()
    assert len(page) < 100_000
    given = json.loads(arguments_in(page))
    given["kwargs"]["invoice"] = 8
    send(admin_client, row, **given)
    assert made(row).kwargs == {"invoice": 8, "card": large}


@pytest.mark.parametrize(
    ("func", "why"),
    [
        ("os.system", "is not offered"),
        ("subprocess.run", "is not offered"),
        ("tests.dashboard.secretive.plain", "is not offered"),
        ("tests.dashboard.secretive.charge.func", "is not offered"),
        ("accounts.tasks.send_welcome_email.func", "is not offered"),
        ("no.such.function", "is not offered"),
        ("accounts.tasks.gone", "can&#x27;t be imported"),
        ("<script>", "is not offered"),
    ],
)
def test_what_is_not_offered_is_refused_and_logged(admin_client, admin_user, func, why):
    row = job(func=func, kwargs={})
    assert why in admin_client.get(url(row)).content.decode()
    answer = send(admin_client, row, args=["echo 1"])
    assert answer.status_code == 400
    assert why in answer.content.decode()
    assert Job.objects.count() == 1
    log = LogEntry.objects.get(object_id=str(row.pk))
    assert log.user == admin_user
    assert log.change_message.startswith(f"Refused to run {func}")


def test_nothing_foreign_is_imported_to_find_out():
    import sys

    sys.modules.pop("antigravity", None)
    assert "not offered" in offered.refusal("antigravity.fly")
    assert "antigravity" not in sys.modules


def test_listed_functions_are_offered_too(admin_client, settings):
    settings.JOBS = {"DASHBOARD_FUNCTIONS": [f"{HERE}.plain"]}
    row = job(func=f"{HERE}.plain")
    send(admin_client, row, args=[9])
    assert made(row).args == [9]
    assert f"{HERE}.plain" in offered.paths()


def test_what_is_listed_must_exist(settings):
    settings.JOBS = {"DASHBOARD_FUNCTIONS": ["no.such.function"]}
    assert any(message.id == "jobs.E009" for message in run_checks())


def test_declared_functions_are_offered_by_name():
    assert f"{HERE}.charge" in offered.paths()
    assert "accounts.tasks.send_welcome_email" in offered.paths()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "have this form"),
        ('{"args": []}', "have this form"),
        ('{"args": {}, "kwargs": {}}', "have this form"),
        ('{"args": [], "kwargs": {}}', "missing"),
        ('{"args": [], "kwargs": {"invoice": 1, "unknown": 2}}', "unexpected"),
        ('{"args": [NaN], "kwargs": {}}', "NaN"),
        ('{"args": [1], "kwargs": {"notify": 1, "notify": 2}}', "twice"),
        ('{"args": [' + "[" * 100_000 + "]" * 100_000 + '], "kwargs": {}}', "nested too deeply"),
        ('{"args": [' + "9" * 5000 + '], "kwargs": {}}', ""),
        ('{"args": ["' + "x" * 1_000_001 + '"], "kwargs": {}}', "more than"),
        ('{"args": ["\\ud800"], "kwargs": {}}', "not Unicode"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_with_the_reason(admin_client, text, why):
    row = job()
    answer = admin_client.post(url(row), {"arguments": text, "queue": "mail", "delay": ""})
    assert answer.status_code == 400
    assert why in answer.content.decode()
    assert Job.objects.count() == 1
    assert LogEntry.objects.filter(object_id=str(row.pk)).count() == 1


@pytest.mark.parametrize(
    "wrong", [{"queue": ""}, {"queue": "a,b"}, {"queue": "x" * 101}, {"delay": "soon"},
              {"delay": "-1"}, {"delay": "nan"}, {"delay": "1e300"}]
)  # fmt: skip
def test_a_wrong_queue_or_delay_is_refused_and_the_form_keeps_its_values(admin_client, wrong):
    row = job()
    answer = send(admin_client, row, kwargs={"invoice": 4711}, **wrong)
    assert answer.status_code == 400
    assert "aria-invalid" in answer.content.decode()
    assert "4711" in answer.content.decode()
    assert Job.objects.count() == 1


def test_jobs_of_other_apis_are_not_run_by_form(admin_client):
    row = job(options={"via": {"api": "django-q2"}})
    assert send(admin_client, row, kwargs={"invoice": 1}).status_code == 400


def test_it_takes_a_permission_of_its_own(client, django_user_model):
    user = django_user_model.objects.create_user(
        email="op@bonfire.example", password="x", is_staff=True
    )
    for name in ("view_job", "requeue_job", "delete_job"):
        user.user_permissions.add(Permission.objects.get(codename=name))
    client.force_login(user)
    row = job()
    assert send(client, row, kwargs={"invoice": 1}).status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="run_job"))
    assert send(client, row, kwargs={"invoice": 1}).status_code == 302
