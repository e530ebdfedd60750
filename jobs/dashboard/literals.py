"""JSON values as they are written in Python, as long as there is room, without their secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from django.utils.formats import number_format

from .. import masking

#: A longer text is cut, in a literal that stands on lines of its own.
TEXT = 2_000
#: Values that lie deeper, and entries beyond that of one list or dict, are left out.
DEPTH, ENTRIES = 12, 100
#: What is longer is written on several lines.
LINE = 84

_INDENT = "    "
#: Half surrogates can't be sent, and no database of ours keeps them; adopted rows may have any.
_UNSENDABLE = re.compile("[\ud800-\udfff]")


def text(value: str, room: int = TEXT) -> str:
    """Return a string in double quotes where that needs no more escapes, cut at `room`."""
    shown = value if len(value) <= room else f"{value[:room]}…"
    written = repr(shown)
    if written.startswith("'") and '"' not in written:
        written = f'"{written[1:-1]}"'
    return _UNSENDABLE.sub("\N{REPLACEMENT CHARACTER}", written)


def short(value: Any, room: int = 100) -> str:
    """Return `value` on one line, cut at `room` characters."""
    written = ""
    for token in _tokens(value, room):
        written += token
        if len(written) > room + 2:
            return f"{written[:room]}…"
    return written


def _tokens(value: Any, room: int, depth: int = 0) -> Iterator[str]:
    if isinstance(value, str):
        yield text(value, room)
    elif isinstance(value, (dict, list)) and value and depth > DEPTH:
        yield "..."
    elif isinstance(value, dict):
        yield "{"
        for index, (key, entry) in enumerate(value.items()):
            yield f"{', ' if index else ''}{text(str(key), room)}: "
            if masking.hides(str(key), entry):
                yield text(masking.MASK)
            else:
                yield from _tokens(entry, room, depth + 1)
        yield "}"
    elif isinstance(value, list):
        yield "["
        for index, entry in enumerate(value):
            if index:
                yield ", "
            yield from _tokens(entry, room, depth + 1)
        yield "]"
    else:
        yield _plain(value)


def _plain(value: Any) -> str:
    try:
        return repr(value)
    except ValueError:  # Python refuses to write such long numbers
        return "..."


class Writer:
    """Writes values one after the other into `room` characters, over several lines if need be."""

    def __init__(self, room: int) -> None:
        self.room = room

    @property
    def is_full(self) -> bool:
        return self.room <= 0

    def write(self, value: Any, indent: int = 0, before: int = 0) -> str:
        """Return `value`; `indent`: levels, `before`: characters that stand before it on its line."""
        return "".join(self._write(value, indent, before))

    def _write(self, value: Any, indent: int, before: int) -> Iterator[str]:
        if self.is_full:
            yield "..."
            return
        if not isinstance(value, (dict, list)):
            yield self._spend(text(value) if isinstance(value, str) else _plain(value))
            return
        width = LINE - before - indent * len(_INDENT)
        flat = short(value, width)
        if not flat.endswith("…") or not value:
            yield self._spend(flat)
            return
        if indent > DEPTH:
            yield "..."
            return
        yield from self._lines(value, indent)

    def _lines(self, value: dict[str, Any] | list[Any], indent: int) -> Iterator[str]:
        opening, closing = ("{", "}") if isinstance(value, dict) else ("[", "]")
        inner = _INDENT * (indent + 1)
        yield f"{opening}\n"
        done = 0
        entries: Iterator[tuple[str, Any]] = (
            ((f"{text(str(key))}: ", _mask(str(key), entry)) for key, entry in value.items())
            if isinstance(value, dict)
            else (("", entry) for entry in value)
        )
        for prefix, entry in islice(entries, ENTRIES):
            if self.is_full:
                break
            yield self._spend(f"{inner}{prefix}")
            yield from self._write(entry, indent + 1, len(prefix))
            yield ",\n"
            done += 1
        if done < len(value):
            dots = "" if isinstance(value, dict) else "...,  "  # a dict can't have it
            more = number_format(len(value) - done, force_grouping=True)
            yield f"{inner}{dots}# {more} more\n"
        yield f"{_INDENT * indent}{closing}"

    def _spend(self, written: str) -> str:
        self.room -= len(written)
        return written


def _mask(key: str, entry: Any) -> Any:
    return masking.MASK if masking.hides(key, entry) else entry
