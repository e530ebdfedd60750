"""Functions with parameters that are secrets."""

from __future__ import annotations

from typing import Any

import jobs


@jobs.job(queue="mail")
def charge(invoice: int, token: str = "", *, notify: bool = False, card: Any = None) -> int:
    return invoice


def plain(invoice: int) -> int:
    """Not declared as a job."""
    return invoice


def spread(first: int, *tokens: str, **rest: Any) -> int:
    return first


def positional_only(number: int, /, password: str) -> int:
    return number
