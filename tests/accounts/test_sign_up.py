"""Signing up, and the mails that come of it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core import mail
from django.core.management import call_command
from django.db import transaction
from django.test import Client
from django.utils import timezone

import jobs
from accounts.forms import SignUpForm
from accounts.mails import BeingSent
from accounts.models import SentMail, User
from accounts.tasks import send_welcome_email
from jobs.models import Job

FORM = {"email": "ann@example.com", "name": "Ann", "password": "correct-horse-9"}


@pytest.mark.django_db
def test_signing_up_makes_a_user_and_two_jobs(client: Client) -> None:
    response = client.post("/accounts/sign-up/", FORM, follow=True)
    assert b"Hello Ann" in response.content
    found = dict(Job.objects.values_list("func", "state"))
    assert found == {
        "accounts.tasks.send_welcome_email": "enqueued",
        "accounts.tasks.send_welcome_voucher": "scheduled",
    }


@pytest.mark.django_db(transaction=True)
def test_an_exception_after_the_enqueue_rolls_back_user_and_jobs() -> None:
    form = SignUpForm(FORM)
    assert form.is_valid()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        form.sign_up()
        raise ZeroDivisionError
    assert not User.objects.exists()
    assert not Job.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("email", ["ann@example.com", "ANN@Example.com", " Ann@example.COM "])
def test_an_address_signs_up_once_in_any_letter_case(client: Client, email: str) -> None:
    client.post("/accounts/sign-up/", FORM)
    response = Client().post("/accounts/sign-up/", {**FORM, "email": email})
    assert response.status_code == 422
    assert b"Log in instead" in response.content
    assert (User.objects.count(), Job.objects.count()) == (1, 2)


@pytest.mark.django_db(transaction=True)
def test_two_requests_at_once_make_one_user() -> None:
    """Both forms were found valid before either saved: a double click."""
    first, second = SignUpForm(FORM), SignUpForm({**FORM, "email": "ANN@example.com"})
    assert first.is_valid()
    assert second.is_valid()
    assert first.sign_up() is not None
    assert second.sign_up() is None
    assert "email" in second.errors
    assert (User.objects.count(), Job.objects.count()) == (1, 2)


@pytest.mark.django_db
def test_the_same_job_twice_sends_one_mail(client: Client) -> None:
    client.post("/accounts/sign-up/", FORM)
    send_welcome_email.enqueue(User.objects.get().pk)
    jobs.testing.drain()
    assert [message.to for message in mail.outbox] == [["ann@example.com"]]


@pytest.mark.django_db
def test_a_job_whose_mail_another_one_is_sending_is_tried_again() -> None:
    user = User.objects.create_user("ann@example.com", name="Ann")
    SentMail.objects.create(user=user, kind="welcome", job_id=1)
    with pytest.raises(BeingSent):
        send_welcome_email(user.pk)
    SentMail.objects.update(claimed_at=timezone.now() - timedelta(minutes=10))
    assert send_welcome_email(user.pk) is True
    assert len(mail.outbox) == 1


@pytest.mark.django_db
def test_the_voucher_comes_four_hours_later_but_not_to_who_left(client: Client) -> None:
    client.post("/accounts/sign-up/", FORM)
    jobs.testing.drain()
    jobs.testing.drain(as_of=timezone.now() + timedelta(hours=3.9))
    assert len(mail.outbox) == 1
    User.objects.update(is_active=False)
    jobs.testing.drain(as_of=timezone.now() + timedelta(hours=4.1))
    assert len(mail.outbox) == 1


@pytest.mark.django_db
def test_the_voucher_is_sent_with_text_and_html(client: Client) -> None:
    client.post("/accounts/sign-up/", FORM)
    jobs.testing.drain(as_of=timezone.now() + timedelta(hours=4.1))
    voucher = mail.outbox[-1]
    assert voucher.subject == "A voucher for you"
    assert voucher.alternatives[0][1] == "text/html"


@pytest.mark.django_db
def test_an_administrator_made_by_command_gets_no_mail() -> None:
    call_command("demo", password="correct-horse-9")
    assert User.objects.get().is_superuser
    assert not Job.objects.exists()


@pytest.mark.django_db
def test_logging_in_takes_any_letter_case_and_logging_out_ends_it(client: Client) -> None:
    User.objects.create_user("ann@example.com", "correct-horse-9", name="Ann")
    login = {"username": "Ann@EXAMPLE.com", "password": "correct-horse-9"}
    assert b"Hello Ann" in client.post("/accounts/log-in/", login, follow=True).content
    assert b"Hello Ann" not in client.post("/accounts/log-out/", follow=True).content


def test_the_demo_s_address_greets(client: Client) -> None:
    response = client.get("/api/hangfire")
    assert response.content == b"Hello from hangfire web api project demo"


@pytest.mark.django_db
def test_hangfire_leads_staff_to_the_admin_with_jobs_and_history(admin_client: Client) -> None:
    job = jobs.enqueue("tests.functions.add", 1)
    jobs.testing.drain()
    assert admin_client.get("/hangfire", follow=True).status_code == 200
    page = admin_client.get(f"/hangfire/jobs/job/{job.pk}/change/").content.decode()
    assert "Enqueued" in page
    assert "Processing" in page
    for model in ("job", "server", "queue"):
        assert admin_client.get(f"/hangfire/jobs/{model}/", follow=True).status_code == 200


def test_pages_forbid_inline_script(client: Client, db: None) -> None:
    policy = client.get("/").headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy


@pytest.mark.django_db
def test_the_mailbox_shows_what_was_sent_in_a_sandbox(client: Client, settings, tmp_path) -> None:
    settings.DEBUG = True
    settings.MAIL_DIR = str(tmp_path)
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path)
    user = User.objects.create_user("ann@example.com", name="<b>Ann</b>")
    send_welcome_email(user.pk)
    page = client.get("/mailbox/").content.decode()
    assert "Welcome to Bonfire" in page
    assert "<b>Ann" not in page
    link = page.split('href="/mailbox/')[1].split('"')[0]
    html = client.get(f"/mailbox/{link}")
    assert html.headers["Content-Security-Policy"].startswith("sandbox")
    assert client.get("/mailbox/..%2f..%2fetc/").status_code == 404


@pytest.mark.django_db
def test_there_is_no_mailbox_in_production(client: Client, settings) -> None:
    settings.DEBUG = False
    assert client.get("/mailbox/").status_code == 404
