"""`python -m benchmarks.pages`: what each page of the dashboard costs the server.

Fills the database (see `seeding`; it is kept, and must be one for this alone), then asks for each
page of the dashboard's table of routes as a superuser, whole and as an open page's update does.
Prints a table in Markdown; exit status 1 when a floor is missed.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

REQUESTS = 30
STATEMENTS = 15
LIVE_MS = 20.0
#: For a page's p95, by vendor; the others are held to the larger.
PAGE_MS = {"postgresql": 100.0}
PAGE_MS_ELSEWHERE = 150.0
USER = "bench@bonfire.example"

_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")


@dataclass
class Figures:
    """What one address cost: milliseconds of each request, statements, bytes."""

    status: int
    cold: float
    times: list[float]
    statements: int
    size: int

    @property
    def p50(self) -> float:
        return statistics.median(self.times)

    @property
    def p95(self) -> float:
        return statistics.quantiles(self.times, n=20, method="inclusive")[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", required=True, help="the URL of one for this alone")
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--failures", type=int, default=3_000)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--only", default="", help="addresses that contain this text")
    args = parser.parse_args()
    _set_up(args.database)
    from . import seeding

    seeding.seed(args.jobs, args.failures, say=lambda text: print(text, file=sys.stderr))
    sys.exit(0 if _measure_all(args) else 1)


def _set_up(url: str) -> None:
    os.environ |= {"READ_DOT_ENV": "0", "DEBUG": "0", "SECRET_KEY": "bench" * 10}
    os.environ |= {"ALLOWED_HOSTS": "testserver", "DATABASE_URL": url}
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


def _measure_all(args: argparse.Namespace) -> bool:
    from django.contrib.auth import get_user_model
    from django.db import connection
    from django.test import Client

    users: Any = get_user_model().objects
    user = users.filter(email=USER).first() or users.create_superuser(USER, "bench")
    client = Client(raise_request_exception=False)
    client.force_login(user)
    limit = PAGE_MS.get(connection.vendor, PAGE_MS_ELSEWHERE)
    print(f"{args.jobs:,} jobs, {args.failures:,} failures, {connection.vendor}; milliseconds")
    print()
    print("| page | first | p50 | p95 | statements | KiB | live p50 | live p95 | |")
    print("|---|---|---|---|---|---|---|---|---|")
    good = True
    for url in addresses():
        if args.only in url:
            whole = measure(client, url, args.requests)
            live = None
            if (whole.status == 200 and url.endswith("/")) or "/?" in url:
                live = measure(client, url, args.requests, {"HX-Request": "true"})
            missed = misses(whole, live, limit)
            print(row(url, whole, live, missed), flush=True)
            good = good and not missed
    return good


def addresses() -> Iterator[str]:
    """Yield the address of each page of the table of routes, with arguments that exist."""
    from django.contrib import admin

    from jobs.dashboard.pages import address
    from jobs.dashboard.routes import ROUTES

    for route in ROUTES:
        if "GET" not in route.methods:
            continue
        label = route.model._meta.model_name
        for arguments in _arguments(route):
            for query in _queries(route.name):
                yield address(admin.site, f"{label}_{route.name}", *arguments, **query)


def _arguments(route: Any) -> list[list[Any]]:
    """Return values for the parameters in a route's address: each state, else a row's key."""
    from jobs.models import Job
    from jobs.states import State

    names = _PARAMETER.findall(route.path)
    if not names:
        return [[]]
    if names == ["state"]:
        return [[state] for state in State]
    rows = route.model._default_manager.order_by("-pk")
    if route.model is Job:
        rows = rows.filter(state=State.FAILED)
    key = rows.values_list("pk", flat=True).first()
    return [[key for _name in names]] if key is not None else []


def _queries(name: str) -> list[dict[str, str]]:
    """Return what to ask of a page beside its plain address: what it shows when it has more to do."""
    if name == "failures":
        return [{}, {"group": f"{0:032x}"}, {"q": "error", "sort": "latest"}]
    return [{}]


def measure(client: Any, url: str, requests: int, headers: dict[str, str] | None = None) -> Figures:
    """Ask for `url` so often; the first time with nothing known, then as it comes."""
    from django.db import connection

    from jobs.dashboard import metrics

    counts: list[int] = []

    def count(execute: Any, *args: Any) -> Any:
        counts[-1] += 1
        return execute(*args)

    def ask() -> tuple[float, Any]:
        counts.append(0)
        began = time.perf_counter()
        answer = client.get(url, secure=True, headers=headers)
        return 1000 * (time.perf_counter() - began), answer

    with connection.execute_wrapper(count):
        ask()  # templates and modules are read once in a process's life
        metrics.forget()
        cold, answer = ask()
        times = [ask()[0] for _ in range(requests)]
    size = len(answer.content) if not answer.streaming else 0
    return Figures(answer.status_code, cold, times, max(counts[1:]), size)


def misses(whole: Figures, live: Figures | None, limit: float) -> list[str]:
    """Return which floors an address misses."""
    found = []
    if whole.status not in (200, 302):
        found.append(f"status {whole.status}")
    if whole.p95 > limit:
        found.append(f"p95 > {limit:g}")
    if live and live.p95 > LIVE_MS:
        found.append(f"live p95 > {LIVE_MS:g}")
    if max(whole.statements, live.statements if live else 0) > STATEMENTS:
        found.append(f"> {STATEMENTS} statements")
    return found


def row(url: str, whole: Figures, live: Figures | None, missed: list[str]) -> str:
    updates = f"{live.p50:.1f} | {live.p95:.1f}" if live else "– | –"
    return (
        f"| {url} | {whole.cold:.1f} | {whole.p50:.1f} | {whole.p95:.1f} | {whole.statements} "
        f"| {whole.size / 1024:.1f} | {updates} | {', '.join(missed)} |"
    )


if __name__ == "__main__":
    main()
