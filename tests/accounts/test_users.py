"""Who becomes a user, by which way, and what is kept of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.forms import SignUpForm
from accounts.models import User
from jobs.models import Job

PASSWORD = "correct horse battery"


def form_data(email: str = "ada@example.com", **more: Any) -> dict[str, Any]:
    fields = SignUpForm().fields
    passwords = {name: PASSWORD for name in fields if name.startswith("password")}
    return {"email": email, "name": "Ada", **passwords, **more}


def sign_up(client: Client, email: str = "ada@example.com", **more: Any) -> Any:
    return client.post(reverse("accounts:sign_up"), form_data(email, **more))


@pytest.mark.django_db
def test_the_voucher_is_due_after_the_hours_of_the_setting(client: Client, settings: Any) -> None:
    settings.WELCOME_VOUCHER_HOURS = 6

    sign_up(client)

    voucher = Job.objects.get(func__endswith="send_welcome_voucher")
    in_six_hours = timezone.now() + timedelta(hours=6)
    assert abs(voucher.run_at - in_six_hours) < timedelta(minutes=1)


@pytest.mark.django_db(transaction=True)
def test_without_its_jobs_there_is_no_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> None:
        raise RuntimeError("no queue")

    monkeypatch.setattr("accounts.signals.send_welcome_email.enqueue", broken, raising=False)
    form = SignUpForm(form_data())
    assert form.is_valid()

    with pytest.raises(RuntimeError):
        form.sign_up()

    assert not User.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_simultaneous_sign_ups_one_wins_and_none_crashes() -> None:
    start, statuses = threading.Barrier(4), []

    def post() -> None:
        try:
            start.wait(10)
            statuses.append(sign_up(Client()).status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=post) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(statuses) == 4
    assert statuses.count(302) == 1
    assert all(status < 500 for status in statuses)
    assert User.objects.count() == 1
    assert Job.objects.count() == 2


@pytest.mark.django_db
def test_a_weak_password_is_refused_at_its_field(client: Client) -> None:
    weak = {name: "12345678" for name in form_data() if name.startswith("password")}

    response = sign_up(client, **weak)

    assert any(name.startswith("password") for name in response.context["form"].errors)
    assert not User.objects.exists()


@pytest.mark.django_db
def test_an_error_is_tied_to_its_field_for_screen_readers(client: Client) -> None:
    html = sign_up(client, "not an address").content.decode()

    assert 'aria-invalid="true"' in html
    assert 'id="id_email_error"' in html
    described = html.partition('name="email"')[2].partition(">")[0]
    assert "id_email_error" in described


@pytest.mark.django_db
def test_consent_is_kept_with_its_time_and_only_when_given(client: Client) -> None:
    sign_up(client, "yes@example.com", marketing_consent="on")
    sign_up(Client(), "no@example.com")

    yes, no = User.objects.get(email="yes@example.com"), User.objects.get(email="no@example.com")
    assert yes.marketing_consent
    assert timezone.now() - yes.marketing_consent_at < timedelta(minutes=1)
    assert (no.marketing_consent, no.marketing_consent_at) == (False, None)


@pytest.mark.django_db
def test_the_language_of_the_page_becomes_the_user_s(client: Client) -> None:
    client.post(reverse("accounts:sign_up"), form_data(), headers={"accept-language": "de"})

    assert User.objects.get().language == "de"


@pytest.mark.django_db
def test_who_is_not_active_can_not_log_in(client: Client) -> None:
    User.objects.create_user("ada@example.com", PASSWORD, name="Ada", is_active=False)

    client.post(reverse("accounts:login"), {"username": "ada@example.com", "password": PASSWORD})

    assert "_auth_user_id" not in client.session


@pytest.mark.django_db
def test_an_administrator_gets_no_mails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)

    call_command("createsuperuser", interactive=False, email="Boss@Example.com", name="Boss")

    assert User.objects.get().email == "boss@example.com"
    assert not Job.objects.exists()


@pytest.mark.django_db
def test_a_user_from_a_fixture_gets_no_mails(tmp_path: Path) -> None:
    User.objects.create_user("ada@example.com", PASSWORD, name="Ada")
    fixture = tmp_path / "users.json"
    call_command("dumpdata", "accounts.user", output=str(fixture))
    User.objects.all().delete()

    call_command("loaddata", str(fixture), verbosity=0)

    assert User.objects.get().email == "ada@example.com"
    assert not Job.objects.exists()


@pytest.mark.django_db
def test_saving_a_user_again_sends_nothing(client: Client) -> None:
    sign_up(client)

    User.objects.get().save()

    assert Job.objects.count() == 2


@pytest.mark.django_db
def test_demo_makes_one_administrator_and_says_how_to_log_in(client: Client) -> None:
    said = StringIO()

    call_command("demo", stdout=said)
    call_command("demo", stdout=StringIO())

    user = User.objects.get()
    password = said.getvalue().split("Password:")[1].split()[0]
    assert user.is_superuser
    assert user.email in said.getvalue()
    assert client.login(username=user.email, password=password)
    assert not Job.objects.exists()


@pytest.mark.django_db
def test_every_way_into_the_database_keeps_one_spelling_of_an_address(client: Client) -> None:
    saved = User.objects.create(email=" Saved@Example.COM", name="A")
    User.objects.bulk_create([User(email="Bulk@Example.com", name="B")])
    User.objects.create(email="old@example.com", name="C")
    User.objects.filter(email="OLD@example.com").update(email="New@Example.com")

    addresses = set(User.objects.values_list("email", flat=True))
    assert addresses == {"saved@example.com", "bulk@example.com", "new@example.com"}
    assert saved.email == "saved@example.com"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "second",
    [
        lambda: User.objects.create(email="ADA@example.com", name="A"),
        lambda: User.objects.bulk_create([User(email="Ada@Example.com", name="B")]),
        lambda: User.objects.filter(email="bob@example.com").update(email="ADA@EXAMPLE.COM"),
    ],
    ids=["save", "bulk_create", "update"],
)
def test_the_database_refuses_a_second_spelling(second: Callable[[], Any]) -> None:
    User.objects.create(email="ada@example.com", name="Ada")
    User.objects.create(email="bob@example.com", name="Bob")

    with pytest.raises(IntegrityError), transaction.atomic():
        second()


@pytest.mark.django_db
def test_lookups_find_an_address_in_any_letter_case() -> None:
    user = User.objects.create_user("ada@example.com", PASSWORD, name="Ada")

    assert User.objects.get(email="ADA@example.com") == user
    assert User.objects.get(email__in=["Ada@Example.com"]) == user
    assert User.objects.get_by_natural_key("aDa@example.com") == user


@pytest.mark.django_db
def test_demo_sets_the_password_of_an_administrator_who_is_there(client: Client) -> None:
    call_command("demo", password="the first password", stdout=StringIO())
    said = StringIO()

    call_command("demo", password=PASSWORD, stdout=said)

    assert PASSWORD in said.getvalue()
    assert client.login(username="admin@bonfire.example", password=PASSWORD)
    assert User.objects.count() == 1


@pytest.mark.django_db
def test_demo_without_a_password_leaves_the_one_there_is(client: Client) -> None:
    call_command("demo", password=PASSWORD, stdout=StringIO())

    call_command("demo", stdout=StringIO())

    assert client.login(username="admin@bonfire.example", password=PASSWORD)


@pytest.mark.django_db
def test_demo_makes_no_administrator_of_a_user_who_signed_up() -> None:
    User.objects.create_user("ada@example.com", "the old password", name="Ada")

    with pytest.raises(CommandError, match="no administrator"):
        call_command("demo", email="ada@example.com", password=PASSWORD)

    assert User.objects.get().check_password("the old password")
