"""Removing what is too old: expired jobs, counters by the minute, counters by the hour.

Each call is one short transaction that any number of servers may run at the same time, and says
whether more is left to do.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import transaction
from django.db.models import Count, F, Q, Sum
from django.utils import timezone

from . import reports
from .clock import DatabaseNow
from .conf import conf
from .models import Counter, HistoryEntry, Job, Span
from .races import Raced, repeat_when_raced
from .states import State
from .transitions import CHUNK

#: So many jobs go in one transaction; not more than CHUNK, which fit one list of ids.
BATCH = CHUNK
#: Counters by the minute are kept for so long, then summed by the hour.
MINUTES_KEPT = timedelta(days=2)
#: A job to which a child is being added stays for at least so long.
KEPT_FOR_CHILD = timedelta(hours=1)


class Position(NamedTuple):
    """How far a pass over the expired jobs has come."""

    expires_at: datetime
    id: int


class Pruned(NamedTuple):
    """How many jobs were removed, and where to go on; None when the pass is through."""

    jobs: int
    position: Position | None


@repeat_when_raced
def prune_jobs(
    limit: int = BATCH, *, after: Position | None = None, as_of: datetime | None = None
) -> Pruned:
    """Remove up to `limit` (at most 500) expired jobs with their history.

    Those stay whose run has not ended, or for whose outcome another job waits; `after`, the
    position that the last call returned, keeps a pass from reading them again and again.
    `as_of`: the moment to judge by, default: the database's clock. Costs the same few statements
    whatever the number of jobs and of their history's entries.
    """
    db, limit = conf.DATABASE, min(limit, CHUNK)
    jobs = Job.objects.using(db)
    with transaction.atomic(using=db):
        expired = jobs.expired(as_of)
        if after:
            # Two conditions, so that the first one finds the place in the index.
            expired = expired.filter(expires_at__gte=after.expires_at).filter(
                Q(expires_at__gt=after.expires_at) | Q(id__gt=after.id)
            )
        rows = list(
            expired.order_by("expires_at", "id")
            .locked(skip_locked=True)
            .values_list("expires_at", "id", "claim_token")[:limit]
        )
        removed = _remove({pk for _, pk, claim_token in rows if not claim_token})
    if len(rows) < limit:
        return Pruned(removed, None)
    expires_at, pk, _ = rows[-1]
    assert expires_at is not None
    return Pruned(removed, Position(expires_at, pk))


def _remove(ids: set[int]) -> int:
    """Remove jobs and their history, but for those for whose outcome another job waits."""
    db = conf.DATABASE
    # In the order of the index on it: SQLite, once ANALYZEd, else reads the whole table, because
    # nearly all jobs have the same parent, none.
    children = Job.objects.using(db).filter(parent__in=ids, state=State.AWAITING)
    ids = ids - set(children.order_by("parent_id").values_list("parent_id", flat=True))
    if not ids:
        return 0
    # Not `delete()`, which would load the rows to look for others that refer to them.
    jobs = Job.objects.using(db).filter(pk__in=ids, expires_at__isnull=False, claim_token="")
    if jobs._raw_delete(db) != len(ids):
        raise Raced  # a database without locks, and one was requeued
    HistoryEntry.objects.using(db).filter(job__in=ids)._raw_delete(db)
    reports.remove(ids)
    return len(ids)


def keep_for_child(pk: int) -> bool:
    """Keep a job while the caller's transaction adds a child to it; return False if it is gone.

    Who prunes can't see that child before the commit, and would remove an expired parent. So its
    expiry is put off, which also locks the row until the commit. One statement, but for a job that
    has expired or is about to.
    """
    jobs = Job.objects.using(conf.DATABASE).filter(pk=pk)
    found = jobs.annotate(now=DatabaseNow()).values_list("expires_at", "now").first()
    if found is None:
        return False
    expires_at, until = found[0], found[1] + KEPT_FOR_CHILD
    if expires_at is None or expires_at >= until:
        return True
    if jobs.filter(expires_at__lt=until).update(expires_at=until):
        return True
    return jobs.exists()  # not if it has been pruned just now; it may have been requeued


@repeat_when_raced
def roll_up(as_of: datetime | None = None) -> bool:
    """Sum the minutes of the oldest hour that is over since two days; return whether there was one.

    `as_of`: the moment to judge by, default: now. However many servers try, each minute is
    counted once.
    """
    db = conf.DATABASE
    counters = Counter.objects.using(db)
    last = (as_of or timezone.now()) - MINUTES_KEPT - timedelta(hours=1)
    oldest = counters.filter(span=Span.MINUTE, minute__lte=last).order_by("minute").first()
    if oldest is None:
        return False
    hour = oldest.minute.replace(minute=0, second=0, microsecond=0)
    minutes = counters.filter(
        span=Span.MINUTE, minute__gte=hour, minute__lt=hour + timedelta(hours=1)
    )
    with transaction.atomic(using=db):
        sums = {
            name: (total, rows)
            for name, total, rows in minutes.order_by()
            .values_list("name")
            .annotate(Sum("value"), Count("id"))
        }
        # Of several servers one removes what it has summed; the others wait here for its commit,
        # and find nothing.
        removed = minutes._raw_delete(db)
        if removed != sum(rows for _, rows in sums.values()):
            raise Raced
        _add(hour, {name: total for name, (total, _) in sums.items()})
    return True


def _add(hour: datetime, totals: dict[str, int]) -> None:
    """Add to the counters of an hour; there are some already if a server's clock was wrong."""
    counters = Counter.objects.using(conf.DATABASE)
    there = counters.filter(span=Span.HOUR, minute=hour)
    known = set(there.values_list("name", flat=True))
    for name in known & totals.keys():
        there.filter(name=name).update(value=F("value") + totals[name])
    counters.bulk_create(
        Counter(span=Span.HOUR, minute=hour, name=name, value=total)
        for name, total in totals.items()
        if name not in known
    )


def prune_counters(as_of: datetime | None = None) -> bool:
    """Remove a batch of counters older than COUNTERS_EXPIRE_SECONDS; return whether more are left.

    `as_of`: the moment to judge by, default: now.
    """
    counters = Counter.objects.using(conf.DATABASE)
    first = (as_of or timezone.now()) - timedelta(seconds=conf.COUNTERS_EXPIRE_SECONDS)
    old = counters.filter(span=Span.HOUR, minute__lt=first).order_by("minute")
    ids = list(old.values_list("pk", flat=True)[:CHUNK])
    if ids:
        counters.filter(pk__in=ids)._raw_delete(conf.DATABASE)
    return len(ids) == CHUNK
