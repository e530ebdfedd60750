"""Which functions may be run by form: those meant as jobs, and nothing else that is importable."""

from __future__ import annotations

import sys

from django.apps import apps
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext as _

from ..conf import conf
from ..decorators import JobFunction, declared
from ..exceptions import InvalidFunction
from ..functions import path_of, resolve_for_enqueue


def refusal(path: str) -> str:
    """Return why the function at `path` may not be run by form, or "" if it may.

    It may when it is declared with `@job` (or as a task of Django's), or listed in
    `JOBS["DASHBOARD_FUNCTIONS"]`. Nothing outside of the installed apps is imported to find out.
    """
    listed = path in conf.DASHBOARD_FUNCTIONS
    if not listed and not _is_within_reach(path):
        return _not_offered(path)
    try:
        target = resolve_for_enqueue(path)
    except InvalidFunction as error:
        return str(error)
    return "" if listed or isinstance(target, JobFunction) else _not_offered(path)


def is_offered(path: str) -> bool:
    """Whether the function at `path` may be run by form."""
    return not refusal(path)


def names() -> list[str]:
    """Return the dotted paths of the functions that may be run by form, in order.

    Declared ones are found in modules imported so far, and in `jobs` and `tasks` of each app.
    """
    autodiscover_modules("jobs", "tasks")
    found = set(conf.DASHBOARD_FUNCTIONS)
    for function in declared():
        try:
            path = path_of(function)
        except InvalidFunction:  # such as one that a test declared within itself
            continue
        if not refusal(path):
            found.add(path)
    return sorted(found)


def _not_offered(path: str) -> str:
    return _(
        "%(path)s is not offered: only functions declared with @job, or listed in "
        'JOBS["DASHBOARD_FUNCTIONS"], can be run by form.'
    ) % {"path": path}


def _is_within_reach(path: str) -> bool:
    module = path.rpartition(".")[0]
    if module in sys.modules:
        return True
    return any(f"{module}.".startswith(f"{config.name}.") for config in apps.get_app_configs())
