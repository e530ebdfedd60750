"""Ending a job's function from outside: its time is up, or the job was deleted.

A signal handler raises in the function, at most once; async functions are cancelled in their
loop instead. Who does not end then is killed by the sentinel, which reads the same slot.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any, Protocol, TypeVar

from asgiref.current_thread_executor import _WorkItem
from asgiref.sync import async_to_sync

from .exceptions import Interruption, JobCancelled, JobTimeout

R = TypeVar("R")

#: An interruption that came to nothing is tried again after so many seconds, at most; by chance,
#: or it might meet the same destructor each time.
AGAIN_SECONDS = 0.02
#: Sent to a worker when the job in its slot was deleted.
CANCEL_SIGNAL = signal.SIGUSR1


class Watch(Protocol):
    """Where the engine looks at a run, and says that it is to end."""

    def set_deadline(self, moment: float) -> None:
        """Show until when the function may run, by the monotonic clock; 0: no limit."""

    def is_cancelled(self, token: str) -> bool:
        """Tell whether the job with this claim token was deleted."""


class Unwatched:
    """For runs in the caller's own thread, which nobody ends from outside."""

    def set_deadline(self, moment: float) -> None: ...

    def is_cancelled(self, token: str) -> bool:
        return False


UNWATCHED = Unwatched()


class Body:
    """The time in which the function of one job runs, and can be ended.

    `timeout`: seconds or None. Raises JobTimeout or JobCancelled in the block, once, as soon as
    Python code runs there.
    """

    _running: Body | None = None

    def __init__(self, token: str, timeout: float | None, watch: Watch) -> None:
        self.token, self.timeout, self.watch = token, timeout, watch
        self.interruption: Interruption | None = None
        self._deadline = 0.0
        self._pid = os.getpid()
        self._unraisable = sys.unraisablehook
        self._awaits = False
        self._task: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None

    def __enter__(self) -> Body:
        if self.watch is UNWATCHED:
            return self
        try:
            self._begin()
        except BaseException:  # ended before it began: `with` calls no __exit__
            self.__exit__()
            raise
        return self

    def _begin(self) -> None:
        _install(CANCEL_SIGNAL)
        if self.timeout is not None:
            _install(signal.SIGALRM)
            self._deadline = time.monotonic() + self.timeout
            self.watch.set_deadline(self._deadline)
        sys.unraisablehook = self._heed_unraisable
        Body._running = self
        if self.timeout is not None:
            signal.setitimer(signal.ITIMER_REAL, self.timeout)
        self.interrupt()  # it may have been deleted while it was being loaded

    def __exit__(self, kind: object = None, error: object = None, place: object = None) -> None:
        if os.getpid() != self._pid:
            # A fork of the function's own came out of it: it is no worker, and must not become one.
            os._exit(_status(error))
        if self.watch is UNWATCHED:
            return
        Body._running = None  # from here on the handler raises nothing
        sys.unraisablehook = self._unraisable
        if self.timeout is not None or self.interruption is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self.watch.set_deadline(0)

    def interrupt(self, frame: FrameType | None = None) -> None:
        """End the function if there is a reason to. `frame`: what the main thread runs."""
        if self.interruption is not None:
            return
        if self.watch.is_cancelled(self.token):
            self.interruption = JobCancelled("the job was deleted while it ran")
        elif self._deadline and time.monotonic() >= self._deadline:
            self.interruption = JobTimeout(f"it ran longer than its {self.timeout:g} s")
        else:
            return
        if not self._awaits or _in_sync_code(frame):
            raise self.interruption
        if self._task is not None:  # else `_attend` will see it
            loop, task = self._task
            loop.call_soon_threadsafe(task.cancel)

    def _heed_unraisable(self, unraisable: Any) -> None:
        """Try again when the interruption hit a `__del__`, where Python only prints it."""
        if isinstance(unraisable.exc_value, Interruption) and Body._running is self:
            self.interruption = None
            _install(signal.SIGALRM)
            signal.setitimer(signal.ITIMER_REAL, random.uniform(0.001, AGAIN_SECONDS))  # noqa: S311
        else:
            self._unraisable(unraisable)

    def run_async(self, func: Callable[..., Awaitable[R]], *args: Any, **kwargs: Any) -> R:
        """Run an async function to its end; an interruption cancels its task."""
        self._awaits = True
        try:
            return async_to_sync(self._attend)(func, *args, **kwargs)
        finally:
            self._awaits = False

    async def _attend(self, func: Callable[..., Awaitable[R]], *args: Any, **kwargs: Any) -> R:
        task = asyncio.current_task()
        assert task is not None
        self._task = asyncio.get_running_loop(), task
        try:
            if self.interruption is not None:  # while the loop was starting
                raise self.interruption
            return await func(*args, **kwargs)
        except asyncio.CancelledError:
            if self.interruption is not None:
                raise self.interruption from None
            raise
        finally:
            self._task = None


def _install(signum: signal.Signals) -> None:
    """Handle this signal, whatever handler a job may have left; looking is cheaper than setting."""
    if signal.getsignal(signum) is not _interrupt:
        signal.signal(signum, _interrupt)


def _status(error: object) -> int:
    """Return the exit status of a process that ended with this error."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    return int(error is not None)


def _in_sync_code(frame: FrameType | None) -> bool:
    """Whether the main thread runs sync code for a coroutine, rather than waiting for its end.

    asgiref hands what is raised there back to the coroutine.
    """
    while frame is not None:
        if frame.f_code is _WorkItem.run.__code__:
            return True
        frame = frame.f_back
    return False


def _interrupt(signum: int, frame: FrameType | None) -> None:
    if Body._running is not None:
        Body._running.interrupt(frame)
