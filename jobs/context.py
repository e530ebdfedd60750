"""What a running job knows about itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from django.utils import timezone, translation

from .exceptions import JobCancelled
from .limits import UNWATCHED, Watch

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from .models import Job


@dataclass(frozen=True)
class CurrentJob:
    """The job that runs here: its `id`, function path, queue and the number of this attempt."""

    id: int
    func: str
    queue: str
    attempt: int
    _token: str = field(default="", repr=False)
    _watch: Watch = field(default=UNWATCHED, repr=False, compare=False)

    @property
    def is_cancelled(self) -> bool:
        """Whether the job has been deleted and should end. Costs no query."""
        return self._watch.is_cancelled(self._token)

    def check(self) -> None:
        """Raise JobCancelled if the job has been deleted.

        A worker also raises it by itself wherever Python code runs; this is for places where the
        function can end in good order.
        """
        if self.is_cancelled:
            raise JobCancelled("the job was deleted while it ran")

    @property
    def parent(self) -> Job | None:
        """The Job that this one continues, read now; None if it continues none or that is gone.

        In async code: `await current().aparent()`.
        """
        return self._parents().first()

    async def aparent(self) -> Job | None:
        """Return the same in async code; its `result` needs no further query."""
        return await self._parents().prefetch_related("history").afirst()

    def _parents(self) -> QuerySet[Job]:
        from .conf import conf
        from .models import Job

        return Job.objects.using(conf.DATABASE).filter(children=self.id)


_current: ContextVar[CurrentJob | None] = ContextVar("current_job", default=None)


def current() -> CurrentJob | None:
    """Return the job that runs in this thread or task, or None outside a job."""
    return _current.get()


def captured_language() -> str:
    """Return the active language, to be kept with a job."""
    return translation.get_language() or ""


def captured_time_zone() -> str:
    """Return the name of the active time zone, or "" for one that has no IANA name."""
    zone = timezone.get_current_timezone()
    return getattr(zone, "key", None) or ""


@contextmanager
def running(job: CurrentJob, language: str, time_zone: str) -> Iterator[None]:
    """Make `job` the current one, under the language and time zone of whoever created it."""
    token = _current.set(job)
    try:
        with (
            translation.override(language or None),
            timezone.override(ZoneInfo(time_zone) if time_zone else None),
        ):
            yield
    finally:
        _current.reset(token)
