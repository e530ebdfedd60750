"""Arguments and results as JSON text.

Arguments must come back exactly as they were given, so only what JSON keeps is accepted; tuples
become lists (the one change everybody expects). Results are kept as well as they can be.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Model

from .exceptions import InvalidArguments

#: A result that is not JSON is kept as text of at most so many characters.
RESULT_TEXT_LIMIT = 4096
#: Python refuses to write much longer numbers as digits.
INT_BITS = 8192


#: Made once: `json.dumps` makes an encoder for each call that says anything special.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


class JSONText(str):
    """Text that is JSON already, to be written to a JSON column as it stands."""

    __slots__ = ()


class _NotJSON(TypeError):
    """A value JSON can't keep: where it stands, and what to do instead."""


def dumps(value: Any) -> JSONText:
    """Return normalised `value` as compact JSON text."""
    return JSONText(_encode(value))


def dump_arguments(
    func: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], names: Mapping[int, str]
) -> JSONText:
    """Return the arguments of a job as JSON text `{"args": […], "kwargs": {…}}`.

    `names` maps positions to parameter names, for the error message. Raises InvalidArguments
    that names function and argument and says what to pass instead.
    """
    try:
        return dumps(
            {
                "args": [_plain(v, names.get(i, f"#{i + 1}")) for i, v in enumerate(args)],
                "kwargs": {key: _plain(value, key) for key, value in kwargs.items()},
            }
        )
    except _NotJSON as error:
        raise InvalidArguments(f"{func}: argument {error}") from None


def load_arguments(text: str) -> tuple[list[Any], dict[str, Any]]:
    """Return positional and keyword arguments from what `dump_arguments` made."""
    data = json.loads(text)
    return data["args"], data["kwargs"]


def result_entry(value: Any) -> dict[str, Any]:
    """Return the entry under which a job's result is kept.

    `{"value": …}` for what JSON can hold; else the value's text with a note, because a job that
    did its work has succeeded, whatever it returned.
    """
    try:
        return {"value": _plain(value, "result")}
    except Exception as error:  # foreign classes may do anything; the job still succeeded
        try:
            text = str(value)
        except Exception as broken:
            text = f"<{type(value).__qualname__}: {type(broken).__qualname__} in __str__>"
        text = text.encode("utf-8", "replace").decode()[:RESULT_TEXT_LIMIT]
        why = (
            str(error) if isinstance(error, _NotJSON) else f"{type(error).__qualname__} was raised."
        )
        return {"text": text, "note": f"Kept as text: {why}"}


def strict(value: Any, where: str) -> Any:
    """Return `value` as JSON holds it; raise TypeError that names the place and the remedy."""
    try:
        return _plain(value, where)
    except _NotJSON as error:
        raise TypeError(str(error)) from None


def cut_result(entry: dict[str, Any]) -> dict[str, Any]:
    """Return what is kept of a result's entry that is too long for the history."""
    text = json.dumps(entry.get("value"), ensure_ascii=False)
    note = f"Kept as the beginning of its text: the result has {len(text)} characters."
    return {"text": text[:RESULT_TEXT_LIMIT], "note": note}


def _plain(value: Any, where: str) -> Any:
    """Return `value` as JSON can hold it, or raise _NotJSON."""
    try:
        return _normalise(value, where)
    except RecursionError:
        raise _NotJSON(f"{where!r} is nested too deeply or holds itself; flatten it.") from None


def _normalise(value: Any, where: str) -> Any:
    if value is None or value is True or value is False:
        return value
    kind = type(value)
    if kind is int:
        if value.bit_length() > INT_BITS:
            raise _NotJSON(f"{where!r} is too large a number; pass it as text.")
        return value
    if kind is str:
        return _text(value, where)
    if kind is float:
        if not math.isfinite(value):
            raise _NotJSON(f"{where!r} is {value}, which JSON can't hold; pass None or text.")
        return value
    if kind in (list, tuple):
        return [_normalise(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, dict):
        return {
            _key(key, where): _normalise(item, f"{where}[{key!r}]") for key, item in value.items()
        }
    if isinstance(value, str):  # members of a StrEnum and other subclasses: their plain value
        return _text(str.__str__(value), where)
    if isinstance(value, int):
        return _normalise(int(value), where)
    if isinstance(value, float):
        return _normalise(float(value), where)
    raise _NotJSON(
        f"{where!r} is a {kind.__module__}.{kind.__qualname__}, which JSON can't hold; "
        f"{_remedy(value)}"
    )


def _text(value: str, where: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _NotJSON(f"{where!r} holds text that is not Unicode; decode it properly.") from None
    return value


def _key(key: Any, where: str) -> str:
    if not isinstance(key, str):
        raise _NotJSON(f"{where!r} has the key {key!r}; JSON keys are text, use str(key).")
    return _text(key, where)


def _remedy(value: Any) -> str:
    if isinstance(value, Model):
        return "pass its primary key (.pk) and load the row in the job."
    if isinstance(value, (datetime, date, time)):
        return "pass .isoformat() and parse it in the job."
    if isinstance(value, timedelta):
        return "pass .total_seconds()."
    if isinstance(value, (Decimal, UUID)):
        return "pass str(value)."
    if isinstance(value, (set, frozenset)):
        return "pass a list."
    if isinstance(value, (bytes, bytearray)):
        return "pass base64 text or the path of a file."
    return "pass text, numbers, booleans, None, lists and dicts only."
