"""Open every page there as an administrator, and print what came as JSON."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import django
from django.core.management import call_command
from django.test import Client
from django.urls import reverse


def main() -> dict[str, Any]:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.stock.settings"
    django.setup()
    from django.contrib.auth.models import User

    from tests.dashboard.addresses import name_of, opened

    call_command("migrate", verbosity=0)
    call_command("check", fail_level="WARNING")
    from tests.dashboard.world import make  # of functions that are no business of that project

    client = Client(raise_request_exception=False)
    client.force_login(User.objects.create_superuser("root", "root@example.com", "x"))
    world, found = make(), {}
    for route, args, query in opened(world):
        url = reverse(f"admin:jobs_{name_of(route)}", args=args) + query
        answer = client.get(url, follow=True)
        kind = answer.headers["Content-Type"].partition(";")[0]
        text = answer.content.decode() if kind == "text/html" else ""
        found[url] = [name_of(route), answer.status_code, text]
    return {"pages": found, "index": client.get("/back-office/").content.decode()}


if __name__ == "__main__":
    json.dump(main(), sys.stdout)
