"""What jobs tell of themselves: a small bar in the lists, bar and log on a job's page."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from ..conf import conf
from ..models import Job, JobProgress, LogLine
from ..states import State
from . import words

#: A page shows at most so many lines, the newest, however many are kept.
LINES = 1_000


@dataclass(frozen=True)
class Progress:
    """How far a job is, by its own words."""

    done: float
    total: float | None
    text: str
    attempt: int
    reported_at: datetime

    @property
    def value(self) -> float | None:
        """What a `<progress>` shows of `total`: None for a bar without an end."""
        return min(self.done, self.total) if self.total else None

    @property
    def label(self) -> str:
        """`3 of 5`, `3`: in the language's numbers."""
        done = _plain(self.done)
        if not self.total:
            return done
        return _("%(done)s of %(total)s") % {"done": done, "total": _plain(self.total)}

    @property
    def percent(self) -> str:
        """`60 %`, nothing without a total; 100 only when all is done."""
        if not self.total:
            return ""
        return _("%(n)d %%") % {"n": int(min(self.done, self.total) * 100 // self.total)}


@dataclass(frozen=True)
class Line:
    """A line of a job's log. `tone`: the state whose colours it has."""

    at: datetime
    level: int
    text: str
    attempt: int
    #: Whether it is the first of another attempt than the line before.
    begins: bool

    @property
    def tone(self) -> str:
        if self.level >= logging.ERROR:
            return "failed"
        return "warning" if self.level >= logging.WARNING else "info"

    @property
    def word(self) -> str:
        names = {
            logging.CRITICAL: _("critical"),
            logging.ERROR: _("error"),
            logging.WARNING: _("warning"),
            logging.INFO: _("info"),
            logging.DEBUG: _("debug"),
        }
        return next((name for level, name in names.items() if self.level >= level), _("debug"))


@dataclass(frozen=True)
class Log:
    """What the fragment `progress_log.html` shows of a job. False if it told nothing."""

    progress: Progress | None
    lines: list[Line]
    dropped: int
    #: How its last run ended, or the state it is in.
    state: str = ""

    def __bool__(self) -> bool:
        return bool(self.progress or self.lines)

    @property
    def is_running(self) -> bool:
        return self.state == State.PROCESSING

    @property
    def tone(self) -> str:
        """The colours of the bar: those of the job's state."""
        return self.state or str(State.PROCESSING)

    @property
    def several(self) -> bool:
        """Whether lines of more than one attempt are shown."""
        return len({line.attempt for line in self.lines}) > 1


def of(ids: Collection[int]) -> dict[int, Progress]:
    """Return the progress of those of the jobs that told any. One query."""
    rows = JobProgress.objects.using(conf.DATABASE).filter(pk__in=ids, done__isnull=False)
    return {row.pk: _progress(row) for row in rows}


def log(job: Job) -> Log:
    """Return progress and log of a job. Two queries."""
    row = JobProgress.objects.using(conf.DATABASE).filter(pk=job.pk).first()
    newest = LogLine.objects.using(conf.DATABASE).filter(job=job.pk).order_by("-pk")[:LINES]
    lines: list[Line] = []
    attempt = None
    for line in reversed(newest):
        begins = line.attempt != attempt
        lines.append(Line(line.at, line.level, line.text, line.attempt, begins))
        attempt = line.attempt
    progress = _progress(row) if row and row.done is not None else None
    return Log(progress, lines, row.dropped if row else 0, str(job.state))


def _progress(row: JobProgress) -> Progress:
    return Progress(row.done or 0.0, row.total, row.text, row.attempt, row.reported_at)


def _plain(value: float) -> str:
    return words.number(int(value) if value == int(value) else round(value, 2))
