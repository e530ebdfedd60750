"""A JSON column that is plain text to the database."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils.translation import gettext_lazy as _

from ..serialization import JSONText


class JSONTextField(models.TextField):
    """JSON kept as text: read back as it was written, on every database.

    A native JSON column reorders keys and rewrites numbers (PostgreSQL), refuses top-level
    scalars (SQL Server), and can't be searched by LIKE; and the engine passes the text on
    without parsing it.
    """

    # Read by the type checker's Django plugin: any JSON value goes in and comes out.
    _pyi_private_set_type: Any
    _pyi_private_get_type: Any

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Any:
        return None if value is None else _parsed(value)

    def get_prep_value(self, value: Any) -> Any:
        if value is None or isinstance(value, JSONText) or hasattr(value, "resolve_expression"):
            return value
        return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False, separators=(",", ":"))

    def to_python(self, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValidationError(
                _("This is not JSON: %(error)s"), params={"error": error}
            ) from None

    def formfield(self, **kwargs: Any) -> Any:
        return super().formfield(
            **{"form_class": forms.JSONField, "encoder": DjangoJSONEncoder, **kwargs}
        )

    def value_to_string(self, obj: models.Model) -> str:
        return str(self.get_prep_value(self.value_from_object(obj)))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (
        ValueError
    ):  # somebody wrote to the column by SQL; shown as it is, so that it can be mended
        return text
