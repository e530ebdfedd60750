"""Writing outcomes in batches, with the counters of the minute in the same transaction."""

from __future__ import annotations

import logging
import time
from collections import Counter as Tally
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from django.db import DataError, IntegrityError, connections, transaction
from django.utils import timezone

from .. import statistics, transitions
from ..conf import conf
from ..models import Counter, Span
from ..outcomes import Kind, Outcome
from ..serialization import dumps
from .arena import Pair
from .database import Outage

logger = logging.getLogger(__name__)

#: An outcome waits at most so long for others to share its transaction.
DELAY_SECONDS = 0.02
#: So many are written at once without further waiting.
BATCH = 250


class Pending(NamedTuple):
    """An outcome in hand: from which line, under which number of that line, since when."""

    line: Any
    number: int
    outcome: Outcome
    since: float

    @property
    def pair(self) -> Pair:
        return self.outcome.id, self.outcome.token


class Recorder:
    """Holds outcomes until they are committed."""

    def __init__(self, server: str, outage: Outage) -> None:
        self._outage = outage
        self._minutes = Minutes(server)
        self._repeating = False
        self._batch = 2 * BATCH
        self.pending: list[Pending] = []

    def add(self, line: Any, number: int, outcome: Outcome) -> None:
        self.pending.append(Pending(line, number, outcome, time.monotonic()))

    def wait(self, *, idle: bool) -> float | None:
        """Return seconds until the next flush, None with nothing to flush.

        `idle`: nothing else runs, so there is nothing to wait for.
        """
        if not self.pending:
            return None
        if idle or len(self.pending) >= BATCH:
            return self._outage.wait
        age = time.monotonic() - self.pending[0].since
        return max(self._outage.wait, DELAY_SECONDS - age)

    def flush(self) -> list[Pending]:
        """Write what is pending; return what need not be kept any longer."""
        batch = self.pending[: self._batch]
        if not batch or self._outage.wait:
            return []
        done, refused = self._outage.attempt(lambda: self._write([p.outcome for p in batch]))
        if not done:
            self._repeating = True
            # It may be the database, or that it won't take so much at once.
            self._batch = max(1, len(batch) // 2)
            return []
        self._batch = min(2 * BATCH, 2 * self._batch)
        self._report(refused or [])
        self._repeating = False
        del self.pending[: len(batch)]
        return batch

    def _write(self, outcomes: list[Outcome]) -> list[Outcome]:
        try:
            return self._store(outcomes)
        except (DataError, IntegrityError, ValueError) as error:
            # One that the database won't take must not keep the others from being stored.
            if len(outcomes) > 1:
                middle = len(outcomes) // 2
                return self._write(outcomes[:middle]) + self._write(outcomes[middle:])
            logger.exception("#%d: its outcome could not be stored as it is", outcomes[0].id)
            return self._store([_plain(outcomes[0], error)])

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
