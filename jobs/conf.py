"""Settings: one table of defaults, read from `settings.JOBS`, then `settings.Q_CLUSTER`.

`JOBS` wins over `Q_CLUSTER`, which is read for what both know (name, workers, recycle, …).
`jobs/checks.py` turns every problem found here into a system check.
"""

from __future__ import annotations

import difflib
import os
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed

from .recurrence import time_zone_problem
from .retry import LONGEST_SECONDS, Exhausted, check_delays

Validator = Callable[[Any], str | None]


def _number(minimum: float, maximum: float = LONGEST_SECONDS) -> Validator:
    def validate(value: Any) -> str | None:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return f"must be a number, not {type(value).__name__}"
        if not minimum <= value <= maximum:
            return f"must be between {minimum} and {maximum}"
        return None

    return validate


def _whole(minimum: int, maximum: float = float("inf")) -> Validator:
    def validate(value: Any) -> str | None:
        if isinstance(value, bool) or not isinstance(value, int):
            return f"must be a whole number, not {type(value).__name__}"
        if not minimum <= value <= maximum:
            return f"must be between {minimum} and {maximum}"
        return None

    return validate


def _boolean(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be True or False"


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) and value else "must be text that is not empty"


def queue_name(value: Any) -> str | None:
    """Return what is wrong with `value` as a queue's name, or None."""
    if not isinstance(value, str) or not value.strip():
        return "must be text that is not empty"
    if len(value) > 100:
        return "must have at most 100 characters"
    if value != value.strip() or "," in value:
        return "must not hold a comma or begin or end with a space"
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in value):
        return "must not hold control characters or half surrogates"
    return None


def shown(value: Any) -> str:
    """Return `value` as an error message shows it: not longer than a line, whatever it is."""
    try:
        text = repr(value)
    except Exception as error:  # Python refuses to write some numbers, foreign classes anything
        return f"<{type(value).__qualname__}: {type(error).__qualname__} in __repr__>"
    return text if len(text) <= 200 else f"{text[:200]}…"


def _queues(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, (list, tuple)) or not value:
        return "must be None (every queue) or a list of queue names"
    for name in value:
        if problem := queue_name(name):
            return f"names the queue {name!r}, which {problem}"
    return None


def _paths(value: Any) -> str | None:
    if isinstance(value, (list, tuple)) and all(isinstance(v, str) and "." in v for v in value):
        return None
    return "must be a list of dotted paths"


def _words(value: Any) -> str | None:
    if isinstance(value, (list, tuple)) and all(
        isinstance(v, str) and any(c.isalpha() for c in v) for v in value
    ):
        return None
    return "must be a list of words, such as ['password', 'api_key']"


def _optional(inner: Validator) -> Validator:
    return lambda value: None if value is None else inner(value)


def _exhausted(value: Any) -> str | None:
    words = [str(word) for word in Exhausted]
    return None if value in words else f"must be one of {', '.join(words)}"


@dataclass(frozen=True)
class Setting:
    """One key of `settings.JOBS`."""

    default: Any
    problem: Validator


#: Every key of `settings.JOBS`. Units stand in the names.
SETTINGS: dict[str, Setting] = {
    # Where jobs live, and which of them this project's servers work.
    "DATABASE": Setting("default", _text),
    "DEFAULT_QUEUE": Setting("default", queue_name),
    "QUEUES": Setting(None, _queues),
    "NAME": Setting("", lambda v: None if isinstance(v, str) else "must be text"),
    "WORKERS": Setting(None, _optional(_whole(1, 1000))),
    # Retries: delay before retry n is (n-1)^4 + 15 + random(0..29)*n seconds unless listed.
    "MAX_RETRIES": Setting(10, _whole(0, 1000)),
    "RETRY_DELAYS": Setting(None, _optional(check_delays)),
    "WHEN_EXHAUSTED": Setting(Exhausted.FAIL.value, _exhausted),
    # A job that killed its worker so often is set aside as poisoned.
    "MAX_CRASHES": Setting(3, _whole(1, 1000)),
    # A function that can't be imported: try again, and when to stop trying.
    "MISSING_FUNCTION_RETRY_SECONDS": Setting(30, _number(0.1)),
    "MISSING_FUNCTION_FAIL_SECONDS": Setting(600, _number(0)),
    # Recurring jobs: an occurrence later than this was missed; the zone of those that name none.
    "MISFIRE_GRACE_SECONDS": Setting(60, _number(1)),
    "TIME_ZONE": Setting(None, _optional(time_zone_problem)),
    # How long a finished job is kept.
    "SUCCEEDED_EXPIRES_SECONDS": Setting(86_400, _number(0)),
    "DELETED_EXPIRES_SECONDS": Setting(86_400, _number(0)),
    "FAILED_EXPIRES_SECONDS": Setting(90 * 86_400, _number(0)),
    # Time limits: None means none; who does not end within the grace period is killed.
    "TIMEOUT_SECONDS": Setting(None, _optional(_number(0.001))),
    "GRACE_SECONDS": Setting(5, _number(0, 86_400)),
    # Context managers put around every execution: dotted paths, the outermost first.
    "AROUND": Setting([], _paths),
    # What a job tells of itself: lines kept for each, and whether all that it logs is kept.
    "LOG_LINES": Setting(200, _whole(0, 10_000)),
    "KEEP_LOG": Setting(False, _boolean),
    # The dashboard: arguments with one of these words in their name are never shown.
    "MASKED_ARGUMENTS": Setting(
        [
            "password",
            "passwd",
            "passphrase",
            "pwd",
            "token",
            "secret",
            "key",
            "api_key",
            "apikey",
            "authorization",
            "credential",
            "cookie",
            "session_id",
            "sessionid",
            "otp",
            "pin",
            "cvv",
            "cvc",
            "card_number",
        ],
        _words,
    ),
    # Functions without @job that may be run by form nevertheless: dotted paths.
    "DASHBOARD_FUNCTIONS": Setting([], _paths),
    # How long the counters of the statistics are kept (at least three days).
    "COUNTERS_EXPIRE_SECONDS": Setting(365 * 86_400, _number(3 * 86_400)),
    # Servers prove that they live, and are given up when they don't.
    "HEARTBEAT_SECONDS": Setting(5, _number(0.1, 3600)),
    "SERVER_TIMEOUT_SECONDS": Setting(30, _number(0.5, 86_400)),
    "PULSE_TIMEOUT_SECONDS": Setting(15, _number(1, 3600)),
    "RECONCILE_SECONDS": Setting(5, _number(0.1, 3600)),
    # Stopping: how long running jobs may go on before they are given back.
    "SHUTDOWN_SECONDS": Setting(30, _number(0)),
    # Wake-up: PostgreSQL's NOTIFY, and the polling that stays correct without it.
    "NOTIFY": Setting(True, _boolean),
    # Default: 2 where servers are notified, else 1.
    "POLL_SECONDS": Setting(None, _optional(_number(0.01, 5))),
    # Recycling of workers; None means never.
    "RECYCLE_JOBS": Setting(None, _optional(_whole(1))),
    "MAX_RSS_KB": Setting(None, _optional(_whole(1))),
}

#: The keys of `settings.Q_CLUSTER` that django-q2 1.11 knows.
Q_CLUSTER_KEYS = frozenset(
    [
        "ack_failures",
        "ALT_CLUSTERS",
        "broker_class",
        "bulk",
        "cache",
        "cached",
        "catch_up",
        "cluster_name",
        "compress",
        "cpu_affinity",
        "daemonize_workers",
        "django_redis",
        "error_reporter",
        "guard_cycle",
        "iron_mq",
        "label",
        "log_level",
        "max_attempts",
        "max_rss",
        "mongo",
        "mongo_db",
        "name",
        "orm",
        "poll",
        "prefix",
        "queue_limit",
        "recycle",
        "redis",
        "retry",
        "save_limit",
        "save_limit_per",
        "scheduler",
        "sqs",
        "sync",
        "testing",
        "time_zone",
        "timeout",
        "workers",
    ]
)

#: Keys of `settings.Q_CLUSTER` whose value is looked at: those we read, and those on which
#: django-q2 itself would stumble while Django loads the apps.
Q_CLUSTER_VALUES: dict[str, Validator] = {
    "name": _text,
    "workers": _optional(_whole(1, 1000)),
    "recycle": _optional(_whole(0)),
    "max_rss": _optional(_whole(1)),
    "timeout": _optional(_whole(1)),
    "retry": _whole(1),
    "error_reporter": lambda v: None if isinstance(v, Mapping) else "must be a dict",
    "time_zone": time_zone_problem,
    "log_level": lambda v: (
        None
        if v in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
        else "must be DEBUG, INFO, WARNING, ERROR or CRITICAL"
    ),
}

#: `settings.JOBS` name ← `settings.Q_CLUSTER` key, for what both can say.
_FROM_Q_CLUSTER = {
    "NAME": "name",
    "WORKERS": "workers",
    "RECYCLE_JOBS": "recycle",
    "MAX_RSS_KB": "max_rss",
    "TIMEOUT_SECONDS": "timeout",
    "TIME_ZONE": "time_zone",
}


@dataclass(frozen=True)
class Problem:
    """Something wrong in the settings: which setting and key, what, and the remedy."""

    setting: str
    key: str
    message: str
    hint: str


def _section(name: str) -> Any:
    return getattr(settings, name, {})


def jobs_problems() -> Iterator[Problem]:
    """Yield what is wrong in `settings.JOBS`."""
    given = _section("JOBS")
    if not isinstance(given, Mapping):
        yield Problem("JOBS", "", "JOBS must be a dict.", "Write JOBS = {…} in the settings.")
        return
    for key, value in given.items():
        if key not in SETTINGS:
            yield _unknown("JOBS", key, SETTINGS)
        elif problem := SETTINGS[key].problem(value):
            yield _wrong("JOBS", key, value, problem, SETTINGS[key].default)
    if not any(True for key in ("HEARTBEAT_SECONDS", "SERVER_TIMEOUT_SECONDS") if key in given):
        return
    beat, limit = conf.HEARTBEAT_SECONDS, conf.SERVER_TIMEOUT_SECONDS
    if isinstance(beat, (int, float)) and isinstance(limit, (int, float)) and limit < 2 * beat:
        yield Problem(
            "JOBS",
            "SERVER_TIMEOUT_SECONDS",
            f"JOBS['SERVER_TIMEOUT_SECONDS'] is {limit}, less than two heartbeats of {beat} s: "
            "living servers would be given up.",
            "Make it at least twice JOBS['HEARTBEAT_SECONDS'].",
        )


def q_cluster_problems() -> Iterator[Problem]:
    """Yield what is wrong in `settings.Q_CLUSTER`, as it was before it was mended."""
    yield from _mended or _q_cluster_problems(_section("Q_CLUSTER"))


def mend_q_cluster() -> None:
    """Take the wrong entries out of `settings.Q_CLUSTER` and remember them for the check.

    django-q2 works with these values while Django loads the apps, and dies there with an error
    that names neither key nor remedy. Called before that happens; `q_cluster_problems` still
    reports what was taken out, and with it `qcluster` refuses to start.
    """
    given = _section("Q_CLUSTER")
    problems = list(_q_cluster_problems(given))
    if problems:
        _mended[:] = problems
        bad = {problem.key for problem in problems}
        given = given if isinstance(given, Mapping) else {}
        settings.Q_CLUSTER = {key: value for key, value in given.items() if key not in bad}


_mended: list[Problem] = []


def _q_cluster_problems(given: Any) -> Iterator[Problem]:
    if not isinstance(given, Mapping):
        yield Problem("Q_CLUSTER", "", "Q_CLUSTER must be a dict.", "Write Q_CLUSTER = {…}.")
        return
    for key, value in given.items():
        if key not in Q_CLUSTER_KEYS:
            yield _unknown("Q_CLUSTER", key, Q_CLUSTER_KEYS)
        elif key in Q_CLUSTER_VALUES and (problem := Q_CLUSTER_VALUES[key](value)):
            yield _wrong("Q_CLUSTER", key, value, problem, None)


def _unknown(setting: str, key: Any, known: Any) -> Problem:
    close = difflib.get_close_matches(str(key).upper(), {k.upper(): k for k in known}, 1)
    spelled = {k.upper(): k for k in known}
    hint = (
        f"Did you mean {spelled[close[0]]!r}?" if close else f"Known: {', '.join(sorted(known))}."
    )
    return Problem(setting, str(key), f"{setting} has the unknown key {key!r}.", hint)


def _wrong(setting: str, key: str, value: Any, problem: str, default: Any) -> Problem:
    hint = (
        f"Correct it or leave it out (default: {default!r})."
        if default is not None
        else ("Correct it or leave it out.")
    )
    return Problem(setting, key, f"{setting}[{key!r}] is {shown(value)}, but it {problem}.", hint)


def _is_said(name: str, value: Any) -> bool:
    """Whether `value` is more than an empty place: None is a value where it is allowed."""
    return value is not None or SETTINGS[name].problem(None) is None


#: What a setting is when nobody says.
def _poll_seconds() -> float:
    from .wakeup import can_notify

    return 2.0 if can_notify(conf.DATABASE) else 1.0


_DERIVED: dict[str, Callable[[], Any]] = {
    "POLL_SECONDS": _poll_seconds,
    "WORKERS": lambda: os.cpu_count() or 4,
    "TIME_ZONE": lambda: settings.TIME_ZONE or "UTC",
}


class Conf:
    """The settings in force, as attributes: `conf.HEARTBEAT_SECONDS`."""

    DATABASE: str
    DEFAULT_QUEUE: str
    QUEUES: list[str] | None
    NAME: str
    WORKERS: int
    MAX_RETRIES: int
    RETRY_DELAYS: list[float] | None
    WHEN_EXHAUSTED: str
    MAX_CRASHES: int
    MISSING_FUNCTION_RETRY_SECONDS: float
    MISSING_FUNCTION_FAIL_SECONDS: float
    TIMEOUT_SECONDS: float | None
    GRACE_SECONDS: float
    AROUND: list[str]
    LOG_LINES: int
    KEEP_LOG: bool
    MASKED_ARGUMENTS: list[str]
    DASHBOARD_FUNCTIONS: list[str]
    MISFIRE_GRACE_SECONDS: float
    TIME_ZONE: str
    SUCCEEDED_EXPIRES_SECONDS: float
    DELETED_EXPIRES_SECONDS: float
    FAILED_EXPIRES_SECONDS: float
    COUNTERS_EXPIRE_SECONDS: float
    HEARTBEAT_SECONDS: float
    SERVER_TIMEOUT_SECONDS: float
    PULSE_TIMEOUT_SECONDS: float
    RECONCILE_SECONDS: float
    SHUTDOWN_SECONDS: float
    NOTIFY: bool
    POLL_SECONDS: float
    RECYCLE_JOBS: int | None
    MAX_RSS_KB: int | None

    def __getattr__(self, name: str) -> Any:
        if name not in SETTINGS:
            raise AttributeError(f"no setting named {name!r}")
        value = self._read(name)
        setattr(self, name, value)
        return value

    def _read(self, name: str) -> Any:
        given, q_cluster = _section("JOBS"), _section("Q_CLUSTER")
        key, value = _FROM_Q_CLUSTER.get(name), SETTINGS[name].default
        if isinstance(given, Mapping) and name in given and _is_said(name, given[name]):
            value = given[name]
        elif key and isinstance(q_cluster, Mapping) and q_cluster.get(key):
            value = q_cluster[key]
        if value is None and name in _DERIVED:
            return _DERIVED[name]()
        return value

    def forget(self) -> None:
        """Read every setting anew when it is next asked for."""
        self.__dict__.clear()


conf = Conf()


def _on_setting_changed(*, setting: str, **kwargs: Any) -> None:
    if setting in ("JOBS", "Q_CLUSTER", "TIME_ZONE"):
        conf.forget()


setting_changed.connect(_on_setting_changed, dispatch_uid=f"{__name__}.forget")
