"""A late retry holds its claim like a first attempt."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.utils import timezone

import jobs
from accounts.models import SentMail, User
from accounts.tasks import send_welcome_email
from jobs.models import Job


@pytest.mark.django_db
def test_while_a_late_retry_sends_no_other_job_takes_its_claim(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    user = User.objects.create_user("ada@example.com", "correct horse", name="Ada")
    job = send_welcome_email.enqueue(user.pk)
    # Its first attempt failed ten minutes ago.
    SentMail.objects.create(
        user=user,
        kind="welcome",
        job_id=job.pk,
        claimed_at=timezone.now() - timedelta(minutes=10),
    )
    send, other = EmailBackend.send_messages, []

    def interrupted(self: EmailBackend, messages: Any) -> Any:
        if not other:
            other.append(send_welcome_email.enqueue(user.pk))
            jobs.testing.drain()
        return send(self, messages)

    monkeypatch.setattr(EmailBackend, "send_messages", interrupted)

    jobs.testing.drain()

    assert len(mail.outbox) == 1
    assert Job.objects.get(pk=other[0].pk).state == "scheduled"
