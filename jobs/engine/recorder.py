"""Writing outcomes in batches, with the counters of the minute in the same transaction."""

from __future__ import annotations

import logging
import time
from collections import Counter as Tally
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from django.db import DatabaseError, OperationalError, connections, transaction
from django.utils import timezone

from .. import statistics, transitions
from ..conf import conf
from ..models import Counter, Span
from ..outcomes import Kind, Outcome
from ..races import Locked
from ..serialization import dumps
from .arena import Pair
from .database import Failure, Outage, judge, passes

logger = logging.getLogger(__name__)

#: An outcome waits at most so long for others to share its transaction.
DELAY_SECONDS = 0.02
#: So many are written at once without further waiting.
BATCH = 250
#: When so many are refused even as failed and none is stored, the rest need not be tried.
HOPELESS = 3


class Pending(NamedTuple):
    """An outcome in hand: from which line, under which number of that line, since when."""

    line: Any
    number: int
    outcome: Outcome
    since: float

    @property
    def pair(self) -> Pair:
        return self.outcome.id, self.outcome.token


@dataclass
class Written:
    """What became of a batch.

    `stored`: is committed, if need be as failed. `late`: of these, what came with a token that is
    not its job's any more. `refused`: is not stored, not even as failed; what was tried comes last.
    """

    stored: list[Pending] = field(default_factory=list)
    late: list[Outcome] = field(default_factory=list)
    refused: list[Pending] = field(default_factory=list)
    error: Exception | None = None

    @property
    def hopeless(self) -> bool:
        """Whether it seems to be the table that takes none, and not the outcomes."""
        return len(self.refused) >= HOPELESS and not self.stored


class Recorder:
    """Holds outcomes until they are committed.

    `fresh` have not been tried. `aside` are refused by the database and tried again, later each
    time: they must not hold up the others.
    """

    def __init__(self, server: str, outage: Outage) -> None:
        self._outage = outage
        self._minutes = Minutes(server)
        self._repeating = False
        self._batch = 2 * BATCH
        self.fresh: list[Pending] = []
        self.aside: list[Pending] = []

    @property
    def pending(self) -> list[Pending]:
        """All that is not committed."""
        return self.fresh + self.aside

    def add(self, line: Any, number: int, outcome: Outcome) -> None:
        self.fresh.append(Pending(line, number, outcome, time.monotonic()))

    def wait(self, *, now: bool) -> float | None:
        """Return seconds until the next flush, None with nothing to flush.

        `now`: there is nothing to wait for.
        """
        waits = []
        if self.fresh:
            age = time.monotonic() - self.fresh[0].since
            at_once = now or len(self.fresh) >= BATCH
            pause = self._outage.wait_for(self._flush_fresh)
            waits.append(max(pause, 0.0 if at_once else DELAY_SECONDS - age))
        if self.aside:
            waits.append(self._outage.wait_for(self._write_aside))
        return min(waits, default=None)

    def flush(self) -> list[Pending]:
        """Write what is pending; return what need not be kept any longer."""
        stored = self._flush_fresh() + self._flush_aside()
        if stored:
            # The table takes outcomes, so the fault is theirs. Their workers need not wait for
            # them; were this process to end, their jobs would be found in nobody's hands.
            for pending in self.aside:
                pending.line.committed(pending.number, pending.pair)
        return stored

    def _flush_fresh(self) -> list[Pending]:
        batch = self.fresh[: self._batch]
        if not batch or self._outage.wait_for(self._flush_fresh):
            return []
        done, written = self._outage.attempt(lambda: self._write(batch))
        if not done or written is None:
            self._repeating = True
            # It may be the database, or that it won't take so much at once.
            self._batch = max(1, len(batch) // 2)
            return []
        self._batch = min(2 * BATCH, 2 * self._batch)
        self._report(written.late)
        self._repeating = False
        del self.fresh[: len(batch)]
        self._set_aside(written)
        return written.stored

    def _set_aside(self, written: Written) -> None:
        self.aside += written.refused
        if written.refused:
            logger.error(
                "the outcomes of %s can't be stored for now, not even as failed, and are kept: %s",
                _named(written.refused),
                written.error,
            )

    def _flush_aside(self) -> list[Pending]:
        if not self.aside:
            return []
        done, written = self._outage.attempt(self._write_aside)
        if not done or written is None:
            return []
        self._report(written.late)
        self.aside = written.refused
        return written.stored

    def _write_aside(self) -> Written:
        written = self._write(self.aside)
        if not written.stored:
            self.aside = written.refused  # others come first the next time
            if isinstance(written.error, Locked):
                raise written.error
            raise DatabaseError(f"the outcomes of {_named(self.aside)}: {written.error}")
        return written

    def _write(self, batch: list[Pending]) -> Written:
        written = Written()
        self._write_parts(batch, written)
        return written

    def _write_parts(self, batch: list[Pending], written: Written) -> None:
        """Write a batch, or what the database takes of it."""
        if written.hopeless:
            written.refused = batch + written.refused
            return
        try:
            late = self._store([pending.outcome for pending in batch])
        except Exception as error:
            if passes(error) and not isinstance(error, Locked):
                raise
            if len(batch) == 1:
                self._write_one(batch[0], written, error)
                return
            middle = len(batch) // 2
            self._write_parts(batch[:middle], written)
            self._write_parts(batch[middle:], written)
        else:
            written.stored += batch
            written.late += late

    def _write_one(self, pending: Pending, written: Written, error: Exception) -> None:
        """Write what met `error` once more, for it may have been the connection; or as failed."""
        for as_failed in (False, True):
            if isinstance(error, Locked):
                break
            _confirm(error)
            tried = pending
            if as_failed:
                tried = pending._replace(outcome=_plain(pending.outcome, error))
            try:
                written.late += self._store([tried.outcome])
            except Exception as again:
                error = again
                continue
            written.stored.append(tried)
            if as_failed:
                logger.error(
                    "#%d: its outcome could not be stored; the job is recorded as failed",
                    pending.outcome.id,
                    exc_info=error,
                )
            return
        _confirm(error)
        written.error = error
        written.refused.append(pending)

    def _store(self, outcomes: list[Outcome]) -> list[Outcome]:
        now = timezone.now()
        with transaction.atomic(using=conf.DATABASE, durable=True):
            refused = transitions.record(outcomes)
            gone = {(o.id, o.token) for o in refused}
            news = statistics.count(o for o in outcomes if (o.id, o.token) not in gone)
            totals = self._minutes.write(now, news)
        self._minutes.totals = totals
        return refused

    def _report(self, refused: Iterable[Outcome]) -> None:
        for outcome in refused:
            if self._repeating:
                logger.info("#%d: its outcome was stored before, or is refused", outcome.id)
            else:
                logger.warning(
                    "#%d: the outcome %r came too late and is refused: the job was given up here "
                    "and belongs to another run",
                    outcome.id,
                    outcome.kind,
                )


def _confirm(error: Exception) -> None:
    """Make sure, by a new connection, that it is the outcome that is refused or can't be had.

    Raises OperationalError when, whatever it was, now it is the database that is away.
    """
    if not isinstance(error, Locked) and judge(error) is not Failure.REFUSED:
        raise OperationalError(f"{type(error).__name__}: {error}") from error


def _named(held: list[Pending]) -> str:
    return ", ".join(f"#{pending.outcome.id}" for pending in held[-20:])


def _plain(outcome: Outcome, error: Exception) -> Outcome:
    text = f"{type(error).__name__}: {error}".encode("ascii", "replace").decode()[:200]
    return Outcome(
        outcome.id,
        outcome.token,
        Kind.FAILED.value,
        f"ended as {outcome.kind}, but that could not be stored: {text}"[:200],
        dumps({"note": text}),
        outcome.seconds,
        error_type="OutcomeNotStored",
    )


class Minutes:
    """The counters of this server in the running minute.

    This process is their only writer, so it knows their values and writes them outright.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self.totals: tuple[datetime | None, Tally[str]] = (None, Tally())

    def write(self, now: datetime, news: Tally[str]) -> tuple[datetime | None, Tally[str]]:
        """Write what `news` adds; return the totals, which hold once the transaction commits."""
        minute = now.replace(second=0, microsecond=0)
        known, totals = self.totals
        if known != minute:
            totals = self._stored(minute)
        totals = totals + news
        if news:
            self._upsert(minute, {name: totals[name] for name in news})
        return minute, totals

    def _stored(self, minute: datetime) -> Tally[str]:
        rows = Counter.objects.using(conf.DATABASE).filter(
            span=Span.MINUTE, minute=minute, server=self._server
        )
        return Tally(dict(rows.values_list("name", "value")))

    def _upsert(self, minute: datetime, values: dict[str, int]) -> None:
        counters = Counter.objects.using(conf.DATABASE)
        features = connections[conf.DATABASE].features
        key: dict[str, Any] = {"span": Span.MINUTE, "minute": minute, "server": self._server}
        if features.supports_update_conflicts:
            targeted = features.supports_update_conflicts_with_target
            counters.bulk_create(
                [Counter(**key, name=name, value=value) for name, value in values.items()],
                update_conflicts=True,
                update_fields=["value"],
                unique_fields=["span", "minute", "server", "name"] if targeted else None,
            )
            return
        for name, value in values.items():
            if not counters.filter(**key, name=name).update(value=value):
                counters.create(**key, name=name, value=value)
