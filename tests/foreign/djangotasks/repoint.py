"""Django's test classes, changed at run time: other backends, and a database."""

from __future__ import annotations

import unittest
from importlib import import_module
from typing import Any

import django.test
from django.test import SimpleTestCase, TransactionTestCase

from . import BACKENDS

MODULES = ("test_tasks", "test_dummy_backend", "test_immediate_backend", "test_custom_backend")


class Repointed(django.test.override_settings):
    """`override_settings` that names our backends for Django's."""

    def __init__(self, **settings: Any) -> None:
        for params in settings.get("TASKS", {}).values():
            params["BACKEND"] = BACKENDS.get(params["BACKEND"], params["BACKEND"])
        super().__init__(**settings)


def suite() -> unittest.TestSuite:
    """Return the tests."""
    found = unittest.TestSuite()
    theirs, django.test.override_settings = django.test.override_settings, Repointed
    try:
        modules = [import_module(f"tasks.{name}") for name in MODULES]
    finally:
        django.test.override_settings = theirs
    for module in modules:
        for case in vars(module).values():
            if _is_case(case) and case.__module__ == module.__name__:
                found.addTests(unittest.defaultTestLoader.loadTestsFromTestCase(_stored(case)))
    return found


def _is_case(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, SimpleTestCase)


def _stored(case: type[SimpleTestCase]) -> type[SimpleTestCase]:
    """Return a test class that may use the database, and empties it."""
    bases = (case,) if issubclass(case, TransactionTestCase) else (case, TransactionTestCase)
    # Only what ours has written need be emptied.
    return type(case.__name__, bases, {"available_apps": ["jobs"], "__module__": case.__module__})


def name_of(test: Any) -> str:
    """Return module.Class.test, for a subtest that of its test."""
    test = getattr(test, "test_case", test)
    return test.id().removeprefix("tasks.")
