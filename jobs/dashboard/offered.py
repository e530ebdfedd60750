"""Which functions may be run from the dashboard, with arguments of the operator's choice."""

from __future__ import annotations

from ..conf import conf
from ..decorators import ForeignFunction, declared
from ..exceptions import InvalidFunction
from ..functions import path_of, resolve


def names() -> list[str]:
    """Return the paths of the functions on offer: those of `@job` imported here, and the listed."""
    found = set(conf.DASHBOARD_FUNCTIONS)
    for function in declared():
        if isinstance(function, ForeignFunction):
            continue
        try:
            path = path_of(function.func)
        except InvalidFunction:  # no worker would find it either
            continue
        if resolve(path) is function:  # else it is another function that stands there
            found.add(path)
    return sorted(found)


def is_offered(path: str) -> bool:
    """Whether the function at `path` may be run from the dashboard. Imports nothing."""
    return path in names()
