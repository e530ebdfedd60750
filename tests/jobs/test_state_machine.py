"""Whatever happens in whatever order, a job stays in order."""

import uuid
from datetime import timedelta
from itertools import pairwise

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

import jobs
from jobs import transitions
from jobs.models import HistoryEntry, Job
from jobs.outcomes import Kind, Outcome
from jobs.states import INITIAL, MOVES, State
from tests import functions

picks = st.integers(min_value=0, max_value=9)


class Jobs(RuleBasedStateMachine):
    """Random operations, as users, dispatchers and dead workers do them."""

    def __init__(self):
        super().__init__()
        Job.objects.all().delete()
        self.ids = []
        self.held = {}  # id → token, of executions that have not ended
        self.lost = []  # pairs that were given up: their outcomes come late

    def pick(self, number):
        return self.ids[number % len(self.ids)] if self.ids else None

    def pair(self, number):
        pairs = sorted(self.held.items())
        return pairs[number % len(pairs)] if pairs else None

    def steer(self, move, *args, **kwargs):
        try:
            move(*args, **kwargs)
        except jobs.IllegalTransition:
            pass

    @rule(delayed=st.booleans(), number=st.integers(1, 3))
    def create(self, delayed, number):
        options = {"run_after": timedelta(hours=1)} if delayed else {}
        for _ in range(number):
            self.ids.append(jobs.using(functions.nothing, **options).enqueue().pk)

    @rule(limit=st.integers(1, 3), idle=st.integers(0, 2))
    def claim(self, limit, idle):
        token = uuid.uuid4().hex
        for claimed in transitions.claim("default", limit, server="s", token=token, idle=idle):
            assert claimed.id not in self.held
            self.held[claimed.id] = token

    @rule(number=picks, kind=st.sampled_from(Kind))
    def record(self, number, kind):
        if pair := self.pair(number):
            delay = 5.0 if kind in (Kind.RETRY, Kind.MISSING) else None
            assert transitions.record([Outcome(*pair, kind, "why", "{}", 0.0, delay)]) == []
            del self.held[pair[0]]
            self.lost.append(pair)

    @rule(number=picks, kind=st.sampled_from(Kind))
    def record_late(self, number, kind):
        if self.lost:
            late = Outcome(*self.lost[number % len(self.lost)], kind, "late", "{}", 0.0, 1.0)
            assert transitions.record([late]) == [late]

    @rule(number=picks)
    def crash(self, number):
        if pair := self.pair(number):
            transitions.crash([pair], "killed")
            del self.held[pair[0]]
            self.lost.append(pair)

    @rule(number=picks, started=st.booleans())
    def give_back(self, number, started):
        if pair := self.pair(number):
            transitions.give_back([pair], "stopping", started=started)
            del self.held[pair[0]]
            self.lost.append(pair)

    @rule()
    def give_up(self):
        transitions.give_up("s", None, "died")
        self.lost += self.held.items()
        self.held.clear()

    @rule(number=picks)
    def requeue(self, number):
        if pk := self.pick(number):
            self.steer(jobs.requeue, pk)

    @rule(number=picks)
    def delete(self, number):
        if pk := self.pick(number):
            self.steer(jobs.delete, pk)

    @rule(number=picks)
    def reschedule(self, number):
        if pk := self.pick(number):
            self.steer(jobs.reschedule, pk, run_after=timedelta(hours=1))

    @rule()
    def promote(self):
        transitions.promote_due(10, timezone.now() + timedelta(hours=2))

    @invariant()
    def every_job_is_in_order(self):
        history = {}
        for entry in HistoryEntry.objects.order_by("id"):
            history.setdefault(entry.job_id, []).append(entry)
        rows = list(Job.objects.all())
        assert {job.pk for job in rows} == set(self.ids)
        for job in rows:
            self.check(job, history.get(job.pk, []))

    def check(self, job, entries):
        assert job.state in State
        # The token is there exactly while an execution holds the row.
        assert job.claim_token == self.held.get(job.pk, "")
        if job.state == State.PROCESSING:
            assert job.claim_token
        elif job.claim_token:
            assert job.state == State.DELETED
        assert bool(job.server) == bool(job.claim_token)
        # Only moves that exist, without gaps.
        path = [*(entry.state for entry in entries), job.state]
        assert path[0] in INITIAL
        for source, target in pairwise(path):
            assert target in MOVES[State(source)]
        times = [job.created_at]
        for entry in entries:
            assert entry.entered_at == times[-1]
            assert entry.left_at >= entry.entered_at
            times.append(entry.left_at)
        assert times[-1] == job.state_changed_at
        assert (job.finished_at is not None) == (
            job.state in (State.SUCCEEDED, State.FAILED, State.DELETED)
        )
        assert (job.expires_at is None) == (job.finished_at is None)


@pytest.mark.django_db
def test_jobs_stay_in_order_whatever_happens():
    run_state_machine_as_test(
        Jobs,
        settings=settings(
            max_examples=30,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
