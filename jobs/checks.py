"""System checks: what is wrong in the project's settings, and the remedy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import django
from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections
from django.utils.connection import ConnectionDoesNotExist

from .bridge import other_broker
from .conf import SETTINGS, conf, jobs_problems, q_cluster_problems
from .decorators import declared_atomic
from .exceptions import InvalidFunction
from .functions import resolve, resolve_for_enqueue

LABEL = "jobs"  # only the prefix of the checks' ids


@register
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """E001: JOBS. E002: Q_CLUSTER. E003: app order. E004: USE_TZ. E005, W001: the database.

    E006: atomic jobs on a database with one writer. E007: AROUND. W002: django-q2's broker.
    E008, W003: TASKS, see `backends`. E009: DASHBOARD_FUNCTIONS.
    """
    messages: list[CheckMessage] = []
    for problem in jobs_problems():
        messages.append(Error(problem.message, hint=problem.hint, id=f"{LABEL}.E001"))
    for problem in q_cluster_problems():
        messages.append(Error(problem.message, hint=problem.hint, id=f"{LABEL}.E002"))
    messages += _check_apps()
    if not settings.USE_TZ:
        messages.append(
            Error(
                "USE_TZ is False: due times would be ambiguous when clocks change.",
                hint="Set USE_TZ = True.",
                id=f"{LABEL}.E004",
            )
        )
    messages += _check_database()
    messages += _check_around()
    messages += _check_dashboard_functions()
    messages += _check_broker()
    messages += _check_tasks()
    return messages


def _check_apps() -> Iterator[CheckMessage]:
    own = apps.get_containing_app_config(__name__)
    names = [config.name for config in apps.get_app_configs()]
    if own is None:
        return
    if "django_q" not in names:
        yield Error(
            "django_q is not in INSTALLED_APPS; its cluster runs the workers.",
            hint=f"Add 'django_q' after '{own.name}'.",
            id=f"{LABEL}.E003",
        )
    elif names.index("django_q") < names.index(own.name):
        yield Error(
            f"'django_q' stands before '{own.name}' in INSTALLED_APPS: its own qcluster command "
            "would start, and no job would run.",
            hint=f"Put '{own.name}' before 'django_q'.",
            id=f"{LABEL}.E003",
        )


def _check_database() -> Iterator[CheckMessage]:
    if SETTINGS["DATABASE"].problem(conf.DATABASE):
        return  # reported as E001
    try:
        connection = connections[conf.DATABASE]
    except ConnectionDoesNotExist:
        yield Error(
            f"JOBS['DATABASE'] is {conf.DATABASE!r}, which is not in DATABASES.",
            hint=f"Name one of {', '.join(connections)}; the default is {DEFAULT_DB_ALIAS!r}.",
            id=f"{LABEL}.E005",
        )
        return
    zone = connection.settings_dict.get("TIME_ZONE")
    if not connection.features.supports_timezones and zone not in (None, "UTC"):
        yield Error(
            f"DATABASES[{conf.DATABASE!r}]['TIME_ZONE'] is {zone!r}: the jobs' times are compared "
            "with the database's clock, which is read in UTC.",
            hint="Leave it out: Django stores UTC then.",
            id=f"{LABEL}.E005",
        )
    # No feature flag tells these settings of one database.
    if connection.vendor == "sqlite":
        options = connection.settings_dict.get("OPTIONS", {})
        if str(options.get("transaction_mode", "")).upper() != "IMMEDIATE":
            yield Warning(
                f"The SQLite database {conf.DATABASE!r} begins transactions in DEFERRED mode: "
                "under load they fail with 'database is locked'.",
                hint='Set OPTIONS = {"transaction_mode": "IMMEDIATE", "timeout": 20, '
                '"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL"}.',
                id=f"{LABEL}.W001",
            )
        # The only writer: while an atomic job runs, all others wait, so it must not run for long.
        busy = float(options.get("timeout", 5))
        for function in declared_atomic():
            limit = function.options.seconds_to_run()
            if limit is None or limit > busy / 2:
                yield Error(
                    f"{function!r} is atomic, and SQLite has one writer: everybody else waits "
                    f"while it runs, for at most {busy:g} s.",
                    hint=f"Give it a timeout of at most {busy / 2:g} s: @job(atomic=True, timeout=…).",
                    id=f"{LABEL}.E006",
                )


def _check_broker() -> Iterator[CheckMessage]:
    if key := other_broker():
        yield Warning(
            f"Q_CLUSTER[{key!r}] names a broker of django-q2's own: what async_task and schedule "
            "make goes there and becomes no job; only `qcluster --stock` works it.",
            hint="Take it out, and run `manage.py jobs_adopt` for what stands in the tables.",
            id=f"{LABEL}.W002",
        )


def _check_around() -> Iterator[CheckMessage]:
    if SETTINGS["AROUND"].problem(conf.AROUND):
        return  # reported as E001
    for path in conf.AROUND:
        try:
            resolve(path)
        except Exception as error:  # importing runs foreign code
            yield Error(
                f"JOBS['AROUND'] names {path!r}, which can't be used "
                f"({type(error).__name__}: {error}).",
                hint="Give the dotted path of a function that takes the current job and returns a "
                "context manager.",
                id=f"{LABEL}.E007",
            )


def _check_dashboard_functions() -> Iterator[CheckMessage]:
    if SETTINGS["DASHBOARD_FUNCTIONS"].problem(conf.DASHBOARD_FUNCTIONS):
        return  # reported as E001
    for path in conf.DASHBOARD_FUNCTIONS:
        try:
            resolve_for_enqueue(path)
        except InvalidFunction as error:
            yield Error(
                f"JOBS['DASHBOARD_FUNCTIONS'] names {path!r}, which can't be a job: {error}",
                hint="Give the dotted path of a function at the top level of a module.",
                id=f"{LABEL}.E009",
            )


def _check_tasks() -> Iterator[CheckMessage]:
    """Only what hinders the backend's own check: before Django 6 nobody else reads TASKS."""
    given = getattr(settings, "TASKS", None)
    named = [
        params.get("BACKEND")
        for params in (given.values() if isinstance(given, Mapping) else ())
        if isinstance(params, Mapping)
    ]
    own = f"{__package__}.backends"
    if not any(str(path).startswith(f"{own}.") for path in named):
        return
    try:
        import_module(own)
    except ImproperlyConfigured as error:
        yield Error(
            f"TASKS names a backend of {own}, which can't be used: {error}",
            hint="Install it, or take the backend out of TASKS.",
            id=f"{LABEL}.E008",
        )
        return
    if django.VERSION < (6, 0) and not apps.is_installed("django_tasks"):
        yield Warning(
            "django_tasks is not in INSTALLED_APPS: nothing checks TASKS.",
            hint="Add 'django_tasks' to INSTALLED_APPS.",
            id=f"{LABEL}.W003",
        )
