"""Running one job: from a claim to an outcome. Knows nothing of processes and queues."""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
import math
import signal
import sysconfig
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache, partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from django.db import connections

from . import exactly_once as _exactly_once
from . import limits, signals
from .conf import conf
from .context import CurrentJob, running
from .decorators import ForeignFunction, JobFunction, Listener, declared_options
from .exactly_once import exactly_once
from .exceptions import JobCancelled
from .foreign import VIA, Call, call_of
from .functions import LOOP_OVER_IT, resolve, resolve_fresh
from .limits import UNWATCHED, Body, Watch
from .models import Job
from .options import NOTHING_SAID, Options
from .outcomes import Claimed, Kind, Outcome
from .retry import Exhausted
from .serialization import cut_result, dumps, load_arguments, result_entry

if TYPE_CHECKING:
    from .progress import Outlet

logger = logging.getLogger(__name__)

#: Of a longer traceback, the head and the tail are kept.
TRACEBACK_LIMIT = 20_000
MESSAGE_LIMIT = 2_000
#: The history entry of a run holds so many characters at most: a longer result is cut to text.
DATA_LIMIT = 262_144

#: Modules whose frames say nothing to the author of a job.
_OWN = frozenset({__name__, limits.__name__, _exactly_once.__name__})
_FOREIGN = tuple(
    {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)


def execute(
    job: Claimed, worker: str, watch: Watch = UNWATCHED, outlet: Outlet | None = None
) -> Outcome:
    """Run `job` in this thread and return how it ended; never raises for what the job does.

    `worker`: name of the worker, for the history. `watch`: what may end the run, and the limit
    that it shows to others; without it there are none. `outlet`: takes what the job tells of
    itself while it runs; without it, that is lost. Only a real Ctrl-C at a terminal gets
    through.
    """
    run = Run(job, worker)
    try:
        return _execute(run, watch, outlet)
    except BaseException as error:  # even what handles errors can be given a rotten one
        if isinstance(error, KeyboardInterrupt) and _at_terminal():
            raise
        logger.exception("#%d %s could not be run", job.id, job.func)
        return broken(job, _describe(error), run.seconds)


def _execute(run: Run, watch: Watch, outlet: Outlet | None) -> Outcome:
    job, call = run.job, None
    try:
        call = call_of(job) if job.options != "{}" else None
        if call is not None:
            target = call.target()
        else:
            target = resolve_fresh(job.func) if job.missing_since else resolve(job.func)
    except BaseException as error:  # importing runs foreign code, which may even exit
        if isinstance(error, KeyboardInterrupt) and _at_terminal():
            raise
        missed = run.missing(error)
        return missed if call is None else call.ended(missed, None, error)
    here = CurrentJob(job.id, job.func, job.queue, job.attempt, job.token, watch, outlet)
    options = declared_options(target)
    body: Body | None = None
    outcome: Outcome | None = None
    try:
        if isinstance(target, ForeignFunction):
            run.listener = target.listener(job, run.worker)
            options = run.listener.options
        options = _options_of_call(job).over(options)
        if options.keeps_log():
            from . import progress

            here = replace(here, _keeps_log=True)
            progress.keep_logs()
        body = Body(job.token, options.seconds_to_run(), watch)
        perform = partial(_perform, run, call, target, options, body)

        with running(here, job.language, job.time_zone), _around(here):
            signals.job_started.send_robust(sender=Job, job=here)
            if run.listener is not None:
                run.listener.started()
            outcome = exactly_once(job, perform) if options.atomic else perform()
        if outcome is None:
            raise RuntimeError("a context manager of JOBS['AROUND'] swallowed the job's error")
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and _at_terminal():
            raise
        if outcome is not None and outcome.recorded:
            logger.exception("#%d was committed, then one of JOBS['AROUND'] raised", job.id)
        else:
            outcome = run.failed(error, options)
            if call is not None:
                outcome = call.ended(outcome, None, error)
        # Here, where the error is still the current one, for whoever reports errors.
        signals.job_finished.send_robust(sender=Job, job=here, outcome=outcome, error=error)
        if run.listener is not None:
            run.listener.finished(outcome, error)
    else:
        signals.job_finished.send_robust(sender=Job, job=here, outcome=outcome, error=None)
        if run.listener is not None:
            run.listener.finished(outcome, None)
    if body is not None and body.interruption is not None:
        _forget_connections()
    return outcome


def _forget_connections() -> None:
    """Let go of all connections after an interruption.

    It may have hit a driver in the middle of an answer, or Django between two lines that belong
    together, whose wrapper would then keep a dead connection for ever. New wrappers are made.
    """
    for alias in connections:
        try:
            connections[alias].close()
        except Exception as error:  # it may be in any state
            logger.debug("closing %r after an interruption: %s", alias, error)
        del connections[alias]


def _perform(
    run: Run, call: Call | None, target: Callable[..., Any], options: Options, body: Body
) -> Outcome:
    listener = run.listener
    if call is None:
        args, kwargs = load_arguments(run.job.arguments)
    else:
        args, kwargs = call.arguments(target)
    if listener is not None:
        args = listener.arguments(args)
    with body:
        value = _call(target, args, kwargs, body)
    if listener is not None:
        try:
            value = listener.returned(value)
        except Exception:
            run.is_done = True
            raise
    outcome = run.succeeded(value, options)
    return outcome if call is None else call.ended(outcome, value, None)


@lru_cache(maxsize=256)
def _restored(text: str) -> tuple[Options, list[str]]:
    """Return what the stored options say; many jobs say the same."""
    return Options.restored(json.loads(text))


def _options_of_call(job: Claimed) -> Options:
    if job.options == "{}":
        return NOTHING_SAID
    if f'"{VIA}":' in job.options:  # no two of them are the same
        options, unknown = Options.restored(json.loads(job.options))
    else:
        options, unknown = _restored(job.options)
    for name in unknown:
        logger.warning("#%d: its option %r means nothing to this version; ignored", job.id, name)
    return options


def _call(target: Callable[..., Any], args: list[Any], kwargs: dict[str, Any], body: Body) -> Any:
    func = target.func if isinstance(target, JobFunction) else target
    if inspect.iscoroutinefunction(func):
        value = body.run_async(func, *args, **kwargs)
    else:
        value = func(*args, **kwargs)
    # An async function behind a decorator that is not, or an object with an async __call__.
    while inspect.isawaitable(value):
        value = body.run_async(partial(_same, value))
    if inspect.isgenerator(value) or inspect.isasyncgen(value):
        raise TypeError(f"it returned a generator, of which nothing ran; {LOOP_OVER_IT}")
    return value


def _same(value: Awaitable[Any]) -> Awaitable[Any]:
    return value


def _around(here: CurrentJob) -> AbstractContextManager[Any]:
    """Return the context managers of JOBS["AROUND"] as one, each called with the current job."""
    return _all_around(here) if conf.AROUND else _NOTHING_AROUND


_NOTHING_AROUND: AbstractContextManager[Any] = nullcontext()


@contextmanager
def _all_around(here: CurrentJob) -> Iterator[None]:
    with ExitStack() as stack:
        for path in conf.AROUND:
            stack.enter_context(resolve(path)(here))
        yield


def _at_terminal() -> bool:
    return signal.getsignal(signal.SIGINT) is signal.default_int_handler


class Run:
    """One execution: when it began, and what it comes to."""

    listener: Listener | None = None
    #: The function has done its work and what failed is its result: again would not help.
    is_done = False

    def __init__(self, job: Claimed, worker: str) -> None:
        self.job, self.worker = job, worker
        self._started, self._clock = time.time(), time.perf_counter()

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.perf_counter() - self._clock

    def succeeded(self, value: Any, options: Options) -> Outcome:
        """Return the outcome of a function that returned `value`."""
        outcome = self._outcome(
            Kind.SUCCEEDED, "", {"result": result_entry(value)}, expires=options.seconds_to_keep()
        )
        job = self.job
        logger.info("#%d %s succeeded in %.1f ms", job.id, job.func, outcome.seconds * 1000)
        return outcome

    def missing(self, error: BaseException) -> Outcome:
        """A deploy may be under way: try again later, uncounted; after a while, fail."""
        job, now = self.job, time.time()
        since = job.missing_since or now
        what = f"{job.func} can't be imported ({_describe(error)})"
        kind, delay = Kind.MISSING, conf.MISSING_FUNCTION_RETRY_SECONDS
        reason = f"{what}; tried again every {delay:g} s"
        if now - since >= conf.MISSING_FUNCTION_FAIL_SECONDS:
            reason = f"{what} for {conf.MISSING_FUNCTION_FAIL_SECONDS / 60:g} minutes"
            logger.error("#%d failed: %s", job.id, reason)
            kind = Kind.FAILED
        else:
            logger.warning("#%d put off for %g s: %s", job.id, delay, what)
        return self._outcome(
            kind,
            reason,
            {"error": _error(error, error.__traceback__)},
            delay=delay if kind == Kind.MISSING else None,
            error_type=_type_name(error),
            error_key=_hash("missing", job.func),
            missing_since=since,
        )

    def failed(self, error: BaseException, options: Options) -> Outcome:
        """Return the outcome of a function that raised: another try, or the end."""
        what, name = _describe(error), _type_name(error)
        # Our own frames would only be noise.
        place = error.__traceback__
        while place is not None and place.tb_frame.f_globals.get("__name__") in _OWN:
            place = place.tb_next
        kind, reason, delay = self._after(error, options, what)
        if delay is not None:
            about = f"; {reason.partition(' after ')[0]} in {delay:.0f} s"
        else:
            about = f"; {kind}"
        logger.log(
            logging.WARNING if kind in (Kind.RETRY, Kind.DELETED) else logging.ERROR,
            "#%d %s raised%s",
            self.job.id,
            self.job.func,
            about,
            exc_info=(type(error), error, place),
        )
        return self._outcome(
            kind,
            reason,
            {"error": _error(error, place)},
            delay=delay,
            expires=None if kind == Kind.RETRY else options.seconds_to_keep(),
            error_type=name,
            error_key=_hash(name, _place(place)),
        )

    def _after(
        self, error: BaseException, options: Options, what: str
    ) -> tuple[Kind, str, float | None]:
        """Return what happens next, why, and after how many seconds."""
        if isinstance(error, JobCancelled):
            return Kind.DELETED, f"cancelled: {_message(error)}", None
        try:
            policy = options.retry_policy()
            delay = None if self.is_done else policy.delay(error, self.job.retries)
        except Exception as broken:
            logger.exception("#%d: its retry policy raised; the job fails", self.job.id)
            return Kind.FAILED, f"{what}; and its retry policy raised {_describe(broken)}", None
        if delay is not None:
            number = self.job.retries + 1
            return Kind.RETRY, f"retry {number} of {policy.max_retries} after {what}", delay
        deleted = policy.when_exhausted == Exhausted.DELETE
        return Kind.DELETED if deleted else Kind.FAILED, what, None

    def _outcome(self, kind: Kind, reason: str, data: dict[str, Any], **more: Any) -> Outcome:
        job, seconds = self.job, self.seconds
        about = {
            "server": job.server,
            "worker": self.worker,
            "attempt": job.attempt,
            "token": job.token,
            "started": _iso(self._started),
            "ended": _iso(self._started + seconds),
            **data,
        }
        text = dumps(about)
        if len(text) > DATA_LIMIT:
            text = dumps({**about, "result": cut_result(about["result"])})
        return Outcome(job.id, job.token, kind, reason, text, seconds, **more)


def broken(job: Claimed, text: str, seconds: float) -> Outcome:
    """Return the outcome for an execution that failed outside the job's own function."""
    data = dumps(
        {"server": job.server, "attempt": job.attempt, "error": {"traceback": _clean(text)}}
    )
    reason = f"the worker could not run it: {_clean(text)[:150]}"
    return Outcome(
        job.id, job.token, Kind.FAILED, reason, data, seconds, None, None, "WorkerError", "worker"
    )


def _iso(epoch: float) -> str:
    seconds = math.floor(epoch)
    return f"{_second(seconds)}.{int((epoch - seconds) * 1e6):06d}+00:00"


@lru_cache(maxsize=4)
def _second(epoch: int) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%S")


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
    except BaseException as unprintable:  # a foreign __str__ may do anything
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
