"""The client's verbs in async code, and async functions as jobs."""

from __future__ import annotations

from datetime import timedelta

import pytest

import jobs
from jobs.models import Job
from jobs.states import State
from tests import functions


@pytest.mark.django_db(transaction=True)
def test_every_verb_has_its_twin():
    from asgiref.sync import async_to_sync

    async def story():
        first = await jobs.aenqueue(functions.add, 1)
        child = await jobs.acontinue_with(first, functions.add, 2, on="deleted")
        assert await jobs.aenqueue_many(functions.add, [(1,), (2,)]) == 2
        later = await jobs.aschedule(functions.later, 3, run_after=timedelta(hours=1))
        assert await jobs.areschedule(later, run_after=timedelta(hours=2))
        assert await jobs.adelete(first)
        assert await jobs.arequeue(later)
        return first, child, later

    first, child, later = async_to_sync(story)()
    for job in (first, child, later):
        job.refresh_from_db()
    assert [first.state, child.state, later.state] == ["deleted", "enqueued", "enqueued"]
    jobs.testing.drain()
    later.refresh_from_db()
    assert later.result == 4
    assert Job.objects.filter(state=State.SUCCEEDED).count() == 4
