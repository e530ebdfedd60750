"""Arguments in a form: their secrets are shown masked, and stay when they come back masked."""

from __future__ import annotations

import re
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from ...exceptions import InvalidFunction
from ...functions import parameter_names, resolve_for_enqueue

#: What stands in a form instead of a secret.
MASK = "••••••••"
_SECRET = re.compile(r"pass(word|wd|phrase)?|secret|token|api_?key|credential|auth", re.I)


def masked_call(func: str, arguments: Any) -> Any:
    """Return a call's `{"args": […], "kwargs": {…}}` with its secrets masked."""
    if not isinstance(arguments, dict) or not isinstance(arguments.get("args"), list):
        return _masked(arguments)
    try:
        names = parameter_names(resolve_for_enqueue(func))
    except InvalidFunction:
        names = {}
    args = [_masked(value, names.get(i, "")) for i, value in enumerate(arguments["args"])]
    named: dict[str, Any] = _masked(arguments)
    return {**named, "args": args}


def _masked(value: Any, name: str = "") -> Any:
    if name and _SECRET.search(name):
        return MASK
    if isinstance(value, dict):
        return {key: _masked(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [_masked(inner) for inner in value]
    return value


def restored(given: Any, kept: Any) -> Any:
    """Return `given` with what `kept` has where a mask came back.

    Raises ValidationError for a mask at a place where nothing was masked.
    """
    if given == MASK:
        if kept is None:
            raise ValidationError(_("A masked value can only stay where it was; enter it anew."))
        return kept
    if isinstance(given, dict):
        known = kept if isinstance(kept, dict) else {}
        return {key: restored(inner, known.get(key)) for key, inner in given.items()}
    if isinstance(given, list):
        known = kept if isinstance(kept, list) else []
        return [
            restored(inner, known[place] if place < len(known) else None)
            for place, inner in enumerate(given)
        ]
    return given
