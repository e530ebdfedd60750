"""`.env.example` says what is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.cluster import ROOT

EXAMPLE = (ROOT / ".env.example").read_text()
DUMP = """
import json, pathlib, config.settings as s
known = lambda value: str(value) if isinstance(value, pathlib.Path) else type(value).__name__
print(json.dumps({k: v for k, v in vars(s).items() if k.isupper()}, default=known))
"""


def names(text: str) -> set[str]:
    return {line[0] for line in assignments(text)}


def assignments(text: str) -> list[tuple[str, str]]:
    return re.findall(r"^# ([A-Z_]+)=(.*)$", text, re.MULTILINE)


def settings_under(**variables: str) -> str:
    """Return all settings of a process with these variables of the environment and no others."""
    done = subprocess.run(
        [sys.executable, "-c", DUMP],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "READ_DOT_ENV": "0", **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_the_example_names_each_variable_that_is_read_and_no_other() -> None:
    source = Path(ROOT / "config/settings.py").read_text()
    read = set(re.findall(r'\benv(?:\.\w+)?\(\s*"([A-Z_]+)"', source))

    assert names(EXAMPLE) == read


def test_the_defaults_in_the_example_are_the_defaults() -> None:
    section = EXAMPLE.partition("# Defaults in development.")[2].partition("\n\n")[0]
    assert len(assignments(section)) > 10

    assert settings_under(**dict(assignments(section))) == settings_under()


def test_the_defaults_outside_development_are_the_defaults() -> None:
    production = {"DEBUG": "0", "SECRET_KEY": "x" * 50, "ALLOWED_HOSTS": "example.com"}
    section = EXAMPLE.partition("# Defaults with DEBUG=0.")[2]
    assert assignments(section)

    with_them = settings_under(**production, **dict(assignments(section)))

    assert with_them == settings_under(**production)


def test_outside_development_django_has_no_complaints() -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "READ_DOT_ENV": "0",
            "DEBUG": "0",
            "SECRET_KEY": "aB3$" + "".join(chr(97 + n % 26) for n in range(60)),
            "ALLOWED_HOSTS": "example.com",
        },
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
