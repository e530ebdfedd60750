"""Each mail goes once per user."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.utils import timezone

import jobs
from accounts.models import SentMail, User
from accounts.tasks import send_welcome_email, send_welcome_voucher
from jobs.models import Job

pytestmark = pytest.mark.django_db


@pytest.fixture
def user() -> User:
    return User.objects.create_user("ada@example.com", "correct horse", name="Ada")


@pytest.fixture
def while_sending(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Have something done once, at the moment when a mail is handed over."""

    def install(action: Callable[[], Any]) -> None:
        send, todo = EmailBackend.send_messages, [action]

        def interrupted(self: EmailBackend, messages: Any) -> Any:
            if todo:
                todo.pop()()
            return send(self, messages)

        monkeypatch.setattr(EmailBackend, "send_messages", interrupted)

    return install


def unreachable() -> None:
    raise ConnectionRefusedError("no mail server")


def later(**units: float) -> Any:
    return timezone.now() + timedelta(**units)


def test_a_mail_has_text_and_html_and_speaks_to_the_user(user: User) -> None:
    send_welcome_email(user.pk)

    (message,) = mail.outbox
    assert "Ada" in message.body
    ((html, kind),) = message.alternatives
    assert kind == "text/html"
    assert "Ada" in html


def test_a_name_is_escaped_in_html_and_only_there(user: User) -> None:
    User.objects.update(name="<b>A & B</b>")

    send_welcome_email(user.pk)

    (message,) = mail.outbox
    assert "<b>A & B</b>" in message.body
    assert "&lt;b&gt;A &amp; B&lt;/b&gt;" in message.alternatives[0][0]


def test_a_job_that_is_enqueued_twice_sends_one_mail(user: User) -> None:
    send_welcome_email.enqueue(user.pk)
    send_welcome_email.enqueue(user.pk)

    jobs.testing.drain()

    assert len(mail.outbox) == 1
    assert Job.objects.filter(state="succeeded").count() == 2


def test_a_job_that_is_run_again_sends_no_second_mail(user: User) -> None:
    job = send_welcome_email.enqueue(user.pk)
    jobs.testing.drain()

    jobs.requeue(job)
    jobs.testing.drain()

    assert len(mail.outbox) == 1


def test_when_the_mail_server_is_down_the_retry_sends(
    user: User, while_sending: Callable[..., None]
) -> None:
    while_sending(unreachable)
    job = send_welcome_email.enqueue(user.pk)

    jobs.testing.drain()
    assert mail.outbox == []
    assert SentMail.objects.get().sent_at is None
    jobs.testing.drain(as_of=later(days=1))

    assert len(mail.outbox) == 1
    job.refresh_from_db()
    assert job.state == "succeeded"
    assert SentMail.objects.get().sent_at is not None


def test_a_claim_that_was_left_behind_is_taken_over(user: User) -> None:
    SentMail.objects.create(user=user, kind="welcome", job_id=10_000, claimed_at=later(minutes=-6))
    job = send_welcome_email.enqueue(user.pk)

    jobs.testing.drain()

    assert len(mail.outbox) == 1
    assert SentMail.objects.get().job_id == job.pk


def test_a_crash_between_sending_and_marking_repeats_the_same_message_id(user: User) -> None:
    job = send_welcome_email.enqueue(user.pk)
    jobs.testing.drain()
    SentMail.objects.update(sent_at=None)  # as if the process had died before the mark

    jobs.requeue(job)
    jobs.testing.drain()

    first, second = mail.outbox
    assert first.extra_headers["Message-ID"] == second.extra_headers["Message-ID"]


def test_message_ids_differ_by_mail_and_by_user(user: User) -> None:
    other = User.objects.create_user("bob@example.com", "correct horse", name="Bob")

    send_welcome_email(user.pk)
    send_welcome_voucher(user.pk)
    send_welcome_email(other.pk)

    assert len({message.extra_headers["Message-ID"] for message in mail.outbox}) == 3


def test_a_user_who_was_deleted_is_no_error(user: User) -> None:
    job = send_welcome_email.enqueue(user.pk)
    user.delete()

    jobs.testing.drain()

    job.refresh_from_db()
    assert job.state == "succeeded"
    assert mail.outbox == []
