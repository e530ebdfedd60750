"""Users, and the mails that each of them gets once."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .fields import AddressField, normalise_email


class UserManager(BaseUserManager["User"]):
    """Making users. Only `sign_up` greets them."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        """Create a user without sending anything: for fixtures, seeding and tests."""
        user = self.model(email=email, **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        """Create an administrator; sends nothing."""
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractBaseUser, PermissionsMixin):
    """Somebody who logs in by e-mail address, in any letter case."""

    #: Set by the sign-up on the object to be saved: this person is new here, welcome them.
    welcome = False

    email = AddressField(_("e-mail address"), unique=True)
    name = models.CharField(_("name"), max_length=150)
    language = models.CharField(_("language"), max_length=10, default="en")
    time_zone = models.CharField(_("time zone"), max_length=64, default="UTC")
    marketing_consent = models.BooleanField(_("wants news by mail"), default=False)
    marketing_consent_at = models.DateTimeField(_("consent given"), null=True, blank=True)
    is_staff = models.BooleanField(_("staff"), default=False)
    is_active = models.BooleanField(_("active"), default=True)
    date_joined = models.DateTimeField(_("signed up"), default=timezone.now)

    objects = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS = ["name"]  # noqa: RUF012

    class Meta:
        verbose_name = _("user")
        verbose_name_plural = _("users")

    def __str__(self) -> str:
        return self.email

    def clean(self) -> None:
        self.email = normalise_email(self.email)


class SentMail(models.Model):
    """A mail of which each user gets one. The row is the claim; `sent_at` is set after sending."""

    user = models.ForeignKey(User, models.CASCADE, related_name="sent_mails")
    kind = models.CharField(_("kind"), max_length=50)
    job_id = models.BigIntegerField(_("job"), null=True)
    claimed_at = models.DateTimeField(_("claimed"), default=timezone.now)
    sent_at = models.DateTimeField(_("sent"), null=True)

    class Meta:
        verbose_name = _("mail sent")
        verbose_name_plural = _("mails sent")
        constraints = [  # noqa: RUF012
            models.UniqueConstraint(fields=["user", "kind"], name="one_mail_of_a_kind_per_user")
        ]

    def __str__(self) -> str:
        return f"{self.kind} → {self.user_id}"
