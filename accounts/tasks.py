"""What happens in the background when somebody signs up."""

from __future__ import annotations

import logging

from django.utils.translation import gettext_noop

import jobs

from .mails import send_once
from .models import User

logger = logging.getLogger(__name__)


@jobs.job(queue="mail")
def send_welcome_email(user_id: int) -> bool:
    """Greet a new user, once; return whether the mail was sent now."""
    return _send(user_id, "welcome", gettext_noop("Welcome to Bonfire"))


@jobs.job(queue="mail")
def send_welcome_voucher(user_id: int) -> bool:
    """Send a new user a voucher, once; not to somebody who has left."""
    return _send(user_id, "voucher", gettext_noop("A voucher for you"))


def _send(user_id: int, kind: str, subject: str) -> bool:
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None:
        logger.info("%s not sent: user %d has left", kind, user_id)
        return False
    return send_once(user, kind, subject)
