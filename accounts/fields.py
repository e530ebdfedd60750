"""The field in which users' addresses are kept."""

from __future__ import annotations

from typing import Any

from django.db import models


def normalise_email(email: str) -> str:
    """Return the one spelling under which an address is stored: letter case makes no difference."""
    return email.strip().lower()


class AddressField(models.EmailField):
    """An e-mail address in its one spelling, whichever way it goes into the database.

    `save`, `bulk_create`, `update` and lookups all pass through here. That makes the unique index
    a guard against a second spelling on databases which, like MariaDB, can't index `LOWER(email)`.
    """

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        return normalise_email(value) if isinstance(value, str) else value

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """Let the object in memory have the spelling that is stored."""
        value = super().pre_save(model_instance, add)
        if isinstance(value, str):
            value = normalise_email(value)
            setattr(model_instance, self.attname, value)
        return value
