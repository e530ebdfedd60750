"""Rows inserted without the ORM's instances are what the ORM would have written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DataError, connection
from django.test.utils import CaptureQueriesContext

from jobs import bulk
from jobs.models import HistoryEntry, Job
from jobs.serialization import JSONText

pytestmark = pytest.mark.django_db
NAMES = ("job", "state", "reason", "data", "entered_at", "left_at")
BEGAN = datetime(2026, 3, 29, 1, 59, 59, 123456, tzinfo=UTC)


def row(number: int, **changes: Any) -> tuple[Any, ...]:
    values = {
        "job": number,
        "state": "processing",
        "reason": "said \"no\" \\ 100 % of 'them' – עברית 🔥\n",
        "data": JSONText('{"result":{"value":"\\u0001\\\\ %s é"}}'),
        "entered_at": BEGAN + timedelta(microseconds=number),
        "left_at": BEGAN.replace(microsecond=0),
        **changes,
    }
    return tuple(values[name] for name in NAMES)


def stored() -> list[tuple[Any, ...]]:
    return list(HistoryEntry.objects.order_by("id").values_list("job_id", *NAMES[1:]))


def test_the_same_rows_are_there_as_by_bulk_create() -> None:
    rows = [row(number) for number in range(1, 701)]
    bulk.insert(HistoryEntry, NAMES, rows, using="default")
    ours = stored()
    HistoryEntry.objects.all().delete()
    HistoryEntry.objects.bulk_create(
        HistoryEntry(job_id=r[0], **dict(zip(NAMES[1:], r[1:], strict=True))) for r in rows
    )
    assert ours == stored()
    assert [r[0] for r in ours] == list(range(1, 701)), "in their order"


def test_null_and_defaults() -> None:
    job = Job.objects.create(func="f", arguments={}, queue="q", state="enqueued")
    names = [f.name for f in Job._meta.concrete_fields if not f.primary_key]
    values = Job.objects.values_list(*names).get(pk=job.pk)
    raw = [str(v) if isinstance(v, dict) else v for v in values]
    bulk.insert(Job, names, [raw], using="default")
    twin = Job.objects.exclude(pk=job.pk)
    assert twin.values_list("finished_at", "recovered", "run_at", "priority").get() == (
        None,
        False,
        job.run_at,
        0,
    )


@pytest.mark.skipif(connection.vendor == "sqlite", reason="it takes text of any length")
def test_what_is_too_long_is_refused_and_not_cut() -> None:
    with pytest.raises(DataError):
        bulk.insert(HistoryEntry, NAMES, [row(1, reason="x" * 256)], using="default")


def test_no_rows_cost_no_statement() -> None:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        bulk.insert(HistoryEntry, NAMES, [], using="default")
    assert len(queries) == 0
