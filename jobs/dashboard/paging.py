"""Pages by key: what comes after or before a row, never how many rows come before a page.

A position is written `2026-11-24T10:04:37.120000+00:00~4711` (the sorted column and the id of a
row); that row itself need not exist any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import Model, Q, QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_datetime

#: The larger ids of no database.
LARGEST_ID = 2**63 - 1


@dataclass(frozen=True)
class Order:
    """By an indexed column of moments, then by id. `newest_first`: descending."""

    column: str
    newest_first: bool = True

    @property
    def keys(self) -> tuple[str, str]:
        sign = "-" if self.newest_first else ""
        return f"{sign}{self.column}", f"{sign}id"

    @property
    def reversed(self) -> Order:
        return Order(self.column, not self.newest_first)


class Position(NamedTuple):
    """Where in an order a row stands, or stood."""

    moment: datetime
    pk: int

    def __str__(self) -> str:
        return f"{self.moment.isoformat()}~{self.pk}"

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """Return the position that `text` writes, or None if it writes none."""
        moment, _tilde, pk = text.partition("~")
        try:
            found = parse_datetime(moment)
        except ValueError:  # well written, and no date
            return None
        if found is None or not (pk.isascii() and pk.isdecimal() and int(pk[:20]) <= LARGEST_ID):
            return None
        return cls(found if timezone.is_aware(found) else timezone.make_aware(found), int(pk))

    @classmethod
    def of(cls, row: Any, order: Order) -> Position:
        return cls(getattr(row, order.column), row.pk)


def beyond(order: Order, position: Position) -> Q:
    """Return the condition for rows that come after `position` in `order`."""
    word = "lt" if order.newest_first else "gt"
    column = order.column
    # Both halves, or databases do not begin to read at the position.
    return Q(**{f"{column}__{word}e": position.moment}) & (
        Q(**{f"{column}__{word}": position.moment}) | Q(**{f"pk__{word}": position.pk})
    )


def up_to(order: Order, position: Position) -> Q:
    """Return the condition for rows that come before `position` in `order`, or stand at it."""
    word = "gt" if order.newest_first else "lt"
    column = order.column
    return Q(**{f"{column}__{word}e": position.moment}) & (
        Q(**{f"{column}__{word}": position.moment}) | Q(**{f"pk__{word}e": position.pk})
    )


class Slice(NamedTuple):
    """The rows of one page, and the positions from which its neighbours go on."""

    rows: Sequence[Any]
    after: Position | None
    before: Position | None


def page_of(
    rows: QuerySet[Model, Any],
    order: Order,
    size: int,
    *,
    after: Position | None = None,
    before: Position | None = None,
    oldest: bool = False,
) -> Slice:
    """Return the page of `size` rows after or before a position, the first, or the last.

    One statement. `after` of the result: None on the last page; `before`: None on the first.
    """
    backwards = oldest or (before is not None and after is None)
    there = order.reversed if backwards else order
    start = None if oldest else (before if backwards else after)
    wanted = rows.filter(beyond(there, start)) if start is not None else rows
    found = list(wanted.order_by(*there.keys)[: size + 1])
    more, found = len(found) > size, found[:size]
    if backwards:
        found.reverse()
    if not found:
        return Slice([], None, None)
    first, last = Position.of(found[0], order), Position.of(found[-1], order)
    if backwards:
        return Slice(found, None if oldest else last, first if more else None)
    return Slice(found, last if more else None, first if start is not None else None)
