"""Making and editing recurring jobs in the dashboard."""

import json
from datetime import UTC, datetime

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone

import jobs
from jobs.dashboard import offered
from jobs.dashboard.recurring.secrets import MASK
from jobs.models import RecurringJob
from jobs.recurrence import Schedule
from tests import functions

pytestmark = pytest.mark.django_db

ADD = "admin:jobs_recurringjob_add"
FORM = {
    "cron": "30 6 * * *",
    "time_zone": "Asia/Tokyo",
    "misfire": "skip",
    "queue": "mail",
    "priority": "5",
    "arguments": '{"args": [2], "kwargs": {}}',
    "options": '{"max_retries": 3}',
}
NEW = {**FORM, "name": "sum", "func": "tests.functions.add"}


@pytest.fixture(autouse=True)
def _on_offer(settings):
    settings.JOBS = {**settings.JOBS, "DASHBOARD_FUNCTIONS": ["tests.functions.add"]}


@pytest.fixture
def row():
    jobs.recurring("report", functions.add, cron="0 5 * * *", timezone="Europe/Berlin", args=(1,))
    return RecurringJob.objects.get()


@pytest.fixture
def operator(client, django_user_model):
    user = django_user_model.objects.create_user(email="op@b.example", password="x", is_staff=True)
    permit(user, "view", "add", "change")
    client.force_login(user)
    return user


def permit(user, *verbs):
    names = [f"{verb}_recurringjob" for verb in verbs]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))


def edit_url(row):
    return reverse("admin:jobs_recurringjob_edit", args=[row.pk])


def errors(answer):
    return answer.context["form"].errors


def test_one_is_made_and_has_its_next_run(client, operator):
    answer = client.post(reverse(ADD), NEW)

    row = RecurringJob.objects.get()
    assert answer.headers["Location"] == reverse("admin:jobs_recurringjob_change", args=[row.pk])
    assert (row.name, row.func, row.queue, row.priority) == ("sum", NEW["func"], "mail", 5)
    assert (row.arguments, row.options) == ({"args": [2], "kwargs": {}}, {"max_retries": 3})
    assert row.next_run == Schedule("30 6 * * *", "Asia/Tokyo").next_after(timezone.now())
    assert row.declared == {}
    assert LogEntry.objects.get().change_message == f"Created in the dashboard: {NEW['func']}"


def test_what_the_function_declares_holds_where_nothing_is_said(client, operator, monkeypatch):
    declared = jobs.job(queue="sums", priority=7)(functions.add)
    monkeypatch.setattr(functions, "add", declared)

    client.post(reverse(ADD), {**NEW, "queue": "", "priority": ""})

    row = RecurringJob.objects.get()
    assert (row.queue, row.priority) == ("sums", 7)


@pytest.mark.parametrize("func", ["os.system", "tests.functions.nothing", "no.such.thing", "x"])
def test_a_function_that_is_not_on_offer_is_refused_and_noted(client, operator, func):
    arguments = '{"args": ["touch /tmp/oops"], "kwargs": {}}'

    answer = client.post(reverse(ADD), {**NEW, "func": func, "arguments": arguments})

    assert answer.status_code == 422
    assert "is not on offer" in str(errors(answer)["func"])
    assert not RecurringJob.objects.exists()
    entry = LogEntry.objects.get()
    assert entry.user == operator
    assert entry.change_message == f"Refused to run {func}: not on offer"


def test_functions_declared_as_jobs_are_on_offer(client, operator):
    assert not offered.is_offered("os.system")
    page = client.get(reverse(ADD)).content.decode()
    for path in ("tests.functions.add", "tests.functions.declared"):
        assert offered.is_offered(path)
        assert f'<option value="{path}">' in page
    assert not offered.is_offered("tests.functions.nothing")


def test_a_name_that_is_taken_is_refused(client, operator, row):
    answer = client.post(reverse(ADD), {**NEW, "name": "report"})
    assert "of this name already" in str(errors(answer)["name"])


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("cron", "0 0 31 2 *", "names a date that never comes"),
        ("time_zone", "Europe/Berln", "did you mean"),
        ("queue", "a,b", "must not hold a comma"),
        ("priority", "101", "from -100 to 100"),
        ("arguments", "{oops", "Enter a valid JSON"),
        ("arguments", '"oops"', "This is not JSON"),
        ("arguments", '{"args": [], "kwargs": {}}', "missing a required argument"),
        ("options", '{"max_retries": -1}', "max_retries=-1"),
        ("misfire", "x", "Select a valid choice"),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_a_wrong_value_is_refused_at_its_field(client, operator, row, known, field, value, message):
    url, form = (edit_url(row), FORM) if known else (reverse(ADD), NEW)

    answer = client.post(url, {**form, field: value})

    assert list(errors(answer)) == [field]
    assert message in str(errors(answer)[field])
    assert RecurringJob.objects.get().queue == "default"


def test_an_edit_is_saved_noted_and_the_next_run_follows(client, operator, row):
    answer = client.post(edit_url(row), FORM)

    assert answer.status_code == 302, errors(answer)
    row.refresh_from_db()
    assert (row.cron, row.queue, row.priority, row.misfire) == ("30 6 * * *", "mail", 5, "skip")
    assert (row.arguments, row.options) == ({"args": [2], "kwargs": {}}, {"max_retries": 3})
    assert row.next_run == Schedule("30 6 * * *", "Asia/Tokyo").next_after(timezone.now())
    assert LogEntry.objects.get().change_message.startswith("Changed: cron expression, time zone")


def test_an_edit_does_not_undo_what_a_server_did_meanwhile(client, operator, row, monkeypatch):
    edited = jobs.recurring_jobs.edited
    moved = datetime(2030, 1, 1, tzinfo=UTC)

    def overtaken(obj, fields):
        RecurringJob.objects.update(next_run=moved, last_run=moved)
        edited(obj, fields)

    monkeypatch.setattr(jobs.recurring_jobs, "edited", overtaken)
    client.post(edit_url(row), {**FORM, "cron": row.cron, "time_zone": row.time_zone})

    row.refresh_from_db()
    assert (row.queue, row.next_run, row.last_run) == ("mail", moved, moved)


def test_one_that_turned_bad_can_be_mended(client, operator, row):
    RecurringJob.objects.update(cron="bad", error="bad", next_run=datetime(2026, 1, 1, tzinfo=UTC))

    assert client.get(edit_url(row)).status_code == 200
    assert client.post(edit_url(row), FORM).status_code == 302
    row.refresh_from_db()
    assert row.error == ""


def test_neither_name_nor_function_can_be_edited(client, operator, row):
    client.post(edit_url(row), {**FORM, "name": "other"})
    answer = client.post(edit_url(row), {**FORM, "func": "os.system"})

    assert "can&#x27;t be changed" in str(errors(answer)["func"])
    row.refresh_from_db()
    assert (row.func, row.name) == ("tests.functions.add", "report")
    assert "Refused to run os.system" in LogEntry.objects.first().change_message


def test_arguments_of_a_function_that_is_not_on_offer_stay(client, operator, row, settings):
    settings.JOBS = {**settings.JOBS, "DASHBOARD_FUNCTIONS": []}

    client.post(edit_url(row), FORM)

    row.refresh_from_db()
    assert (row.cron, row.arguments) == ("30 6 * * *", {"args": [1], "kwargs": {}})


def test_secrets_are_masked_and_stay(client, operator):
    row = RecurringJob.objects.create(
        name="secret",
        func="tests.dashboard.secretive.charge",
        arguments={"args": [], "kwargs": {"token": "abc123", "invoice": 1}},
        queue="default",
        cron="0 5 * * *",
    )
    form = client.get(edit_url(row)).context["form"]
    given = json.loads(str(form["arguments"].value()))

    assert given["kwargs"] == {"token": MASK, "invoice": 1}
    given["kwargs"]["invoice"] = 2
    client.post(edit_url(row), {**FORM, "arguments": json.dumps(given)})
    row.refresh_from_db()
    assert row.arguments["kwargs"] == {"token": "abc123", "invoice": 2}

    moved = {"args": [], "kwargs": {"invoice": 1, "notify": MASK}}
    answer = client.post(edit_url(row), {**FORM, "arguments": json.dumps(moved)})
    assert "can only stay where it was" in str(errors(answer)["arguments"])


def test_the_preview_says_what_a_schedule_means(client, operator):
    url = reverse("admin:jobs_recurringjob_preview")
    given = {"cron": "0 8 1 * *", "time_zone": "Europe/Berlin", "func": NEW["func"]}

    page = client.get(url, given).content.decode()

    assert "<html" not in page
    assert "At 08:00 on day 1 of the month" in page
    assert page.count("08:00 CE") == 5
    assert "add(a, b=1, *, c=0)" in page
    assert "must have five fields" in client.get(url, {"cron": "x"}).content.decode()
    assert "takes" not in client.get(url, {"func": "os.system"}).content.decode()


def test_the_preview_needs_the_permission_of_the_form(client, operator):
    permit(operator, "view")
    assert client.get(reverse("admin:jobs_recurringjob_preview")).status_code == 403


def test_without_script_a_button_shows_the_preview_and_saves_nothing(client, operator):
    page = client.post(reverse(ADD), {**NEW, "preview": "1"}).content.decode()

    assert "At 06:30" in page or "06:30 JST" in page
    assert not RecurringJob.objects.exists()


@pytest.mark.parametrize(("verb", "name"), [("add", "add"), ("change", "edit")])
def test_forms_need_their_permission(client, operator, row, verb, name):
    permit(operator, "view", *({"add", "change"} - {verb}))
    url = reverse(ADD) if name == "add" else edit_url(row)

    assert client.get(url).status_code == 403
    assert client.post(url, NEW).status_code == 403
    assert RecurringJob.objects.get().queue == "default"


def test_an_options_note_of_another_api_stays(client, operator, row):
    via = {"api": "other", "id": "1"}
    RecurringJob.objects.update(options={"via": via})

    client.post(edit_url(row), FORM)
    row.refresh_from_db()
    assert row.options == {"max_retries": 3, "via": via}

    forged = {**FORM, "options": json.dumps({"via": {**via, "hook": "os.abort"}})}
    assert "can&#x27;t be changed here" in str(
        errors(client.post(edit_url(row), forged))["options"]
    )
