"""Sending a mail once per user, however often its job is tried or enqueued."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.template.loader import render_to_string
from django.utils import timezone, translation
from django.utils.translation import gettext

import jobs

from .models import SentMail, User

#: A claim that was never marked as sent is free for another job after so long.
CLAIM_SECONDS = 300


class BeingSent(Exception):
    """Another job is sending this mail right now; to be tried again later."""


def send_once(user: User, kind: str, subject: str) -> bool:
    """Send the mail `kind` to `user` unless it was sent; return whether it was sent now.

    Two jobs for one mail may run at once: the first to claim it sends it, the other raises
    BeingSent and is retried. The mail is marked after sending, so a crash in between can send it
    twice; both copies then have the same Message-ID, by which mail programs drop the second.
    """
    mail = _claim(user, kind)
    if mail is None:
        return False
    with translation.override(user.language):
        _message(user, kind, gettext(subject)).send()
    SentMail.objects.filter(pk=mail.pk).update(sent_at=timezone.now())
    return True


def _claim(user: User, kind: str) -> SentMail | None:
    job = jobs.current()
    job_id = job.id if job else None
    try:
        with transaction.atomic():
            return SentMail.objects.create(user=user, kind=kind, job_id=job_id)
    except IntegrityError:
        now = timezone.now()
        free = Q(claimed_at__lt=now - timedelta(seconds=CLAIM_SECONDS))
        if job_id is not None:
            free |= Q(job_id=job_id)  # this job's earlier attempt failed or crashed
        claims = SentMail.objects.filter(user=user, kind=kind)
        # In one statement that also renews the time: else another job could take over the claim
        # of a late retry while that is sending.
        taken = claims.filter(free, sent_at=None).update(job_id=job_id, claimed_at=now)
        mail = claims.get()
    if mail.sent_at:
        return None
    if not taken:
        raise BeingSent(f"job #{mail.job_id} is sending {kind} to user {user.pk}")
    return mail


def _message(user: User, kind: str, subject: str) -> EmailMultiAlternatives:
    context = {"user": user, "site_url": settings.SITE_URL, "subject": subject}
    message = EmailMultiAlternatives(
        subject, render_to_string(f"accounts/mail/{kind}.txt", context), to=[user.email]
    )
    message.attach_alternative(render_to_string(f"accounts/mail/{kind}.html", context), "text/html")
    host = urlsplit(settings.SITE_URL).hostname or "localhost"
    message.extra_headers["Message-ID"] = f"<{kind}.{user.pk}@{host}>"
    return message
