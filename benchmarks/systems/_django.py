"""What the systems that live in Django share."""

from __future__ import annotations

import os
import sys

import django

from .. import stores
from . import System

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.settings")
django.setup()

MANAGE = [sys.executable, "manage.py"]


class DjangoSystem(System):
    def reset(self) -> None:
        from django.core.management import call_command
        from django.db import connection

        connection.close()
        stores.empty(self.url)
        call_command("migrate", verbosity=0)
