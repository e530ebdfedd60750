"""The forms to sign up and to log in."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone, translation
from django.utils.translation import gettext_lazy as _

from .models import User

TAKEN = _("There is an account with this address already. Log in instead.")


class FocusOnError(forms.BaseForm):
    """Puts the cursor into the first field that is wrong."""

    def full_clean(self) -> None:
        super().full_clean()
        wrong = next((name for name in self.fields if name in self.errors), None)
        if wrong is not None:
            for name, field in self.fields.items():
                field.widget.attrs["autofocus"] = name == wrong


class SignUpForm(FocusOnError, forms.ModelForm):
    """Address, name and password of somebody new."""

    password = forms.CharField(
        label=_("Password"),
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=_("At least 8 characters, not only digits, and none that everybody uses."),
    )

    class Meta:
        model = User
        fields = ("email", "name", "password", "marketing_consent")
        labels = {"marketing_consent": _("Send me news by mail")}  # noqa: RUF012
        widgets = {  # noqa: RUF012
            "email": forms.EmailInput(attrs={"autocomplete": "email", "autofocus": True}),
            "name": forms.TextInput(attrs={"autocomplete": "name"}),
        }

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if password := data.get("password"):
            try:
                validate_password(
                    password, User(email=data.get("email", ""), name=data.get("name", ""))
                )
            except ValidationError as error:
                self.add_error("password", error)
        return data

    def validate_unique(self) -> None:
        """Say it in our words."""
        if User.objects.filter(email=self.cleaned_data.get("email")).exists():
            self.add_error("email", TAKEN)

    def sign_up(self) -> User | None:
        """Create the user, with the jobs that greet them, in one transaction.

        Returns None, with an error at the form, when a second click or another request was faster.
        """
        user: User = self.save(commit=False)
        user.welcome = True
        user.language = translation.get_language() or "en"
        user.set_password(self.cleaned_data["password"])
        if user.marketing_consent:
            user.marketing_consent_at = timezone.now()
        try:
            with transaction.atomic():
                user.save()
        except IntegrityError:
            if not User.objects.filter(email=user.email).exists():
                raise
            self.add_error("email", TAKEN)
            return None
        return user


class LogInForm(FocusOnError, AuthenticationForm):
    """Log in by address, in any letter case."""

    error_messages = {  # noqa: RUF012
        **AuthenticationForm.error_messages,
        "invalid_login": _("This address and this password don't belong together."),
    }
