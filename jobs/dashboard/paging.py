"""Paging by key: the same cost on each page, and no row twice or left out while jobs move."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet
from django.utils.dateparse import parse_datetime

from ..models import Job

#: How many rows a page may have.
SIZES = (20, 50, 100, 500)
#: No id has more digits.
ID_DIGITS = 18


@dataclass(frozen=True)
class Order:
    """A way in which a list is sorted; ties by id. Each has its index."""

    name: str
    #: A moment of the job, or `pk`.
    field: str
    descending: bool

    @property
    def param(self) -> str:
        """As it stands in an address: `due`, or `-due`."""
        return f"-{self.name}" if self.descending else self.name

    def columns(self, *, reverse: bool = False) -> tuple[str, ...]:
        sign = "-" if self.descending != reverse else ""
        return tuple(f"{sign}{name}" for name in dict.fromkeys((self.field, "pk")))

    def position(self, job: Job) -> str:
        """Return where a job stands, as it is written in an address."""
        if self.field == "pk":
            return str(job.pk)
        return f"{getattr(job, self.field).isoformat()}_{job.pk}"

    def parse(self, text: str) -> tuple[Any, int] | None:
        """Return the value and the id of a position, or None when it is none."""
        moment, _underscore, id = text.rpartition("_")
        if not (id.isascii() and id.isdecimal() and len(id) <= ID_DIGITS):
            return None
        if self.field == "pk":
            return None if moment else (int(id), int(id))
        try:
            # In an address that was not escaped, the plus of the zone came as a blank.
            value = parse_datetime(moment.replace(" ", "+"))
        except ValueError:
            return None
        return (value, int(id)) if value and value.tzinfo else None

    def beyond(self, position: tuple[Any, int], *, reverse: bool = False) -> Q:
        """Return the condition for rows that follow a position (or lie before it)."""
        way = "lt" if self.descending != reverse else "gt"
        value, id = position
        if self.field == "pk":
            return Q(**{f"pk__{way}": id})
        # The first part says nothing new, but it is what the index can begin with.
        return Q(**{f"{self.field}__{way}e": value}) & (
            Q(**{f"{self.field}__{way}": value}) | Q(**{f"pk__{way}": id})
        )


@dataclass
class Slice:
    """The rows of one page, in order, and where the neighbours begin."""

    rows: list[Job]
    order: Order
    has_earlier: bool
    has_later: bool

    @property
    def earlier(self) -> dict[str, str]:
        """Parameters of the page before, none at the beginning."""
        return {"before": self.order.position(self.rows[0])} if self._earlier else {}

    @property
    def later(self) -> dict[str, str]:
        """Parameters of the page after, none at the end."""
        return {"after": self.order.position(self.rows[-1])} if self._later else {}

    @property
    def _earlier(self) -> bool:
        return self.has_earlier and bool(self.rows)

    @property
    def _later(self) -> bool:
        return self.has_later and bool(self.rows)


def cut(rows: QuerySet[Any], order: Order, at: Mapping[str, str], size: int) -> Slice:
    """Return the page at `after`, `before` or an end; the nearest rows where there are none.

    At most two statements.
    """
    if (position := order.parse(at.get("before", ""))) is not None:
        found = _fetch(rows.filter(order.beyond(position, reverse=True)), order, size, True)
        if len(found) >= size:
            return Slice(found[-size:], order, len(found) > size, True)
        return _first(rows, order, size)  # not a page full: it would not reach the beginning
    if (position := order.parse(at.get("after", ""))) is not None:
        found = _fetch(rows.filter(order.beyond(position)), order, size)
        if found:
            return Slice(found[:size], order, True, len(found) > size)
        return _last(rows, order, size)
    if "oldest" in at if order.descending else "newest" in at:
        return _last(rows, order, size)
    return _first(rows, order, size)


def _first(rows: QuerySet[Any], order: Order, size: int) -> Slice:
    found = _fetch(rows, order, size)
    return Slice(found[:size], order, False, len(found) > size)


def _last(rows: QuerySet[Any], order: Order, size: int) -> Slice:
    found = _fetch(rows, order, size, True)
    return Slice(found[-size:], order, len(found) > size, False)


def _fetch(rows: QuerySet[Any], order: Order, size: int, reverse: bool = False) -> list[Job]:
    """Return one row more than fit, so that it is known whether there are more."""
    found = list(rows.order_by(*order.columns(reverse=reverse))[: size + 1])
    return found[::-1] if reverse else found
