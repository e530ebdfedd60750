"""Locking rows on every database: one place that knows what each of them can do."""

from __future__ import annotations

from typing import Self, TypeVar

from django.db import connections, models

Row = TypeVar("Row", bound=models.Model, covariant=True)


class LockingQuerySet(models.QuerySet[Row]):
    """Rows that can be locked until the transaction ends, where the database locks rows."""

    def locked(self, *, skip_locked: bool = False) -> Self:
        """Lock the rows. `skip_locked`: leave out those somebody else holds, where that can be.

        Without the lock of keys, where there is one: rows that refer to these stay possible.
        """
        features = connections[self.db].features
        if not features.has_select_for_update:
            return self
        return self.select_for_update(
            skip_locked=skip_locked and features.has_select_for_update_skip_locked,
            no_key=features.has_select_for_no_key_update,
        )
