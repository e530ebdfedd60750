"""From the address of a list to the jobs that it lists: what "all that match" means."""

from __future__ import annotations

from django.http import QueryDict

from .filters import NotMatching, jobs

__all__ = ["NotMatching", "is_search", "jobs"]


def is_search(query: str) -> bool:
    """Whether the list is a search among the newest rows, which would be others a moment later."""
    return bool(QueryDict(query.removeprefix("?")).get("q"))
