"""`make chaos`: the suite, once for each database of TEST_DATABASE_URLS.

`--short`: in the form for CI, which leaves docs/reliability.md alone. Other arguments are
pytest's; with `-k` or the like, only the figures that were measured are replaced on that page.
In the long form, tests that measure no times run on all databases at once: they mostly wait.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from subprocess import Popen
from typing import Any
from urllib.parse import urlsplit

from tests.run import AT_ONCE, missing

from . import report
from .figures import Run

NOT_ALONE, ALONE = ("-m", "not alone"), ("-m", "alone")
#: pytest's exit status when no test was selected.
NOTHING_RAN = 5


def pytest(url: str, *arguments: str, results: Path | None = None, **options: Any) -> Popen[str]:
    """Start the tests with the database at `url`; `results`: long form, its figures go there."""
    env = {**os.environ, "CHAOS": "long" if results else "short"}
    env.pop("TEST_DATABASE_URL", None)
    if results:
        env["CHAOS_RESULTS"] = str(results)
    if url != "sqlite":
        env["TEST_DATABASE_URL"] = url
    command = [sys.executable, "-m", "pytest", "tests/chaos", "--durations=5", *arguments]
    return Popen(command, env=env, text=True, **options)


def worst(codes: Iterable[int]) -> int:
    """Return the exit status that says most; one that a signal ended has a negative one."""
    return max(codes, key=abs, default=0)


def short(urls: list[str], arguments: list[str]) -> dict[str, int]:
    """Run the form for CI, whose figures only have to hold; return the status by database."""
    stages = [()] if arguments else [(*NOT_ALONE, *AT_ONCE), ALONE]
    return {url: worst(pytest(url, *arguments, *stage).wait() for stage in stages) for url in urls}


def long(urls: list[str], arguments: list[str], folder: Path) -> dict[str, int]:
    """Run the whole suite and bring the page up to date; return the status by database."""
    status = dict.fromkeys(urls, 0)
    found: dict[str, list[Run]] = {url: [] for url in urls}

    def done(url: str, code: int, results: Path) -> None:
        if code == NOTHING_RAN and arguments:
            return
        status[url] = worst([status[url], code])
        if results.exists() and code in (0, 1):  # not one that was broken off
            found[url].append(Run.load(results))
            report.write([Run.joined(found[url])], whole=not arguments)

    started = {}
    for number, url in enumerate(urls):
        results, output = folder / f"{number}.json", (folder / f"{number}.txt").open("w+")
        process = pytest(
            url, *arguments, *NOT_ALONE, results=results, stdout=output, stderr=subprocess.STDOUT
        )
        started[url] = process, output, results
    for url, (process, output, results) in started.items():
        code = process.wait()
        output.seek(0)
        print(output.read(), flush=True)  # noqa: T201
        output.close()
        done(url, code, results)
    for number, url in enumerate(urls):
        results = folder / f"{number} alone.json"
        done(url, pytest(url, *arguments, *ALONE, results=results).wait(), results)
    return status


def main(arguments: list[str]) -> int:
    """Run the suite on each database that answers; return the worst exit status."""
    in_short = "--short" in arguments
    arguments = [argument for argument in arguments if argument != "--short"]
    said: list[str] = []
    urls = []
    for url in os.environ.get("TEST_DATABASE_URLS", "sqlite").split():
        if reason := missing(url):
            said.append(f"{_name(url)}: NOT RUN, {reason}")
        else:
            urls.append(url)
    if in_short:
        status = short(urls, arguments)
    else:
        with tempfile.TemporaryDirectory() as folder:
            status = long(urls, arguments, Path(folder))
        said.append(f"written: {report.PAGE.name}")
    for url, code in status.items():
        said.append(f"{_name(url)}: {f'FAILED (status {code})' if code else 'passed'}")
    print(f"\nChaos, {'short' if in_short else 'long'} form:", *said, sep="\n  ")  # noqa: T201
    return worst(status.values())


def _name(url: str) -> str:
    return urlsplit(url).scheme or url


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
