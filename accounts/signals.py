"""A new user gets mails, by jobs that are part of the sign-up's transaction."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models.signals import post_save
from django.dispatch import receiver

from .models import User
from .tasks import send_welcome_email, send_welcome_voucher


@receiver(post_save, sender=User)
def welcome(instance: User, created: bool, raw: bool, **kwargs: Any) -> None:
    """Enqueue the welcome mail now and the voucher for later, for those who signed up.

    Fixtures, seeding and `createsuperuser` don't set `welcome` and send nothing.
    """
    if created and not raw and instance.welcome:
        send_welcome_email.enqueue(instance.pk)
        later = timedelta(hours=settings.WELCOME_VOUCHER_HOURS)
        send_welcome_voucher.using(run_after=later).enqueue(instance.pk)
