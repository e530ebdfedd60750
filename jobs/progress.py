"""What a running job tells of itself: how far it is, and its log.

Nothing here waits or asks the database, and nothing takes a lock: the job may be interrupted
anywhere. What was told is taken from here about once a second and written elsewhere.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sized
from itertools import count
from typing import Any, Generic, TypeVar, cast

from django.db.models import QuerySet

from .conf import conf
from .context import CurrentJob, current
from .exceptions import Interruption
from .outcomes import Told

T = TypeVar("T")

#: Of a longer line or text, the beginning is kept.
LINE_CHARACTERS = 1_000
TEXT_CHARACTERS = 200
_PACKAGE = f"{__package__}."
#: Set on a record that was kept, or a second handler would keep it again.
_KEPT = "kept_with_job"


def _nobody() -> None:
    pass


class Report:
    """What one execution tells. Any thread may tell; one at a time takes.

    `wake`: called whenever there is something to take.
    """

    def __init__(self, pk: int, attempt: int, token: str) -> None:
        self.id, self.attempt, self.token = pk, attempt, token
        self.wake: Callable[[], None] = _nobody
        self._progress: tuple[float, float | None, str] | None = None
        self._total: float | None = None
        self._lines: deque[tuple[int, float, int, str]] = deque(maxlen=conf.LOG_LINES)
        self._numbers = count(1)
        self._last = self._taken = self._dropped = 0

    def progress(self, done: float, total: float | None, text: object) -> None:
        """Say how far it is; what is no number is nothing to show, and no reason to fail."""
        if total is not None:
            self._total = _number(total) or None
        self._progress = (_number(done), self._total, _clean(text, TEXT_CHARACTERS))
        self.wake()

    def log(self, message: object, level: int | str) -> None:
        """Add a line."""
        if isinstance(level, str):
            level = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
        text = _clean(message, LINE_CHARACTERS)
        self._lines.append((next(self._numbers), time.time(), min(max(int(level), 0), 100), text))
        self.wake()

    def take(self) -> Told | None:
        """Return what was told since the last time, or None."""
        progress, self._progress = self._progress, None
        lines = []
        while self._lines:
            lines.append(self._lines.popleft())
        if progress is None and not lines:
            return None
        self._taken += len(lines)
        self._last = max(self._last, *(line[0] for line in lines)) if lines else self._last
        missing, before = max(self._dropped, self._last - self._taken), self._dropped
        self._dropped = missing
        done, total, text = progress or (None, None, "")
        kept = [line[1:] for line in lines]
        return Told(
            self.id,
            self.attempt,
            time.time(),
            done,
            total,
            text,
            kept,
            self._last,
            missing - before,
        )


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return max(0.0, number) if math.isfinite(number) else 0.0


def _clean(value: object, limit: int) -> str:
    """Return text that every database takes, cut; of exactly the class str, for the wire."""
    try:
        text = str(value)
    except Exception as error:  # a foreign __str__ may do anything
        text = f"<{type(error).__qualname__} in __str__>"
    text = text.replace("\x00", "\\x00").encode("utf-8", "replace").decode()
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


class Outlet:
    """Takes the report of the job that runs. This one keeps it, for whoever runs jobs by hand."""

    def __init__(self) -> None:
        self._reports: dict[str, Report] = {}  # by token; one, but for a thread left by another job

    def open(self, report: Report) -> Report:
        """Return the report of a job that is about to tell something: two threads may begin one."""
        return self._reports.setdefault(report.token, report)

    def take(self) -> list[Told]:
        """Return what was told since the last time."""
        return [told for report in list(self._reports.values()) if (told := report.take())]


def report_of(job: CurrentJob, outlet: Outlet | None) -> Report:
    """Open the report of a running job; without an outlet nobody ever reads it."""
    report = Report(job.id, job.attempt, job._token)
    return report if outlet is None else outlet.open(report)


class Track(Generic[T]):
    """What `track` returns: looped over by `for` or `async for`, whichever the iterable knows."""

    def __init__(
        self, iterable: Iterable[T] | AsyncIterable[T], total: float | None, text: str
    ) -> None:
        self._iterable, self._total, self._text = iterable, total, text

    def __iter__(self) -> Iterator[T]:
        if self._total is None:
            self._total = _length(self._iterable)
        self._tell(0)
        for done, item in enumerate(cast("Iterable[T]", self._iterable), 1):
            yield item
            self._tell(done)

    async def __aiter__(self) -> AsyncIterator[T]:
        if self._total is None:
            self._total = await _alength(self._iterable)
        self._tell(0)
        done = 0
        if not isinstance(self._iterable, AsyncIterable):
            for done, item in enumerate(self._iterable, 1):
                yield item
                self._tell(done)
            return
        async for item in self._iterable:
            yield item
            done += 1
            self._tell(done)

    def _tell(self, done: int) -> None:
        if (job := current()) is not None:
            job.progress(done, self._total, self._text)


def track(
    iterable: Iterable[T] | AsyncIterable[T], total: float | None = None, text: str = ""
) -> Track[T]:
    """Return `iterable` to be looped over, telling as progress of the job how far the loop is.

    `total`: how many there are, where that can't be seen; a QuerySet is counted by the database.
    `text`: what the job does. For `for` and `async for`; outside of a job it is only a loop.

    >>> for user in jobs.track(users, text="mails sent"): ...
    """
    return Track(iterable, total, text)


def _length(iterable: Any) -> float | None:
    if isinstance(iterable, QuerySet) and iterable._result_cache is None:
        return iterable.count()  # its length would load all rows
    return len(iterable) if isinstance(iterable, Sized) else None


async def _alength(iterable: Any) -> float | None:
    if isinstance(iterable, QuerySet) and iterable._result_cache is None:
        return await iterable.acount()
    return _length(iterable)


class JobLogHandler(logging.Handler):
    """A logging handler that keeps with a job what is logged while it runs, by its own context.

    For `LOGGING`: `{"class": "jobs.progress.JobLogHandler", "level": "INFO"}`. What is logged
    outside of jobs it leaves alone, and what this package says of the job itself.
    """

    def wanted(self, job: CurrentJob) -> bool:
        return True

    def handle(self, record: logging.LogRecord) -> Any:
        """Do without the handler's lock: a job may be interrupted while it holds that."""
        kept = self.filter(record)
        if kept:
            self.emit(record)
        return kept

    def emit(self, record: logging.LogRecord) -> None:
        job = current()
        if job is None or record.name.startswith(_PACKAGE) or hasattr(record, _KEPT):
            return
        if not self.wanted(job):
            return
        try:
            setattr(record, _KEPT, True)
            job.log(self._text(record), record.levelno)
        except Interruption:
            raise
        except Exception:
            self.handleError(record)

    def _text(self, record: logging.LogRecord) -> str:
        if self.formatter is not None:
            return self.format(record)
        text = record.getMessage()
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        # Without the traceback, which is longer than a line may be; the error is in the history.
        return f"{text} ({type(error).__qualname__}: {error})" if error else text


class _Keeper(JobLogHandler):
    """Keeps the logs of jobs with the option or setting `keep_log`."""

    def wanted(self, job: CurrentJob) -> bool:
        return job._keeps_log


_keeper = _Keeper()


def keep_logs() -> None:
    """Let this process keep the logs of jobs that want it, from now on."""
    if _keeper not in logging.root.handlers:
        logging.root.addHandler(_keeper)
