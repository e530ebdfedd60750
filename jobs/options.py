"""What can be said about a job, at its decorator or for one call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from .conf import conf, queue_name, shown
from .exceptions import InvalidOption
from .foreign import VIA
from .retry import LONGEST_SECONDS, Delays, Exhausted, RetryPolicy, check_delays

RunAfter = datetime | timedelta | None
ErrorTypes = type[BaseException] | tuple[type[BaseException], ...]

#: Kept with the job, so that they still hold when it runs; the others are used at once or, like
#: exception classes and functions, are the code's and never the database's.
STORED = ("max_retries", "retry_delays", "when_exhausted", "expires_after", "timeout", "keep_log")

#: Kept beside them by those who enqueue for other APIs, and no options: see `task_functions`.
NOTES = frozenset({"task_backend", "task_run_after", "task_priority"})


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a job; None means: not said here.

    `queue`: name. `priority`: -100 to 100, larger first. `run_after`: aware datetime, or a
    timedelta counted from the enqueue. `max_retries`: executions after the first.
    `retry_delays`: seconds before each retry (the last repeats), or a function of the retry's
    number. `retry_on`, `give_up_on`: exception classes. `when_exhausted`: "fail" or "delete".
    `expires_after`: timedelta or seconds for which the finished job is kept. `timeout`: timedelta
    or seconds after which JobTimeout is raised in the function. `atomic`: what the function
    writes to the jobs' database is committed together with its outcome, or not at all.
    `keep_log`: what is logged while the job runs is kept with it.
    """

    queue: str | None = None
    priority: int | None = None
    run_after: RunAfter = None
    max_retries: int | None = None
    retry_delays: Delays | None = None
    retry_on: ErrorTypes | None = None
    give_up_on: ErrorTypes | None = None
    when_exhausted: str | None = None
    expires_after: timedelta | float | None = None
    timeout: timedelta | float | None = None
    atomic: bool | None = None
    keep_log: bool | None = None

    @classmethod
    def build(cls, given: Mapping[str, Any], *, declared: bool = False) -> Options:
        """Return options from keywords, checked.

        `declared`: they stand at the decorator, where a time to run makes no sense. Raises
        InvalidOption that names the option, the value and what was expected.
        """
        for name, value in given.items():
            check = _CHECKS.get(name)
            if check is None:
                raise InvalidOption(f"unknown option {name!r}; known: {', '.join(_CHECKS)}.")
            if declared and name == "run_after":
                raise InvalidOption(
                    "run_after is not for the decorator, where it would be read once at import; "
                    "use .using(run_after=…) when enqueueing."
                )
            if not declared and name in _DECLARED_ONLY:
                raise InvalidOption(f"{name!r} belongs to the decorator, not to one call.")
            if value is not None and (problem := check(value)):
                raise InvalidOption(f"{name}={shown(value)} {problem}.")
        options = cls(**given)
        if not declared and callable(options.retry_delays):
            raise InvalidOption(
                "retry_delays of one call must be a list; a function belongs to the decorator."
            )
        return options

    @classmethod
    def restored(cls, stored: Mapping[str, Any]) -> tuple[Options, list[str]]:
        """Return the options kept with a job, and the names of those that make no sense here.

        While a deploy is under way, a newer version may have enqueued it.
        """
        good = {n: v for n, v in stored.items() if n in STORED and not _CHECKS[n](v)}
        return cls(**good), sorted(stored.keys() - good.keys() - NOTES - {VIA})

    def over(self, other: Options) -> Options:
        """Return these options, with `other`'s where nothing is said here."""
        if self is NOTHING_SAID:
            return other
        if other is NOTHING_SAID:
            return self
        said = {name: value for name in _NAMES if (value := getattr(self, name)) is not None}
        return replace(other, **said) if said else other

    def due(self, now: datetime) -> datetime | None:
        """Return the moment from which the job may run, or None for at once."""
        moment = now + self.run_after if isinstance(self.run_after, timedelta) else self.run_after
        return moment if moment is not None and moment > now else None

    def stored(self) -> dict[str, Any]:
        """Return what is kept with the job, as JSON values."""
        kept = {name: value for name in STORED if (value := getattr(self, name)) is not None}
        return {name: _seconds(value) for name, value in kept.items()}

    def seconds_to_keep(self) -> float | None:
        """Return for how long the finished job is kept, or None for the setting's time."""
        return _seconds(self.expires_after)

    def seconds_to_run(self) -> float | None:
        """Return how long the function may run, or None for ever."""
        return conf.TIMEOUT_SECONDS if self.timeout is None else _seconds(self.timeout)

    def keeps_log(self) -> bool:
        """Return whether what is logged during the run is kept with the job."""
        return conf.KEEP_LOG if self.keep_log is None else self.keep_log

    def retry_policy(self) -> RetryPolicy:
        """Return the retry policy, with the settings' values where nothing is said here."""
        delays = self.retry_delays if self.retry_delays is not None else conf.RETRY_DELAYS
        return RetryPolicy(
            max_retries=conf.MAX_RETRIES if self.max_retries is None else self.max_retries,
            delays=delays,
            retry_on=_types(self.retry_on) or (BaseException,),
            give_up_on=_types(self.give_up_on),
            when_exhausted=Exhausted(self.when_exhausted or conf.WHEN_EXHAUSTED),
        )


def _seconds(value: Any) -> Any:
    """Return seconds as a plain number, whatever kind of number or timedelta was given."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    return int(value) if isinstance(value, int) else float(value)


def _types(value: ErrorTypes | None) -> tuple[type[BaseException], ...]:
    return () if value is None else value if isinstance(value, tuple) else (value,)


def priority_problem(value: Any) -> str | None:
    """Return what is wrong with `value` as a priority, or None."""
    if isinstance(value, bool) or not isinstance(value, int) or not -100 <= value <= 100:
        return "must be a whole number from -100 to 100, larger first"
    return None


def _run_after(value: Any) -> str | None:
    if isinstance(value, datetime):
        if timezone.is_naive(value):
            return "must be aware; use django.utils.timezone"
        ahead = (value - timezone.now()).total_seconds()
    elif isinstance(value, timedelta):
        ahead = abs(value.total_seconds())
    else:
        return "must be a timedelta or an aware datetime"
    # A moment near the end of time can't be written in UTC, or shown in another time zone.
    if ahead > LONGEST_SECONDS:
        return f"must be at most {LONGEST_SECONDS} seconds away"
    return None


def _retries(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 1000:
        return "must be a whole number from 0 to 1000"
    return None


def _delays(value: Any) -> str | None:
    return None if callable(value) else check_delays(value)


def _errors(value: Any) -> str | None:
    found = value if isinstance(value, tuple) else (value,)
    if found and all(isinstance(t, type) and issubclass(t, BaseException) for t in found):
        return None
    return "must be an exception class or a tuple of them"


def _exhausted(value: Any) -> str | None:
    return None if value in tuple(Exhausted) else "must be 'fail' or 'delete'"


def _expires(value: Any) -> str | None:
    seconds = _seconds(value)
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        return "must be a timedelta or seconds"
    if not 0 <= seconds <= LONGEST_SECONDS:
        return f"must be from 0 to {LONGEST_SECONDS} seconds"
    return None


def _timeout(value: Any) -> str | None:
    return "must be more than 0 seconds" if _seconds(value) == 0 else _expires(value)


def _boolean(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be True or False"


_CHECKS = {
    "queue": queue_name,
    "priority": priority_problem,
    "run_after": _run_after,
    "max_retries": _retries,
    "retry_delays": _delays,
    "retry_on": _errors,
    "give_up_on": _errors,
    "when_exhausted": _exhausted,
    "expires_after": _expires,
    "timeout": _timeout,
    "atomic": _boolean,
    "keep_log": _boolean,
}
_DECLARED_ONLY = frozenset({"retry_on", "give_up_on", "atomic"})
_NAMES = tuple(field.name for field in fields(Options))
NOTHING_SAID = Options()
