"""Models and migrations agree, and suit each database."""

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import models


@pytest.mark.django_db
def test_no_migration_is_missing():
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_no_unique_constraint_is_over_what_may_be_null():
    """On SQL Server two NULLs are equal, but for `unique` and `unique_together`."""
    for model in apps.get_app_config("jobs").get_models():
        for constraint in model._meta.constraints:
            if isinstance(constraint, models.UniqueConstraint):
                for name in constraint.fields:
                    assert not model._meta.get_field(name).null, (model, constraint)
