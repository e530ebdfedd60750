"""The life of a job: the states it went through with the times between, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.db.models import F
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from ..conf import conf
from ..masking import Scrubber
from ..models import HistoryEntry, Job
from ..states import FINAL, State
from . import literals, tracebacks, words

#: So many changes are shown as cards, and so many are read for the times.
CARDS, READ = 30, 1_000
#: A result is shown with so many characters.
RESULT = 4_000


@dataclass
class Stay:
    """A time in one state. `left` is None while it lasts."""

    pk: int
    state: State
    reason: str
    entered: datetime
    left: datetime | None
    #: What the run that led to this state came to: the data of its history entry.
    run: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    #: Whether the job had run before.
    again: bool = False

    @property
    def seconds(self) -> float:
        end = self.left or timezone.now()
        return max(0.0, (end - self.entered).total_seconds())


@dataclass
class Card:
    """A state of the history as it is shown."""

    stay: Stay
    scrub: Scrubber
    is_newest: bool = False
    queue: str = ""
    server: str = ""
    #: Seconds in the queue, before the run that led here.
    latency: float | None = None

    @property
    def state(self) -> State:
        return self.stay.state

    @property
    def reason(self) -> str:
        return self.scrub(self.stay.reason)

    @property
    def clock(self) -> str:
        return f"{timezone.localtime(self.stay.entered):%H:%M:%S.%f}"[:-3]

    @property
    def took(self) -> str:
        return words.duration(self.stay.seconds)

    @property
    def doing(self) -> str:
        """What the time in this state was spent with, until the next one."""
        queue = {"queue": self.queue}
        return {
            State.ENQUEUED: _("waiting in queue %(queue)s") % queue,
            State.SCHEDULED: _("retry pause") if self.stay.again else _("planned delay"),
            State.PROCESSING: _("running"),
            State.AWAITING: _("waiting for the parent job"),
        }.get(self.state, "")

    @property
    def run_seconds(self) -> float | None:
        return _run_seconds(self.stay.run)

    @cached_property
    def errors(self) -> list[tracebacks.Error]:
        """The traceback of the run that led here."""
        return tracebacks.parse(self.traceback)

    @cached_property
    def traceback(self) -> str:
        error = self.stay.run.get("error")
        text = error.get("traceback") if isinstance(error, dict) else None
        return self.scrub(text[: tracebacks.CHARACTERS]) if isinstance(text, str) else ""

    @property
    def error_type(self) -> str:
        return str(self._error("type"))

    @property
    def error_message(self) -> str:
        return self.scrub(str(self._error("message")))[:2_000]

    def _error(self, name: str) -> Any:
        error = self.stay.run.get("error")
        return (error.get(name) or "") if isinstance(error, dict) else ""

    @cached_property
    def result(self) -> str:
        """What the function returned, in Python; "" when it returned None or did not return."""
        kept = self.stay.run.get("result")
        if not isinstance(kept, dict) or self.state != State.SUCCEEDED:
            return ""
        value = kept.get("value", kept.get("text"))
        return "" if value is None else self.scrub(literals.Writer(RESULT).write(value))

    @property
    def result_note(self) -> str:
        kept = self.stay.run.get("result")
        return str(kept.get("note", "")) if isinstance(kept, dict) else ""

    @property
    def worker(self) -> str:
        return str(self.stay.data.get("worker") or "")

    @property
    def attempt(self) -> int | None:
        number = self.stay.data.get("attempt")
        return number if isinstance(number, int) else None

    @property
    def due(self) -> datetime | None:
        """For when a scheduled job was planned."""
        text = self.stay.data.get("due")
        return parse_datetime(text) if isinstance(text, str) else None


def _run_seconds(data: dict[str, Any]) -> float | None:
    try:
        ended, started = parse_datetime(data["ended"]), parse_datetime(data["started"])
        return (ended - started).total_seconds() if ended and started else None
    except (KeyError, TypeError, ValueError):
        return None


@dataclass(frozen=True)
class Part:
    """A share of a job's time. `state`: whose colour it has; `x`, `width`: of 300."""

    state: str
    name: str
    seconds: float
    x: int
    width: int

    @property
    def text(self) -> str:
        return words.duration(self.seconds)


@dataclass
class Biography:
    """What happened to a job, and where its time went."""

    cards: list[Card]
    parts: list[Part]
    #: How many changes before those of the cards there are; whether still more were not read.
    older: int
    is_cut: bool

    @property
    def newest(self) -> Card:
        return self.cards[0]

    @property
    def summary(self) -> str:
        """The shares in words, for who does not see the bar."""
        total = sum(part.seconds for part in self.parts) or 1.0
        shares = (f"{part.name} {round(100 * part.seconds / total)} %" for part in self.parts)
        return ", ".join(shares)


def of(job: Job, scrub: Scrubber) -> Biography:
    """Return the life of `job`. Two statements. `scrub`: what takes secrets out of texts."""
    entries = HistoryEntry.objects.using(conf.DATABASE).filter(job=job.pk).defer("data")
    # Not by the id itself, or PostgreSQL may read the whole table by its key to find a few rows.
    found = list(entries.order_by((F("id") + 0).desc())[: READ + 1])
    stays = [_stay(entry) for entry in reversed(found[:READ])]
    stays.append(Stay(0, State(job.state), job.reason, job.state_changed_at, None))
    _tell_of_runs(job, stays)
    cards = [Card(stay, scrub, queue=job.queue) for stay in stays]
    for before, run, card in zip(cards, cards[1:], cards[2:], strict=False):
        if run.state == State.PROCESSING and before.state == State.ENQUEUED:
            card.latency = before.stay.seconds
    for card in cards:
        card.server = str(card.stay.data.get("server") or "")
    cards[-1].is_newest = True
    if cards[-1].state == State.PROCESSING:
        cards[-1].server = job.server
        cards[-1].stay.data = {"attempt": job.attempt}
    if cards[-1].state == State.SCHEDULED:
        cards[-1].stay.data = {"due": job.run_at.isoformat()}
    shown = cards[-CARDS:]
    return Biography(shown[::-1], _parts(stays), len(cards) - len(shown), len(found) > READ)


def _stay(entry: HistoryEntry) -> Stay:
    return Stay(entry.pk, State(entry.state), entry.reason, entry.entered_at, entry.left_at)


def _tell_of_runs(job: Job, stays: Sequence[Stay]) -> None:
    """Read what the runs that are shown came to, and whose pauses are those of retries."""
    shown = [stay.pk for stay in stays[-CARDS - 1 :] if stay.pk]
    rows = HistoryEntry.objects.using(conf.DATABASE).filter(pk__in=shown).exclude(data="{}")
    kept = {pk: data for pk, data in rows.values_list("pk", "data") if isinstance(data, dict)}
    ran = len(stays) > READ
    run: dict[str, Any] = {}
    for stay in stays:
        stay.run, stay.again, stay.data = run, ran, kept.get(stay.pk, {})
        is_run = stay.state == State.PROCESSING
        run, ran = (stay.data if is_run else {}), ran or is_run


def _parts(stays: Sequence[Stay]) -> list[Part]:
    """Return the shares of the time in which something was still to be done."""
    seconds: dict[str, timedelta] = {}
    end = stays[-1].entered if stays[-1].state in FINAL else timezone.now()
    for stay in stays:
        if stay.state not in FINAL:
            key = "pause" if stay.state == State.SCHEDULED and stay.again else str(stay.state)
            spent = max((stay.left or end) - stay.entered, timedelta())
            seconds[key] = seconds.get(key, timedelta()) + spent
    total = sum((spent.total_seconds() for spent in seconds.values()), 0.0)
    names = {
        str(State.AWAITING): (State.AWAITING, _("Waiting for the parent")),
        str(State.SCHEDULED): (State.SCHEDULED, _("Planned delay")),
        "pause": (State.SCHEDULED, _("Pauses before retries")),
        str(State.ENQUEUED): (State.ENQUEUED, _("Waiting in queue")),
        str(State.PROCESSING): (State.PROCESSING, _("Running")),
    }
    parts, x = [], 0
    for key, (state, name) in names.items():
        if key in seconds:
            share = seconds[key].total_seconds()
            width = max(1, round(300 * share / total)) if total else 1
            parts.append(Part(str(state), name, share, x, width))
            x += width
    return parts
