"""The package can be shipped under another name: see docs/decisions/0001-package-name.md."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import django

from tests.cluster import ROOT

SETTINGS = """
USE_TZ = True
INSTALLED_APPS = ["django.contrib.contenttypes", "twelveletter", "django_q"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "jobs.sqlite3"}}
TASKS = {"default": {"BACKEND": "twelveletter.backends.JobsBackend"}}
"""
CHORES = """
import twelveletter
from {framework} import task

@twelveletter.job(max_retries=0)
@task
def sweep(rooms):
    return rooms * 2
"""
STORY = """
import django
django.setup()
from django.core.management import call_command
call_command("makemigrations", "twelveletter", verbosity=0)
call_command("migrate", verbosity=0)
call_command("check", fail_level="ERROR")
import twelveletter
from twelveletter.testing import drain
job = twelveletter.enqueue("builtins.len", [1, 2, 3])
drain()
job.refresh_from_db()
from chores import sweep
result = sweep.enqueue(2)
drain()
result.refresh()
print(job._meta.db_table, job.state, job.result, result.return_value)
"""


def test_a_renamed_package_works_with_a_migration_made_anew(tmp_path: Path) -> None:
    renamed = tmp_path / "twelveletter"
    shutil.copytree(ROOT / "jobs", renamed, ignore=shutil.ignore_patterns("0*.py", "__pycache__"))
    tmp_path.joinpath("plain_settings.py").write_text(SETTINGS)
    framework = "django.tasks" if django.VERSION >= (6, 0) else "django_tasks"
    tmp_path.joinpath("chores.py").write_text(CHORES.format(framework=framework))
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "plain_settings"}

    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", STORY],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )

    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines()[-1] == "twelveletter_job succeeded 3 4"
