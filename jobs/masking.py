"""Secrets among the arguments of jobs: which they are, and how they stay out of sight.

An argument, or an entry of a dict however deep in one, whose name holds one of the words of
`JOBS["MASKED_ARGUMENTS"]` is shown as MASK. What a job keeps is not changed.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import takewhile
from typing import Any

from .conf import conf
from .functions import positional_names, resolve

#: What is shown in place of a secret.
MASK = "••••••••"

#: With more secrets than that, a text is not searched for them but hidden whole.
MANY = 1000
#: Texts were cut when they were kept: of a long secret, so many characters give it away.
TELLING = 16
#: A shorter secret is only found as a word of its own: it could be part of any word.
A_WORD = 8
#: A still shorter one is not looked for in texts at all.
SHORTEST = 3

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+")


def is_secret(name: str) -> bool:
    """Whether a value of that name is to be masked: `token`, `apiKey`, `new_password2`."""
    return _is_secret(name[:200], tuple(conf.MASKED_ARGUMENTS))


@lru_cache(maxsize=4096)
def _is_secret(name: str, terms: tuple[str, ...]) -> bool:
    words = _words(name)
    joined = f"_{'_'.join(words)}_"
    for term in terms:
        parts = _words(term)
        if f"_{'_'.join(parts)}_" in joined:
            return True
        # Run together: `authtoken`, `userpassword`. Not for short words: `monkey` is no key.
        if len(parts) == 1 and len(term) > 4 and any(word.endswith(parts[0]) for word in words):
            return True
    return False


def _words(name: str) -> list[str]:
    words = [word.lower() for word in _WORDS.findall(name)]
    return [word[:-1] if word.endswith("s") and len(word) > 3 else word for word in words]


def hides(name: str, value: Any) -> bool:
    """Whether `value` is shown as MASK under that name; None, True and False tell nothing."""
    return value is not None and not isinstance(value, bool) and is_secret(name)


def masked(value: Any) -> Any:
    """Return a copy of a JSON value in which the secret entries of dicts are MASK."""
    try:
        return _masked(value)
    except RecursionError:
        return MASK


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: MASK if hides(key, entry) else _masked(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_masked(entry) for entry in value]
    return value


def masked_call(func: str, arguments: Any) -> dict[str, Any]:
    """Return `{"args": […], "kwargs": {…}}` of a call of `func` with its secrets masked."""
    args, kwargs = call(arguments)
    name_of = names(func)
    return {
        "args": [
            MASK if hides(name_of(position), value) else masked(value)
            for position, value in enumerate(args)
        ],
        "kwargs": masked(kwargs),
    }


def call(arguments: Any) -> tuple[list[Any], dict[str, Any]]:
    """Return the positional and named arguments of what a job keeps, whatever that is."""
    if isinstance(arguments, str):  # a job just created holds the text it was inserted with
        try:
            arguments = json.loads(arguments)
        except ValueError:
            return [arguments], {}
    if not isinstance(arguments, Mapping):
        return [arguments], {}
    args, kwargs = arguments.get("args", ()), arguments.get("kwargs", {})
    return (
        list(args) if isinstance(args, (list, tuple)) else [args],
        dict(kwargs) if isinstance(kwargs, Mapping) else {},
    )


def names(func: str) -> Callable[[int], str]:
    """Return what gives the name of the parameter at a position; "" where that is not known."""
    known, rest = _names(func, int(time.monotonic() // 60)) if func else ({}, "")
    return lambda position: known.get(position, rest)


@lru_cache(maxsize=1024)
def _names(func: str, minute: int) -> tuple[Mapping[int, str], str]:
    """`minute`: what can't be imported is tried again in the next."""
    try:
        return positional_names(resolve(func))
    except (Exception, SystemExit):  # importing runs foreign code
        return {}, ""


def secrets(func: str, arguments: Any) -> Scrubber:
    """Return what takes the secrets of a call out of a text about it, such as a traceback."""
    args, kwargs = call(arguments)
    name_of = names(func)
    found = [value for position, value in enumerate(args) if hides(name_of(position), value)]
    shown = [value for position, value in enumerate(args) if not hides(name_of(position), value)]
    try:
        found += [*_hidden(shown), *_hidden(kwargs)]
        return Scrubber(leaf for value in found for leaf in _leaves(value))
    except RecursionError:
        return Scrubber((), hides_all=True)


def _hidden(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, entry in value.items():
            if hides(key, entry):
                yield entry
            else:
                yield from _hidden(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _hidden(entry)


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for entry in value.values():
            yield from _leaves(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _leaves(entry)
    elif isinstance(value, str):
        yield value
    elif value is not None and not isinstance(value, bool):
        yield str(value)


class Scrubber:
    """Takes known secrets out of texts, also where only the beginning or end of one was kept."""

    def __init__(self, values: Iterable[str], *, hides_all: bool = False) -> None:
        forms: set[str] = set()
        for value in values:
            forms.update(_forms(value))
            if len(forms) > MANY:
                break
        self.hides_all = hides_all or len(forms) > MANY
        self._forms = sorted(forms, key=len, reverse=True)

    def __bool__(self) -> bool:
        return self.hides_all or bool(self._forms)

    def __call__(self, text: str) -> str:
        """Return `text` without the secrets."""
        if self.hides_all and text:
            return MASK
        for form in self._forms:
            if len(form) < A_WORD:
                text = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", MASK, text)
            else:
                text = _without(text, form)
        return text


def _forms(value: str) -> Iterator[str]:
    """Yield how a secret may be written in a text: as it is, quoted, line by line."""
    for form in {value, value.strip(), repr(value)[1:-1], json.dumps(value)[1:-1]}:
        if len(form) >= SHORTEST:
            yield form
    if "\n" in value:
        yield from (line.strip() for line in value.splitlines() if len(line.strip()) >= A_WORD)


def _without(text: str, secret: str) -> str:
    text = text.replace(secret, MASK)
    if len(secret) > TELLING:
        head, tail = secret[:TELLING], secret[-TELLING:]
        while (at := text.find(head)) >= 0:
            length = _common(text[at:], secret)
            text = f"{text[:at]}{MASK}{text[at + length :]}"
        while (at := text.find(tail)) >= 0:
            end = at + TELLING
            length = _common(reversed(text[:end]), reversed(secret))
            text = f"{text[: end - length]}{MASK}{text[end:]}"
    for length in range(min(len(secret), TELLING) - 1, 3, -1):
        if text.endswith(secret[:length]):
            return f"{text[:-length]}{MASK}"
    return text


def _common(one: Iterable[str], other: Iterable[str]) -> int:
    """Return how many characters two texts have in common from their beginning."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _pair in takewhile(lambda pair: pair[0] == pair[1], pairs))
