"""What a running job knows about itself."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from logging import INFO
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from django.utils import timezone, translation

from .exceptions import JobCancelled
from .limits import UNWATCHED, Watch

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from .models import Job
    from .progress import Outlet, Report


@dataclass(frozen=True)
class CurrentJob:
    """The job that runs here: its `id`, function path, queue and the number of this attempt."""

    id: int
    func: str
    queue: str
    attempt: int
    _token: str = field(default="", repr=False)
    _watch: Watch = field(default=UNWATCHED, repr=False, compare=False)
    _outlet: Outlet | None = field(default=None, repr=False, compare=False)
    #: Whether all that is logged during the run is kept.
    _keeps_log: bool = field(default=False, repr=False, compare=False)

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

    def progress(self, done: float, total: float | None = None, text: str = "") -> None:
        """Tell how far the job is: `done` of `total` whatever, and what it does now.

        Without `total` the last one told stays. Costs no query and never waits: what is told is
        written about once a second, outside of the job's own transaction. From any thread.
        """
        self._report.progress(done, total, text)

    def log(self, message: object, level: int | str = INFO) -> None:
        """Keep a line with the job, shown on its page; see `progress` for what it costs.

        `level`: of `logging`, as number or name. Of more than JOBS["LOG_LINES"] lines the newest
        are kept, of each the first 1,000 characters.
        """
        self._report.log(message, level)

    @cached_property
    def _report(self) -> Report:
        # Imported here: most jobs tell nothing.
        from .progress import report_of

        return report_of(self, self._outlet)

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


class running:  # noqa: N801  (used like a function)
    """Make `job` the current one, under the language and time zone of whoever created it.

    Nothing is switched where they hold already, as in most workers; what the job itself switches
    is put back.
    """

    def __init__(self, job: CurrentJob, language: str, time_zone: str) -> None:
        self._job, self._language, self._zone = job, language, time_zone

    def __enter__(self) -> None:
        self._token = _current.set(self._job)
        self._language_before = translation.get_language()
        self._zone_before = timezone.get_current_timezone()
        try:
            self._switch(self._language or None, self._zone)
        except BaseException:  # a zone that this machine does not know
            self.__exit__()
            raise

    def _switch(self, language: str | None, zone: str) -> None:
        if language != self._language_before:
            _activate_language(language)
        if zone != getattr(self._zone_before, "key", None):
            timezone.activate(ZoneInfo(zone)) if zone else timezone.deactivate()

    def __exit__(self, *exc_info: object) -> None:
        if translation.get_language() != self._language_before:
            _activate_language(self._language_before)
        if timezone.get_current_timezone() is not self._zone_before:
            if self._zone_before is timezone.get_default_timezone():
                timezone.deactivate()
            else:
                timezone.activate(self._zone_before)
        _current.reset(self._token)


def _activate_language(language: str | None) -> None:
    if language is None:
        translation.deactivate_all()
    else:
        translation.activate(language)
