"""From the address of a list to the jobs that it lists: what "all that match" means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.db.models import Q
from django.http import QueryDict
from django.utils.translation import gettext as _

from ..conf import conf
from ..models import Job
from ..models.job import JobQuerySet
from ..states import State

#: Where one is in a list and how it is sorted, not what is in it.
POSITION = frozenset({"after", "before", "newest", "oldest", "sort", "page", "per_page", "view"})


class NotMatching(ValueError):
    """A filter that can't be applied: then nothing matches, rather than everything."""


def _number(name: str) -> Callable[[str], Q]:
    def condition(value: str) -> Q:
        # isdecimal: no sign, no blanks; and no more digits than an id has.
        if not (value.isascii() and value.isdecimal() and len(value) < 19):
            raise NotMatching(_("%(value)s is no id.") % {"value": value[:40]})
        return Q(**{name: int(value)})

    return condition


def _text(lookup: str) -> Callable[[str], Q]:
    def condition(value: str) -> Q:
        if "\0" in value:  # no text for PostgreSQL
            raise NotMatching(_("The filter contains a character that no job has."))
        return Q(**{lookup: value})

    return condition


FILTERS: Mapping[str, Callable[[str], Q]] = {
    "queue": _text("queue"),
    "func": _text("func__startswith"),
    "server": _text("server"),
    "error_key": _text("error_key"),
    "recurring_job": _number("recurring_job_id"),
    "retries": lambda _value: Q(retries__gt=0),
}


def jobs(query: str, state: State) -> JobQuerySet:
    """Return the jobs in `state` that the list with this query string shows, over all its pages.

    Raises NotMatching for a filter that is not known or has a wrong value.
    """
    given = QueryDict(query.removeprefix("?"))
    found: Any = Job.objects.using(conf.DATABASE).filter(state=state)
    for name, value in given.items():
        if not value or name in POSITION:
            continue
        if name not in FILTERS:
            raise NotMatching(_("There is no filter “%(name)s”.") % {"name": name[:40]})
        found = found.filter(FILTERS[name](str(value)))
    return found
