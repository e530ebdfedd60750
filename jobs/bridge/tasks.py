"""django-q2's tasks and our jobs: one in the form of the other.

A task is django-q2's dict with id, name, func, args, kwargs and options. As a job it is a call of
the user's function; the options that matter later are kept under `via`. Arguments are kept as
JSON when that gives back exactly the same; else, signed, as django-q2 would have kept them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone
from django_q.conf import Conf
from django_q.signing import SignedPackage
from django_q.utils import get_func_repr

from ..conf import conf, queue_name
from ..context import captured_language, captured_time_zone
from ..exceptions import InvalidOption
from ..foreign import VIA
from ..functions import MAX_PATH_LENGTH
from ..models import Job
from ..retry import LONGEST_SECONDS
from ..serialization import INT_BITS, dumps
from ..states import State

#: The name of this API in `foreign.apis`.
API = "django-q2"

#: What a task says of itself beside its call. `Task` has room for so many characters.
_TEXTS = {"id": 32, "name": 100, "group": 100, "cluster": 100, "hook": 256}
_PLAIN = ("save", "cached", "sync", "iter_count", "iter_cached", "ack_failure")
_CALL = ("func", "args", "kwargs")
_KNOWN = {*_TEXTS, *_PLAIN, *_CALL, "started", "chain", "timeout", "broker"}


def queue_of(cluster: str | None) -> str:
    """Return the queue for tasks of a cluster: the default queue for the default cluster.

    Raises InvalidOption for a name that can't be a queue's.
    """
    own = (getattr(settings, "Q_CLUSTER", None) or {}).get("cluster_name")
    if not cluster or cluster in (Conf.PREFIX, own):
        return conf.DEFAULT_QUEUE
    if problem := queue_name(cluster):
        raise InvalidOption(f"cluster={cluster!r} {problem}.")
    return cluster


def job_of(task: Mapping[str, Any], cluster: str | None) -> Job:
    """Return `task` as a job, not saved."""
    func, call = _func(task["func"])
    args, kwargs = tuple(task.get("args") or ()), dict(task.get("kwargs") or {})
    if "func" in call or not (_is_exact(list(args)) and _is_exact(kwargs)):
        call |= {"args": args, "kwargs": kwargs}
        args, kwargs = (), {}
    more = {key: value for key, value in task.items() if key not in _KNOWN}
    if more and not _is_exact(more):
        call["more"], more = more, {}
    options = {**_options(task), VIA: _via(task, cluster, call, more)}
    return _enqueued(func, {"args": args, "kwargs": kwargs}, options, queue_of(cluster))


def plain_call(func: str, args: tuple[Any, ...], queue: str) -> Job:
    """Return a job that calls `func` with `args`, whatever they are, and is no task; not saved."""
    options = {VIA: {"api": API, "call": SignedPackage.dumps({"args": args, "kwargs": {}})}}
    return _enqueued(func[:MAX_PATH_LENGTH], {"args": (), "kwargs": {}}, options, queue)


def _enqueued(func: str, call: dict[str, Any], options: dict[str, Any], queue: str) -> Job:
    now = timezone.now()
    return Job(
        func=func,
        arguments=dumps(call),
        options=options,
        queue=queue,
        run_at=now,
        state=State.ENQUEUED,
        state_changed_at=now,
        created_at=now,
        language=captured_language(),
        time_zone=captured_time_zone(),
    )


def task_of(
    func: str, via: Mapping[str, Any], args: list[Any], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Return a job as the task it came from. Raises BadSignature for what was not signed here."""
    call = SignedPackage.loads(via["call"]) if "call" in via else {}
    task = {key: via[key] for key in (*_TEXTS, *_PLAIN) if key in via}
    more = via.get("more", {}) | call.get("more", {})
    task |= {key: value for key, value in more.items() if key not in _KNOWN}
    task["func"] = call.get("func", func)
    # An occurrence of a schedule adds its intended date to what the schedule says.
    task["args"] = tuple(call.get("args", args))
    task["kwargs"] = {**call.get("kwargs", {}), **kwargs}
    if "started" in via:
        task["started"] = datetime.fromisoformat(via["started"])
    if "chain" in via:
        task["chain"] = SignedPackage.loads(via["chain"])
    return task


def unsigned(via: Mapping[str, Any]) -> dict[str, Any]:
    """Return of what a task says that which is read without unpickling."""
    return {key: value for key, value in via.items() if key not in ("call", "chain")}


def _func(func: Any) -> tuple[str, dict[str, Any]]:
    """Return the function's path, and the function itself where the path would not lead to it."""
    if isinstance(func, str) and len(func) <= MAX_PATH_LENGTH:
        return func, {}
    path = str(get_func_repr(func))
    module, name = getattr(func, "__module__", None), getattr(func, "__qualname__", None)
    if path == f"{module}.{name}" and "<" not in path and len(path) <= MAX_PATH_LENGTH:
        return path, {}
    return path[:MAX_PATH_LENGTH], {"func": func}


def _options(task: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a task says that is an option of ours."""
    options: dict[str, Any] = {}
    if "timeout" in task:
        seconds = task["timeout"]
        if seconds is not None and not isinstance(seconds, (int, float)):
            raise InvalidOption(f"timeout={seconds!r} must be a number of seconds, or None.")
        # None and -1: no limit, whatever the settings say.
        options["timeout"] = seconds if seconds and seconds > 0 else LONGEST_SECONDS
    if task.get("ack_failure"):
        options["max_retries"] = 0
    elif Conf.MAX_ATTEMPTS > 0:
        options["max_retries"] = Conf.MAX_ATTEMPTS - 1
    return options


def _via(
    task: Mapping[str, Any], cluster: str | None, call: dict[str, Any], more: dict[str, Any]
) -> dict[str, Any]:
    via: dict[str, Any] = {"api": API}
    said = {**task, "cluster": cluster or Conf.CLUSTER_NAME}
    if callable(said.get("hook")):
        said["hook"] = get_func_repr(said["hook"])
    for key, length in _TEXTS.items():
        if said.get(key) is not None:
            via[key] = _clean(str(said[key]))[:length]
    via |= {key: said[key] for key in _PLAIN if said.get(key) is not None}
    if "started" in said:
        via["started"] = said["started"].isoformat()
    if said.get("chain"):
        via["chain"] = SignedPackage.dumps(said["chain"])
    if "func" in call:
        via["object"] = True
    if call:
        via["call"] = SignedPackage.dumps(call)
    if more:
        via["more"] = more
    return via


def _clean(text: str) -> str:
    """Text that every database takes in a column: no NUL, no half surrogates."""
    return text.replace("\x00", "\\x00").encode("utf-8", "replace").decode()


def _is_exact(value: Any) -> bool:
    """Whether JSON gives back exactly `value`, types and all."""
    try:
        return _is_plain(value)
    except RecursionError:
        return False


def _is_plain(value: Any) -> bool:
    kind = type(value)
    if value is None or kind is bool:
        return True
    if kind is int:
        return value.bit_length() <= INT_BITS
    if kind is float:
        return math.isfinite(value)
    if kind is str:
        return value.isprintable() or _is_unicode(value)
    if kind is list:
        return all(map(_is_plain, value))
    if kind is dict:
        return all(type(key) is str for key in value) and _is_plain([*value, *value.values()])
    return False


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
