"""`python -m benchmarks` (make bench): measure, and write docs/benchmarks.md.

Every system once, then every system again, so that what else the machine does meets all alike.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from . import report, results, stores
from .harness import Contender, Failed, adopt_orphans
from .measures import MEASURES
from .measures.base import Case, Measure, Plan
from .systems import SYSTEMS

SERVERS = (
    "postgres://postgres@127.0.0.1:5432/bench",
    "mysql://root@127.0.0.1:3306/bench",
)


class Bench:
    """One session: which stores there are, what runs on them, and the results."""

    def __init__(self, arguments: argparse.Namespace, folder: Path, urls: list[str]) -> None:
        self.plan = Plan(arguments.level)
        self.session = datetime.now(UTC).isoformat(timespec="seconds")
        self.systems = arguments.systems or list(SYSTEMS)
        self.file = arguments.results
        self.folder = folder
        self.urls = urls
        self._about: dict[tuple[str, str], dict[str, Any]] = {}

    def take(self, measure: Measure, runs: int) -> None:
        if runs < 1:
            return
        turns = [(c, case) for case in measure.cases(self.plan) for c in self.contenders(case)]
        for run in range(runs):
            for contender, case in turns:
                self._take(measure, contender, case, run)

    def contenders(self, case: Case) -> Iterator[Contender]:
        for url in self.urls:
            for name in case.systems:
                entry, store = SYSTEMS[name], stores.kind(url)
                if name in self.systems and store in (case.stores or entry.stores):
                    yield Contender(entry, url, self.folder)

    def _take(self, measure: Measure, contender: Contender, case: Case, run: int) -> None:
        name, store = contender.entry.name, contender.store
        row: dict[str, Any] = {
            "session": self.session,
            "measure": measure.name,
            "system": name,
            "store": store,
            "label": case.label,
            "run": run,
            "machine": _machine(),
        }
        began, busy = time.monotonic(), _busy()
        try:
            about = self._describe(contender)
            row |= {key: about[key] for key in ("versions", "durability")}
            row["server"] = about["version"]
            row |= measure.run(contender, **case.parameters)
        except (Failed, AssertionError) as error:
            row["error"] = str(error).replace(str(self.folder), "")[:300]
        row["seconds_taken"] = round(time.monotonic() - began, 1)
        row["others"] = _others(busy, time.monotonic() - began)
        results.append(row, self.file)
        self._say(measure, row)

    def _describe(self, contender: Contender) -> dict[str, Any]:
        """Return versions and settings; what can't be loaded fails here each time, and quickly."""
        key = contender.entry.name, contender.store
        if key not in self._about:
            try:
                self._about[key] = contender.step("describe", timeout=60)
            except Failed as failed:
                self._about[key] = {"failed": str(failed)}
        if "failed" in self._about[key]:
            raise Failed(self._about[key]["failed"])
        return self._about[key]

    def _say(self, measure: Measure, row: dict[str, Any]) -> None:
        found = [
            f"{column.title} {row[column.key]:,.{column.digits}f}"
            for column in measure.columns
            if isinstance(row.get(column.key), (int, float))
        ]
        said = row.get("error") or ", ".join(found) or "nothing"
        where = f"{row['system']} {row['store']} {row['label']}".strip()
        print(f"{measure.name} {row['run'] + 1}: {where}: {said}", flush=True)


def _machine() -> str:
    gib = psutil.virtual_memory().total / (1 << 30)
    cores = psutil.cpu_count()
    return f"{cores} cores, {gib:.0f} GiB, {platform.system()}, Python {platform.python_version()}"


def _busy() -> tuple[float, float]:
    """Return CPU seconds of the whole machine, and of servers and ourselves, so far."""
    times: Any = psutil.cpu_times()
    total = times.user + times.nice + times.system
    return total, sum(os.times()[:4]) + _servers()


def _servers() -> float:
    used = 0.0
    for process in psutil.process_iter(["name"]):
        if (process.info["name"] or "").startswith(("postgres", "mariadbd", "mysqld", "redis-ser")):
            try:
                times: Any = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            used += times.user + times.system + times.children_user + times.children_system
    return used


def _others(before: tuple[float, float], elapsed: float) -> float:
    """Return how many cores others used since `before`: the noise of a measurement."""
    total, ours = (now - then for now, then in zip(_busy(), before, strict=True))
    return round(max(0.0, (total - ours) / elapsed), 2)


def parse(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench", description="Measures Bonfire beside other systems."
    )
    parser.add_argument(
        "--quick",
        dest="level",
        action="store_const",
        const="quick",
        default="usual",
        help="one run of small sizes, in some minutes",
    )
    parser.add_argument(
        "--full", dest="level", action="store_const", const="full", help="with the slow cases"
    )
    parser.add_argument("--only", default="", help=f"some of {','.join(MEASURES)}")
    parser.add_argument("--skip", default="", help="measures to leave out")
    parser.add_argument("--systems", default="", help=f"some of {','.join(SYSTEMS)}")
    parser.add_argument(
        "--database",
        action="append",
        default=[],
        help="URL of a database that will be emptied, named bench…; repeatable; 'sqlite' for a file "
        f"of its own. Default: sqlite and, if they answer, {' and '.join(SERVERS)}",
    )
    parser.add_argument("--runs", type=int, help="default: 3, quick: 1")
    parser.add_argument("--results", type=Path, default=results.FILE)
    parser.add_argument("--no-report", action="store_true", help="leave docs/benchmarks.md alone")
    arguments = parser.parse_args(words)
    arguments.only, arguments.skip, arguments.systems = (
        [name for name in text.split(",") if name]
        for text in (arguments.only, arguments.skip, arguments.systems)
    )
    if wrong := [name for name in arguments.only + arguments.skip if name not in MEASURES]:
        parser.error(f"no such measure: {', '.join(wrong)}")
    if wrong := [name for name in arguments.systems if name not in SYSTEMS]:
        parser.error(f"no such system: {', '.join(wrong)}")
    return arguments


def _urls(arguments: argparse.Namespace, folder: Path, redis: str | None) -> Iterator[str]:
    for url in [*(arguments.database or ["sqlite", *SERVERS]), *([redis] if redis else [])]:
        if url == "sqlite":
            url = f"sqlite:///{folder / 'bench.sqlite3'}"
        if reason := stores.why_not(url):
            print(f"NOT RUN on {stores.kind(url)}: {reason}")
            if url in arguments.database:
                sys.exit(1)
        else:
            yield url
    if redis is None:
        print("NOT RUN on Redis: there is no redis-server")


def main() -> None:
    arguments = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    adopt_orphans()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        redis = stack.enter_context(stores.redis_server(folder))
        bench = Bench(arguments, folder, list(_urls(arguments, folder, redis)))
        for name, measure in MEASURES.items():
            if name in (arguments.only or MEASURES) and name not in arguments.skip:
                bench.take(measure, arguments.runs or (1 if bench.plan.quick else 3))
    if not arguments.no_report:
        report.write(results.Results.read(arguments.results))
        print(f"written: {report.PAGE}")


if __name__ == "__main__":
    main()
