"""Who may see and do what: Django's permissions, one for each kind of action."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Model


@dataclass(frozen=True)
class Permission:
    """`verb` on rows of `model`, such as "requeue" on jobs."""

    verb: str
    model: type[Model]

    @property
    def name(self) -> str:
        """As Django knows it: `jobs.requeue_job`."""
        return f"{self.model._meta.app_label}.{self.verb}_{self.model._meta.model_name}"

    def held_by(self, user: Any) -> bool:
        return bool(user.is_active and user.has_perm(self.name))
