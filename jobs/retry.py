"""When a failed job runs again."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Delays = Sequence[float] | Callable[[int], float]

#: No number of seconds may be larger: some 300 years, which datetimes still take.
LONGEST_SECONDS = 10**10

#: No retry is put further away than this; a longer delay is cut to it.
LONGEST_DELAY_SECONDS = 366 * 86_400


class Exhausted(StrEnum):
    """What becomes of a job without retries left."""

    FAIL = "fail"
    DELETE = "delete"


def default_delay(retry: int, rng: random.Random | None = None) -> float:
    """Return the seconds to wait before retry number `retry` (from 1).

    Hangfire's curve: (n-1)^4 + 15 + random(0..29)*n, ten retries in about four and a half hours.
    """
    return (retry - 1) ** 4 + 15 + (rng or random).randint(0, 29) * retry


def check_delays(delays: Any) -> str | None:
    """Return what is wrong with `delays` as a list of seconds, or None."""
    if isinstance(delays, str) or not isinstance(delays, (list, tuple)) or not delays:
        return "must be a list of seconds that is not empty"
    if not all(_is_seconds(delay) for delay in delays):
        return "must hold seconds from 0 up"
    if max(delays) > LONGEST_SECONDS:
        return f"must hold at most {LONGEST_SECONDS} seconds each"
    return None


def _is_seconds(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return value >= 0 and value != math.inf  # NaN is not 0 or more


@dataclass(frozen=True)
class RetryPolicy:
    """How often, when and after which errors a job is tried again.

    `max_retries`: executions after the first one. `delays`: seconds before each retry (the last
    value repeats), a function of the retry's number, or None for `default_delay`. `retry_on`:
    only these exceptions are retried; `give_up_on`: these never are.
    """

    max_retries: int = 10
    delays: Delays | None = None
    retry_on: tuple[type[BaseException], ...] = (BaseException,)
    give_up_on: tuple[type[BaseException], ...] = ()
    when_exhausted: Exhausted = Exhausted.FAIL

    def delay(self, error: BaseException, retries: int) -> float | None:
        """Return the seconds before the next retry after `error`, or None for no further one.

        `retries`: how many have been used so far. Raises whatever a delay function raises, and
        ValueError for a delay that is no number of seconds.
        """
        if retries >= self.max_retries:
            return None
        if isinstance(error, self.give_up_on) or not isinstance(error, self.retry_on):
            return None
        number = retries + 1
        if self.delays is None:
            seconds = default_delay(number)
        elif callable(self.delays):
            seconds = self.delays(number)
        else:
            seconds = self.delays[min(retries, len(self.delays) - 1)]
        if not _is_seconds(seconds):
            raise ValueError(
                f"the delay before retry {number} is {seconds!r}, not seconds from 0 up"
            )
        return float(min(seconds, LONGEST_DELAY_SECONDS))
