"""The call of a job as Python that could be pasted into a shell."""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Iterator, Sequence
from typing import Any

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from .. import masking
from ..conf import conf
from ..foreign import VIA
from ..models import Job
from ..options import STORED
from . import literals, words

#: A snippet has so many characters at most, and shows so many arguments.
ROOM, ARGUMENTS = 20_000, 100
#: Longer calls are written with an argument to a line.
LINE = 88

_PACKAGE = __package__.rpartition(".")[0]
_FORMATTER = HtmlFormatter(nowrap=True)
_LEXER = PythonLexer(stripnl=False, ensurenl=False)


def html(job: Job, target: Any = None) -> SafeString:
    """Return `source` highlighted, by classes."""
    return highlighted(source(job, target))


def highlighted(code: str) -> SafeString:
    """Return Python code as HTML with the classes of Pygments."""
    return SafeString(highlight(code, _LEXER, _FORMATTER))


def source(job: Job, target: Any = None) -> str:
    """Return the call: ids as comments, imports, options, arguments without their secrets.

    `target`: the function, when it could be imported: positional arguments then have names.
    """
    path = _Path(job.func)
    options = list(_options(job))
    head = [f"# id: {job.pk}", f"# queue: {_one_line(job.queue)}"]
    if job.recurring_job_id:
        head.append(f"# recurring job: {job.recurring_job_id}")
    if job.parent_id:
        head.append(f"# after: {job.parent_id}, if {_one_line(job.condition)}")
    imports = [f"from {path.module} import {path.imported}"] if path.module else []
    if options:
        imports.append(f"from {_PACKAGE} import using")
    elif not path.is_python:
        imports.append(f"from {_PACKAGE} import enqueue")
    arguments = list(_arguments(job, target))
    if options:
        chosen = _call("using", [(path.written, ""), *((option, "") for option in options)])
        call = _call(f"{chosen}.enqueue", arguments)
    elif path.is_python:
        call = _call(path.written, arguments)
    else:
        call = _call("enqueue", [(path.written, ""), *arguments])
    return "\n".join([*head, *imports, "", call]) + "\n"


class _Path:
    """The dotted path of a function, as it is imported and called."""

    def __init__(self, func: str) -> None:
        parts = func.split(".")
        self.is_python = len(parts) > 1 and all(
            part.isidentifier() and not keyword.iskeyword(part) for part in parts
        )
        if not self.is_python:
            self.module, self.imported, self.written = "", "", literals.text(func)
            return
        # A method of a class: by its name, for it is not imported to be looked at.
        cut = -2 if len(parts) > 2 and parts[-2][0].isupper() else -1
        self.module = ".".join(parts[:cut])
        self.imported = parts[cut]
        self.written = ".".join(parts[cut:])


def _one_line(value: str) -> str:
    return literals.text(value)[1:-1]


def _options(job: Job) -> Iterator[str]:
    if job.queue != conf.DEFAULT_QUEUE:
        yield f"queue={literals.text(job.queue)}"
    if job.priority:
        yield f"priority={job.priority}"
    kept = job.options if isinstance(job.options, dict) else {}
    for name in STORED:
        if name in kept and VIA not in kept:
            yield f"{name}={literals.short(kept[name])}"


def _arguments(job: Job, target: Any) -> Iterator[tuple[str, str]]:
    """Yield each argument as it is written, and a remark on it."""
    writer = literals.Writer(ROOM)
    args, kwargs = masking.call(job.arguments)
    name_of = masking.names(job.func)
    can_be_named = _names(target, len(args))
    given: list[tuple[str, str, Any]] = []
    for position, value in enumerate(args):
        name = can_be_named.get(position, "")
        prefix = f"{name}=" if name and name not in kwargs else ""
        given.append((prefix, name_of(position), value))
    usual = {name: value for name, value in kwargs.items() if _is_name(name)}
    given += [(f"{name}=", name, value) for name, value in usual.items()]
    for number, (prefix, name, value) in enumerate(given):
        if number >= ARGUMENTS or writer.is_full:
            yield "...", _("%(n)s more arguments") % {"n": words.number(len(given) - number)}
            return
        shown = masking.MASK if masking.hides(name, value) else value
        yield prefix + writer.write(shown, 1, len(prefix)), _remark(shown)
    if len(usual) < len(kwargs):
        odd = {name: value for name, value in kwargs.items() if not _is_name(name)}
        yield f"**{writer.write(odd, 1, 2)}", ""


def _is_name(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name)


def _remark(value: Any) -> str:
    if isinstance(value, str) and len(value) > literals.TEXT:
        return _("%(n)s characters") % {"n": words.number(len(value))}
    return ""


def _names(target: Any, count: int) -> dict[int, str]:
    """Return the names under which `count` positional arguments could be given as well."""
    if target is None:
        return {}
    try:
        parameters = list(inspect.signature(target).parameters.values())[:count]
    except (TypeError, ValueError):
        return {}
    if len(parameters) < count or any(
        p.kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD for p in parameters
    ):
        return {}
    return {position: parameter.name for position, parameter in enumerate(parameters)}


def _call(name: str, arguments: Sequence[tuple[str, str]]) -> str:
    flat = f"{name}({', '.join(argument for argument, _comment in arguments)})"
    if (
        len(flat) <= LINE
        and "\n" not in flat
        and not any(remark for _argument, remark in arguments)
    ):
        return flat
    lines = (
        f"    {argument}," + (f"  # {remark}" if remark else "") for argument, remark in arguments
    )
    return "\n".join([f"{name}(", *lines, ")"])
