"""Arguments and results as JSON."""

import json
from datetime import UTC, datetime
from enum import IntEnum, StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.exceptions import InvalidArguments
from jobs.serialization import (
    RESULT_TEXT_LIMIT,
    dump_arguments,
    dumps,
    load_arguments,
    result_entry,
)

text = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), text
)
values = st.recursive(
    scalars, lambda inner: st.one_of(st.lists(inner), st.dictionaries(text, inner)), max_leaves=15
)


def same(left, right):
    """Equal, and of the same types all the way down: 1, 1.0 and True are three values."""
    if type(left) is not type(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    return repr(left) == repr(right)


class Colour(StrEnum):
    RED = "red"


class Size(IntEnum):
    BIG = 3


class Unprintable:
    def __str__(self):
        raise RuntimeError("no")


@given(st.lists(values, max_size=4), st.dictionaries(text, values, max_size=4))
def test_json_values_come_back_exactly(args, kwargs):
    back = load_arguments(dump_arguments("f", tuple(args), kwargs, {}))

    assert same(list(back), [args, kwargs])


@given(values)
def test_a_json_result_is_kept_as_its_value(value):
    entry = json.loads(dumps(result_entry(value)))

    assert same(entry, {"value": value})


def test_tuples_become_lists():
    assert load_arguments(dump_arguments("f", ((1, (2,)),), {}, {}))[0] == [[1, [2]]]


def test_members_of_enumerations_become_their_plain_values():
    args, _ = load_arguments(dump_arguments("f", (Colour.RED, Size.BIG, {Colour.RED: 1}), {}, {}))

    assert same(args, ["red", 3, {"red": 1}])


def test_text_with_nul_comes_back():
    assert load_arguments(dump_arguments("f", ("a\x00b",), {}, {}))[0] == ["a\x00b"]


def test_an_error_names_function_parameter_and_place():
    with pytest.raises(InvalidArguments, match=r"^app\.f: argument \"rows\[1\]\['x'\]\" is a"):
        dump_arguments("app.f", ([0, {"x": {1}}],), {}, {0: "rows"})


def test_an_error_of_a_star_argument_names_its_position():
    with pytest.raises(InvalidArguments, match="argument '#2'"):
        dump_arguments("f", (1, {2}), {}, {0: "first"})


@pytest.mark.parametrize(
    "value",
    [object(), datetime(2026, 1, 1, tzinfo=UTC), {1}, b"x", float("nan"), {1: 2}, [object()]],
    ids=lambda value: type(value).__name__,
)
def test_a_result_that_is_not_json_is_kept_as_text_with_a_note(value):
    entry = result_entry(value)

    assert entry["text"] == str(value)[:RESULT_TEXT_LIMIT]
    assert entry["note"].startswith("Kept as text: 'result")


def test_a_long_result_is_cut():
    assert len(result_entry({"x" * 10_000})["text"]) == RESULT_TEXT_LIMIT


def test_a_result_whose_text_fails_is_still_a_result():
    assert "RuntimeError in __str__" in result_entry(Unprintable())["text"]


def test_a_result_that_is_not_unicode_is_kept_as_text():
    entry = result_entry("a\ud800")

    assert entry["text"] == "a?"
    assert "note" in entry


def test_a_result_that_holds_itself_is_kept_as_text():
    value = []
    value.append(value)

    assert result_entry(value)["text"] == "[[...]]"


def test_a_result_too_large_for_json_is_kept_as_text():
    entry = result_entry(10**5000)

    assert "note" in entry
    dumps(entry)
