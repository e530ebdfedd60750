"""What the run of Django's tests of tasks comes to."""

from __future__ import annotations

import subprocess
from pathlib import Path

import django

from tests.foreign.djangotasks import __main__ as runner


def test_only_what_is_named_may_fail_and_must() -> None:
    expected = {"a": "says so"}
    assert runner.judge({"a", "b"}, {"a"}, set(), expected) == []
    assert runner.judge({"a", "b"}, {"a", "b"}, set(), expected) == ["UNEXPECTED FAILURE: b"]
    assert runner.judge({"a", "b"}, set(), set(), expected) == ["UNEXPECTED PASS: a"]
    assert len(runner.judge({"b"}, set(), {"b"}, expected)) == 2


def test_every_expected_failure_has_its_reason() -> None:
    assert all(reason for reason in runner.expected_failures().values())


def test_without_the_archive_it_says_so(tmp_path: Path, monkeypatch, capsys) -> None:
    def offline(command: list[str], **kwargs: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "ERROR: no network")

    monkeypatch.setattr(runner, "CACHE", tmp_path)
    monkeypatch.setattr(runner.subprocess, "run", offline)
    assert runner.main() == runner.NOT_RUN
    why = "no network" if django.VERSION >= (6, 0) else "holds no tests"
    assert capsys.readouterr().err.endswith(f"{why}\n")
