"""Ending a job's function from outside: its time is up, or the job was deleted.

A signal handler raises in the function, at most once; async functions are cancelled in their
loop instead. Who does not end then is killed by the sentinel, which reads the same slot.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any, Protocol, TypeVar

from .exceptions import Interruption, JobCancelled, JobTimeout

R = TypeVar("R")

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
        # Each time anew, because a job may have installed its own.
        signal.signal(signal.SIGALRM, _interrupt)
        signal.signal(CANCEL_SIGNAL, _interrupt)
        if self.timeout is not None:
            self._deadline = time.monotonic() + self.timeout
        self.watch.set_deadline(self._deadline)
        Body._running = self
        signal.setitimer(signal.ITIMER_REAL, self.timeout or 0)
        self.interrupt()  # it may have been deleted while it was being loaded

    def __exit__(self, *exc_info: object) -> None:
        if self.watch is UNWATCHED:
            return
        Body._running = None  # from here on the handler raises nothing
        signal.setitimer(signal.ITIMER_REAL, 0)
        self.watch.set_deadline(0)

    def interrupt(self) -> None:
        """End the function if there is a reason to."""
        if self.interruption is not None:
            return
        if self.watch.is_cancelled(self.token):
            self.interruption = JobCancelled("the job was deleted while it ran")
        elif self._deadline and time.monotonic() >= self._deadline:
            self.interruption = JobTimeout(f"it ran longer than its {self.timeout:g} s")
        else:
            return
        if self._task is None:
            raise self.interruption
        loop, task = self._task
        loop.call_soon_threadsafe(task.cancel)

    async def attend(self, func: Callable[..., Awaitable[R]], *args: Any, **kwargs: Any) -> R:
        """Await `func`, so that an interruption cancels it."""
        task = asyncio.current_task()
        assert task is not None
        self._task = asyncio.get_running_loop(), task
        try:
            return await func(*args, **kwargs)
        except asyncio.CancelledError:
            if self.interruption is not None:
                raise self.interruption from None
            raise
        finally:
            self._task = None


def _interrupt(signum: int, frame: FrameType | None) -> None:
    if Body._running is not None:
        Body._running.interrupt()
