"""Tracebacks as frames: the project's own stand out, runs of others are folded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePath

from django.conf import settings
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from . import snippet

#: So much of a text is read, so many entries of one error are shown: the first and the last.
CHARACTERS, LINES, FIRST, LAST = 200_000, 3_000, 8, 16
#: So many frames of a fold are listed, and so many lines of a message shown.
LISTED, MESSAGE_LINES = 100, 40
#: So many errors are shown, from the beginning and from the end.
ERRORS = 20
#: So much code of a frame is kept.
CODE_LINES, CODE_WIDTH = 12, 400

_FRAME = re.compile(r'  File "(?P<file>.*)", line (?P<line>\d+)(?:, in (?P<function>.*))?$')
_REPEATED = re.compile(r"  \[Previous line repeated (\d+) more times?\]$")
_HEAD = re.compile(r"(Exception Group )?Traceback \(most recent call last\):$")
#: What stands before the lines of an exception group and of the errors in it.
_MARGIN = re.compile(r"(?P<indent> +)(?P<edge>[|+])(?: |(?=-)|$)")
_NUMBER = re.compile(r"-\+?-+ (?P<number>\d+|\.\.\.) -+$")
_LEFT_OUT = re.compile(r"… (\d+) characters left out …$")
_ERROR = re.compile(r"(?P<type>[^\W\d][\w.<>]*)(?:: (?P<message>.*))?$")
_INSTALLED = re.compile(r"(?:site|dist)-packages/(?P<rest>.+)$")
_STANDARD = re.compile(r"(?:^|/)(?:lib(?:64)?|Lib)/python\d(?:\.\d+)?t?/(?P<rest>.+)$")
_OURS = PurePath(__file__).parent.parent.as_posix()

_CAUSE = "The above exception was the direct cause of the following exception:"
_CONTEXT = "During handling of the above exception, another exception occurred:"


@dataclass
class Frame:
    """One call: where, and the lines of code that were kept with it."""

    file: str
    line: int
    function: str
    code: list[str] = field(default_factory=list)
    #: How often the same call followed again.
    repeated: int = 0

    @cached_property
    def _place(self) -> tuple[str, str]:
        """The library it belongs to, "" for the project's own, and its file without the root."""
        path = self.file.replace("\\", "/")
        if path.startswith("<"):
            return path.strip("<>").split(" ")[-1].split(".")[0], path
        if path.startswith(f"{_OURS}/"):
            return PurePath(_OURS).name, f"{PurePath(_OURS).name}/{path[len(_OURS) + 1 :]}"
        for pattern in (_INSTALLED, _STANDARD):
            if found := pattern.search(path):
                rest = found["rest"]
                return rest.split("/")[0].removesuffix(".py"), rest
        root = str(getattr(settings, "BASE_DIR", "")).replace("\\", "/")
        return "", path[len(root) + 1 :] if root and path.startswith(f"{root}/") else path

    @property
    def library(self) -> str:
        return self._place[0]

    @property
    def shown_file(self) -> str:
        return self._place[1]

    @property
    def is_own(self) -> bool:
        return not self.library

    @property
    def html(self) -> SafeString:
        """The lines of code, highlighted; the marks under them stay as they are."""
        return snippet.highlighted("\n".join(self.code))


@dataclass
class Fold:
    """A run of frames behind one line."""

    frames: list[Frame]
    #: The frames were left out for their number, not for their place.
    is_middle: bool = False

    @property
    def title(self) -> str:
        count = sum(1 + frame.repeated for frame in self.frames)
        libraries = list(dict.fromkeys(frame.library for frame in self.frames if frame.library))
        if self.is_middle or not libraries:
            return ngettext("%(count)d frame more", "%(count)d frames more", count) % {
                "count": count
            }
        if len(libraries) > 3:
            where = _("%(some)s and others") % {"some": ", ".join(libraries[:3])}
        elif len(libraries) > 1:
            first, last = ", ".join(libraries[:-1]), libraries[-1]
            where = _("%(some)s and %(last)s") % {"some": first, "last": last}
        else:
            where = libraries[0]
        text = ngettext("%(count)d frame in %(where)s", "%(count)d frames in %(where)s", count)
        return text % {"count": count, "where": where}

    @property
    def listed(self) -> list[Frame]:
        return self.frames[:LISTED]

    @property
    def unlisted(self) -> int:
        return len(self.frames) - len(self.listed)


@dataclass
class Error:
    """One of the errors of a traceback: how it was come to, its frames, what it said."""

    frames: list[Frame] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    #: What it has to do with the one before: a sentence, or "".
    relation: str = ""
    #: How deep in exception groups.
    depth: int = 0
    number: str = ""

    @property
    def type(self) -> str:
        return self._said[0]

    @property
    def message(self) -> str:
        return self._said[1]

    @cached_property
    def _said(self) -> tuple[str, str]:
        found = _ERROR.match(self.lines[0]) if self.lines else None
        kept = self.lines[:MESSAGE_LINES]
        if len(kept) < len(self.lines):
            kept.append("…")
        if found is None:
            return "", "\n".join(kept)
        return found["type"], "\n".join([found["message"] or "", *kept[1:]])

    @property
    def indent(self) -> int:
        """The depth as far as there is room to show it."""
        return min(self.depth, 4)

    @cached_property
    def entries(self) -> list[Frame | Fold]:
        """What is shown, in order: own frames, folds of others, the middle of many left out."""
        entries = list(_folded(self.frames))
        if len(entries) <= FIRST + LAST + 1:
            return entries
        middle: list[Frame] = []
        for entry in entries[FIRST:-LAST]:
            middle.extend([entry] if isinstance(entry, Frame) else entry.frames)
        return [*entries[:FIRST], Fold(middle, is_middle=True), *entries[-LAST:]]


def parse(text: str) -> list[Error]:
    """Return the errors of a traceback as Python writes it, in the order of the text.

    What is no traceback comes back as the lines of one error.
    """
    reader = _Reader()
    for line in text[:CHARACTERS].splitlines()[:LINES]:
        reader.read(line)
    return reader.found()


class _Reader:
    """Reads a traceback line by line."""

    def __init__(self) -> None:
        self._errors: list[Error] = []
        self._error = Error()
        self._frame: Frame | None = None

    def found(self) -> list[Error]:
        self._end()
        if len(self._errors) > 2 * ERRORS:
            return [*self._errors[:ERRORS], *self._errors[-ERRORS:]]
        return self._errors

    def read(self, line: str) -> None:
        depth, line = self._margin(line)
        if depth is not None and line.startswith("-") and (found := _NUMBER.match(line)):
            self._end()
            self._error = Error(depth=depth, number=found["number"])
        elif depth is not None and line.startswith("---"):
            self._end()
        elif _HEAD.match(line):
            self._begin(depth or 0)
        elif line in (_CAUSE, _CONTEXT):
            self._end()
            self._error.depth = depth or 0
            self._error.relation = (
                _("The error above was the direct cause of this one:")
                if line == _CAUSE
                else _("While the error above was handled, this one occurred:")
            )
        elif found := _FRAME.match(line):
            self._frame = Frame(found["file"], int(found["line"][:9]), found["function"] or "")
            self._error.frames.append(self._frame)
        elif self._frame is not None and (found := _REPEATED.match(line)):
            self._frame.repeated += int(found[1][:9])
        elif found := _LEFT_OUT.match(line):
            self._frame = None
            note = _("%(count)s characters were not kept") % {"count": found[1]}
            self._error.frames.append(Frame("<…>", 0, note))
        elif self._frame is not None and line.startswith("    "):
            if len(self._frame.code) < CODE_LINES:
                self._frame.code.append(line[4 : 4 + CODE_WIDTH])
        else:
            if line.strip() or self._error.lines:
                self._frame = None
                self._error.lines.append(line)

    def _margin(self, line: str) -> tuple[int | None, str]:
        """Return the depth in exception groups, None outside of them, and the rest of the line."""
        if (found := _MARGIN.match(line)) is None:
            return None, line
        return len(found["indent"]) // 2, line[found.end() :]

    def _begin(self, depth: int) -> None:
        if self._error.frames or self._error.lines:
            self._end()
        self._error.depth = max(self._error.depth, depth)

    def _end(self) -> None:
        error, self._frame = self._error, None
        while error.lines and not error.lines[-1].strip():
            error.lines.pop()
        if error.frames or error.lines:
            self._errors.append(error)
        self._error = Error()


def _folded(frames: Iterable[Frame]) -> Iterator[Frame | Fold]:
    others: list[Frame] = []
    for frame in frames:
        if frame.is_own:
            if others:
                yield Fold(others)
                others = []
            yield frame
        else:
            others.append(frame)
    if others:
        yield Fold(others)
