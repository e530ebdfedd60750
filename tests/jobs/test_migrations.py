"""Models and migrations agree, and suit each database."""

import pytest
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.utils import ConnectionHandler

from jobs.models import Job


@pytest.mark.django_db
def test_no_migration_is_missing():
    call_command("makemigrations", "jobs", check=True, dry_run=True, verbosity=0)


def test_no_unique_constraint_is_over_what_may_be_null():
    """On SQL Server two NULLs are equal, but for `unique` and `unique_together`."""
    for model in apps.get_app_config("jobs").get_models():
        for constraint in model._meta.constraints:
            if isinstance(constraint, models.UniqueConstraint):
                for name in constraint.fields:
                    assert not model._meta.get_field(name).null, (model, constraint)


def test_on_sql_server_any_number_of_jobs_may_have_no_occurrence(monkeypatch):
    databases = {"default": {"ENGINE": "mssql", "NAME": "never asked"}}
    try:
        connection = ConnectionHandler(databases)["default"]
    except ImproperlyConfigured as error:
        pytest.skip(f"without mssql-django and an ODBC driver manager: {error}")
    monkeypatch.setattr(type(connection), "sql_server_version", 2022)
    monkeypatch.setattr(type(connection), "to_azure_sql_db", False)
    loader = MigrationLoader(None)
    state = loader.project_state(("jobs", "0001_initial"))
    editor = connection.schema_editor(collect_sql=True, atomic=False)
    editor.deferred_sql = []
    operations = loader.disk_migrations["jobs", "0001_initial"].operations
    [unique] = [o for o in operations if isinstance(o, migrations.AlterUniqueTogether)]

    editor.alter_unique_together(
        state.apps.get_model("jobs", Job.__name__), set(), unique.option_value
    )

    [sql] = editor.collected_sql
    assert "WHERE [recurring_job_id] IS NOT NULL AND [occurrence] IS NOT NULL" in sql
