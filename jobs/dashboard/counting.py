"""Counting that costs the same however long the table is."""

from __future__ import annotations

from typing import Any

from django.db.models import IntegerField, QuerySet, Subquery
from django.utils.formats import number_format

#: No number on a page counts further.
LIMIT = 10_000


class Count(int):
    """A number of rows, of which perhaps only the beginning was counted: `10,000+`."""

    @property
    def is_more(self) -> bool:
        """Whether there are more rows than were counted."""
        return int(self) > LIMIT

    def __str__(self) -> str:
        text = number_format(min(int(self), LIMIT), use_l10n=True, force_grouping=True)
        return f"{text}+" if self.is_more else text


class BoundedCount(Subquery):
    """How many rows a query has, at most LIMIT + 1, as an expression in another query."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) bounded)"
    output_field = IntegerField()

    def __init__(self, rows: QuerySet[Any], **extra: Any) -> None:
        super().__init__(rows.order_by().values("pk")[: LIMIT + 1], **extra)


def count(rows: QuerySet[Any]) -> Count:
    """Return how many rows there are; one statement that reads at most LIMIT + 1 of them."""
    return Count(rows.order_by()[: LIMIT + 1].count())
