"""Tracebacks as frames."""

import json
import traceback

import pytest

from jobs.dashboard import tracebacks
from jobs.dashboard.tracebacks import Fold, Frame


def text_of(function, *args):
    try:
        function(*args)
    except BaseException:
        return traceback.format_exc()
    raise AssertionError("it did not raise")


def test_own_frames_stand_out_and_runs_of_others_are_folded():
    [error] = tracebacks.parse(text_of(lambda: json.loads("{")))
    own, inner, fold = error.entries
    assert isinstance(own, Frame)
    assert own.is_own
    assert own.shown_file == "tests/dashboard/test_tracebacks.py"
    assert inner.function == "<lambda>"
    assert isinstance(fold, Fold)
    assert fold.title == f"{len(fold.frames)} frames in json"
    assert error.type == "json.decoder.JSONDecodeError"
    assert error.message.startswith("Expecting property name")


def test_the_line_of_code_is_kept_and_highlighted():
    [error] = tracebacks.parse(text_of(lambda: 1 / 0))
    frame = error.frames[-1]
    assert "1 / 0" in "\n".join(frame.code)
    assert '<span class="mi">1</span>' in frame.html


def test_library_frames_name_their_library():
    text = (
        "Traceback (most recent call last):\n"
        '  File "/srv/app/billing/jobs.py", line 142, in charge\n    pay()\n'
        '  File "/venv/lib/python3.13/site-packages/httpx/_client.py", line 1144, in post\n'
        "    return self.request()\n"
        '  File "C:\\Py\\Lib\\site-packages\\httpcore\\_sync.py", line 3, in handle\n'
        '  File "<frozen importlib._bootstrap>", line 1, in _call\n'
        "billing.gateway.GatewayTimeout: No answer\n"
    )
    [error] = tracebacks.parse(text)
    own, fold = error.entries
    assert own.is_own
    assert fold.title == "3 frames in httpx, httpcore and importlib"
    assert fold.frames[0].shown_file == "httpx/_client.py"
    assert error.type == "billing.gateway.GatewayTimeout"


def test_chained_errors_come_in_their_order_and_say_how_they_hang_together():
    def outer():
        try:
            try:
                raise KeyError("first")
            except KeyError as error:
                raise ValueError("second") from error
        except ValueError:
            raise RuntimeError("third")  # noqa: B904

    first, second, third = tracebacks.parse(text_of(outer))
    assert [first.type, second.type, third.type] == ["KeyError", "ValueError", "RuntimeError"]
    assert first.relation == ""
    assert "direct cause" in second.relation
    assert "handled" in third.relation


def test_the_errors_of_a_group_are_errors_of_their_own():
    def raising():
        try:
            raise ValueError("in\ntwo lines")
        except ValueError as error:
            inner = ExceptionGroup("inner", [KeyError("deep"), error])
            raise ExceptionGroup("many", [TypeError("shallow"), inner]) from None

    errors = tracebacks.parse(text_of(raising))
    assert [error.type for error in errors] == [
        "ExceptionGroup", "TypeError", "ExceptionGroup", "KeyError", "ValueError",
    ]  # fmt: skip
    assert errors[0].message == "many (2 sub-exceptions)"
    assert [error.number for error in errors] == ["", "1", "2", "1", "2"]
    assert errors[4].message == "in\ntwo lines"
    assert errors[4].depth > errors[1].depth
    assert errors[4].frames[-1].function == "raising"


def test_a_recursion_says_how_often():
    def again():
        again()

    error = tracebacks.parse(text_of(again))[-1]
    assert error.type == "RecursionError"
    assert sum(frame.repeated for frame in error.frames) > 900


def test_mutual_recursion_of_a_thousand_frames_stays_readable():
    lines = ["Traceback (most recent call last):"]
    for number in range(1000):
        lines.append(f'  File "/srv/app/a.py", line {number}, in f{number % 2}')
        lines.append("    g()")
    [error] = tracebacks.parse("\n".join([*lines, "RecursionError: too deep"]))
    assert len(error.entries) == tracebacks.FIRST + tracebacks.LAST + 1
    fold = error.entries[tracebacks.FIRST]
    assert fold.title == f"{1000 - tracebacks.FIRST - tracebacks.LAST} frames more"
    assert len(fold.listed) == tracebacks.LISTED
    assert error.entries[-1].line == 999


def test_what_was_cut_out_when_it_was_kept_is_a_place_of_its_own():
    text = (
        'Traceback (most recent call last):\n  File "/a.py", line 1, in f\n    g(\n'
        '… 17000 characters left out …\nne 9, in h\n  File "/a.py", line 2, in g\nValueError: x'
    )
    [error] = tracebacks.parse(text)
    assert any("17000" in frame.function for frame in error.frames)
    assert error.frames[-1].line == 2


@pytest.mark.parametrize(
    "text",
    ["", "just a line", "\x00\x1b[31mred", "Traceback (most recent call last):", "x" * 1_000_000,
     "  | " * 10_000, '  File "' + "a" * 100_000, "<script>alert(1)</script>: ‮x", "\n" * 100_000],
)  # fmt: skip
def test_whatever_the_text_it_is_shown(text):
    for error in tracebacks.parse(text):
        assert error.entries is not None
        assert len(error.message) <= tracebacks.CHARACTERS


def test_a_message_of_many_lines_is_cut():
    [error] = tracebacks.parse("ValueError: " + "\n".join(str(n) for n in range(1000)))
    assert error.message.count("\n") <= tracebacks.MESSAGE_LINES
    assert error.message.endswith("…")


def test_marks_under_the_code_and_notes_do_no_harm():
    def noted():
        error = ValueError("x")
        error.add_note("mind the gap")
        raise error

    [error] = tracebacks.parse(text_of(noted))
    assert error.message == "x\nmind the gap"
