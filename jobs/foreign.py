"""Calls that came through another API than our own, which prepares them and hears how they ended.

Such a job keeps under `via` in its options what that API needs: its name as `api`, and the rest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from .outcomes import Claimed, Outcome

#: The key of a job's options.
VIA = "via"


class Call(Protocol):
    """One execution of such a job, in the process that runs it."""

    def target(self) -> Callable[..., Any]:
        """Return the function; raise whatever its import raises."""

    def arguments(self, target: Any) -> tuple[list[Any], dict[str, Any]]:
        """Return what it is called with, immediately before that happens."""

    def ended(self, outcome: Outcome, value: Any, error: BaseException | None) -> Outcome:
        """Return the outcome, with whatever is to be written beside it as `extra`.

        Called with what the function returned, within the transaction of an atomic job, or with
        what it raised (or that transaction), which is then also the current exception.
        """


#: What makes a Call, given the job and what it keeps under `via`; by the name of the API.
apis: dict[str, Callable[[Claimed, Mapping[str, Any]], Call]] = {}


def call_of(job: Claimed) -> Call | None:
    """Return how `job` is to be called, None for one of our own API.

    Raises LookupError when its API is not installed here.
    """
    if f'"{VIA}":' not in job.options:
        return None
    via = json.loads(job.options).get(VIA)
    if via is None:
        return None
    if via.get("api") not in apis:
        raise LookupError(f"it came through {via.get('api')!r}, which is not installed here")
    return apis[via["api"]](job, via)
