"""Running one job: from a claim to an outcome. Knows nothing of processes and queues."""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
import signal
import sysconfig
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from asgiref.sync import async_to_sync

from .conf import conf
from .context import CurrentJob, running
from .decorators import JobFunction, declared_options
from .functions import resolve, resolve_fresh
from .options import Options
from .outcomes import Claimed, Kind, Outcome
from .retry import Exhausted
from .serialization import dumps, load_arguments, result_entry

logger = logging.getLogger(__name__)

#: Of a longer traceback, the head and the tail are kept.
TRACEBACK_LIMIT = 20_000
MESSAGE_LIMIT = 2_000

_FOREIGN = tuple(
    {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)


def execute(job: Claimed, worker: str) -> Outcome:
    """Run `job` in this thread and return how it ended; never raises for what the job does.

    `worker`: name of the worker, for the history. Only a real Ctrl-C at a terminal gets through.
    """
    started, clock = time.time(), time.perf_counter()
    about = {
        "server": job.server,
        "worker": worker,
        "attempt": job.attempt,
        "token": job.token,
        "started": _iso(started),
    }
    try:
        target = resolve_fresh(job.func) if job.missing_since else resolve(job.func)
    except BaseException as error:  # importing runs foreign code, which may even exit
        if isinstance(error, KeyboardInterrupt) and _at_terminal():
            raise
        return _missing(job, error, about, clock)
    options = Options(**json.loads(job.options)).over(declared_options(target))
    here = CurrentJob(job.id, job.func, job.queue, job.attempt)
    try:
        args, kwargs = load_arguments(job.arguments)
        with running(here, job.language, job.time_zone):
            value = _call(target, args, kwargs)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and _at_terminal():
            raise
        return _failed(job, error, options, about, clock)
    seconds = time.perf_counter() - clock
    logger.info("#%d %s succeeded in %.1f ms", job.id, job.func, seconds * 1000)
    data = {**about, "ended": _iso(started + seconds), "result": result_entry(value)}
    return Outcome(
        job.id, job.token, Kind.SUCCEEDED, "", dumps(data), seconds, expires=_seconds(options)
    )


def _call(target: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    func = target.func if isinstance(target, JobFunction) else target
    if inspect.iscoroutinefunction(func):
        return async_to_sync(func)(*args, **kwargs)
    return func(*args, **kwargs)


def _at_terminal() -> bool:
    return signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _missing(job: Claimed, error: BaseException, about: dict[str, Any], clock: float) -> Outcome:
    """A deploy may be under way: try again later, uncounted; after a while, fail."""
    now, seconds = time.time(), time.perf_counter() - clock
    since = job.missing_since or now
    what = f"{job.func} can't be imported ({_describe(error)})"
    name, key = _type_name(error), _hash("missing", job.func)
    data = dumps({**about, "ended": _iso(now), "error": _error(error, error.__traceback__)})
    if now - since >= conf.MISSING_FUNCTION_FAIL_SECONDS:
        minutes = conf.MISSING_FUNCTION_FAIL_SECONDS / 60
        logger.error("#%d failed: %s for %g minutes", job.id, what, minutes)
        reason = f"{what} for {minutes:g} minutes"
        return Outcome(job.id, job.token, Kind.FAILED, reason, data, seconds, None, None, name, key)
    delay = conf.MISSING_FUNCTION_RETRY_SECONDS
    logger.warning("#%d put off for %g s: %s", job.id, delay, what)
    reason = f"{what}; tried again every {delay:g} s"
    return Outcome(
        job.id, job.token, Kind.MISSING, reason, data, seconds, delay, None, name, key, since
    )


def _failed(
    job: Claimed, error: BaseException, options: Options, about: dict[str, Any], clock: float
) -> Outcome:
    seconds = time.perf_counter() - clock
    what, name = _describe(error), _type_name(error)
    # Our own two frames would only be noise.
    place = error.__traceback__
    while place is not None and place.tb_frame.f_globals.get("__name__") == __name__:
        place = place.tb_next
    key = _hash(name, _place(place))
    data = dumps({**about, "ended": _iso(time.time()), "error": _error(error, place)})
    policy = options.retry_policy()
    try:
        delay = policy.delay(error, job.retries)
    except Exception as broken:
        logger.exception("#%d: its retry policy raised; the job fails", job.id)
        reason = f"{what}; and its retry policy raised {_describe(broken)}"
        return Outcome(
            job.id,
            job.token,
            Kind.FAILED,
            reason,
            data,
            seconds,
            None,
            _seconds(options),
            name,
            key,
        )
    if delay is not None:
        number = job.retries + 1
        logger.warning(
            "#%d %s raised; retry %d of %d in %.0f s",
            job.id,
            job.func,
            number,
            policy.max_retries,
            delay,
            exc_info=(type(error), error, place),
        )
        reason = f"retry {number} of {policy.max_retries} after {what}"
        return Outcome(job.id, job.token, Kind.RETRY, reason, data, seconds, delay, None, name, key)
    kind = Kind.DELETED if policy.when_exhausted == Exhausted.DELETE else Kind.FAILED
    logger.error("#%d %s raised; %s", job.id, job.func, kind, exc_info=(type(error), error, place))
    return Outcome(job.id, job.token, kind, what, data, seconds, None, _seconds(options), name, key)


def broken(job: Claimed, text: str, seconds: float) -> Outcome:
    """Return the outcome for an execution that failed outside the job's own function."""
    data = dumps(
        {"server": job.server, "attempt": job.attempt, "error": {"traceback": _clean(text)}}
    )
    reason = f"the worker could not run it: {_clean(text)[:150]}"
    return Outcome(
        job.id, job.token, Kind.FAILED, reason, data, seconds, None, None, "WorkerError", "worker"
    )


def _seconds(options: Options) -> float | None:
    value = options.expires_after
    return (
        value.total_seconds()
        if value is not None and not isinstance(value, (int, float))
        else value
    )


def _iso(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="microseconds")


def _type_name(error: BaseException) -> str:
    kind = type(error)
    prefix = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{prefix}{kind.__qualname__}"[:255]


def _clean(text: str) -> str:
    """Text that every database takes: no NUL, no half surrogates."""
    return text.replace("\x00", "\\x00").encode("utf-8", "replace").decode()


def _message(error: BaseException) -> str:
    try:
        return _clean(str(error))[:MESSAGE_LIMIT]
    except Exception as unprintable:  # a foreign __str__ may do anything
        return f"<{type(unprintable).__qualname__} in __str__>"


def _describe(error: BaseException) -> str:
    message = _message(error)
    return f"{type(error).__qualname__}: {message}"[:200] if message else type(error).__qualname__


def _error(error: BaseException, place: TracebackType | None) -> dict[str, str]:
    text = _clean("".join(traceback.format_exception(type(error), error, place)))
    if len(text) > TRACEBACK_LIMIT:
        half = TRACEBACK_LIMIT // 2
        text = f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"
    return {"type": _type_name(error), "message": _message(error), "traceback": text}


def _place(frames: TracebackType | None) -> str:
    """Return module and function of the innermost frame of the project's own code.

    Not the line, which moves with each deploy.
    """
    inner = own = ""
    while frames is not None:
        code = frames.tb_frame.f_code
        inner = f"{frames.tb_frame.f_globals.get('__name__')}.{code.co_qualname}"
        if not code.co_filename.startswith(_FOREIGN):
            own = inner
        frames = frames.tb_next
    return own or inner


def _hash(*parts: str) -> str:
    return hashlib.sha256("\x00".join(parts).encode("utf-8", "replace")).hexdigest()[:32]
