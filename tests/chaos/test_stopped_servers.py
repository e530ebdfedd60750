"""A server that was stopped for too long, and goes on."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group

import jobs
from jobs.models import HistoryEntry, Job
from jobs.models import Server as ServerRow
from jobs.states import State
from tests.cluster import Server, until

from . import checks, functions
from .figures import Record, at_least, exactly, shown

FAULT = "SIGSTOP of a whole server beyond its timeout, then SIGCONT"
#: Short, because it is waited for so often.
LIVELY = {"HEARTBEAT_SECONDS": 0.3, "SERVER_TIMEOUT_SECONDS": 1}
JOBS_EACH = 6
#: More rounds at most, until a job of the stopped server was executed again: what it held when it
#: was looked at may have ended when the signal came.
MORE = 10


def registered(name: str) -> set[str]:
    """Return under which names the cluster with this label is registered now."""
    rows = ServerRow.objects.filter(name__startswith=f"{name}:")
    return set(rows.values_list("name", flat=True))


def taken_away() -> int:
    """Return how many runs have ended without an outcome, once all jobs have succeeded."""
    runs = HistoryEntry.objects.filter(state=State.PROCESSING).count()
    return runs - Job.objects.filter(state=State.SUCCEEDED).count()


def executed() -> Counter[str]:
    """Return how often each job's function ran to its end."""
    return Counter(name.split()[0] for name in Group.objects.values_list("name", flat=True))


def again() -> int:
    """Return how many executions were not the first of their job."""
    times = executed()
    return times.total() - len(times)


@pytest.mark.alone
def test_what_a_stopped_server_ends_late_is_not_counted_twice(
    cluster: Callable[..., Server], scale: Callable[..., Any], figure: Record
) -> None:
    fewest, rounds, given_up, number = scale(3, 50), 0, 0, 0
    pair = {name: cluster("--name", name, jobs=LIVELY) for name in ("first", "second")}
    while rounds < fewest or (not again() and rounds < fewest + MORE):
        rounds += 1
        until(lambda: all(map(registered, pair)), 20)
        for _ in range(JOBS_EACH):
            jobs.enqueue(functions.write_row, number, 0.4)
            number += 1
        held = until(
            lambda: Job.objects.filter(state=State.PROCESSING).values_list("server", flat=True)
        )
        victim = held[0].split(":")[0]
        before = registered(victim)
        pair[victim].signal_all(signal.SIGSTOP)
        try:
            # On SQLite it may have been stopped with the write lock in hand: then nobody can.
            until(lambda v=victim, b=before: b - registered(v), 10)
            given_up += 1
        except AssertionError:
            pass
        finally:
            pair[victim].signal_all(signal.SIGCONT)
        until(lambda: not checks.unfinished(), 30)
    texts = "".join(server.text for server in pair.values())
    succeeded = Job.objects.filter(state=State.SUCCEEDED).count()
    wrong = checks.inconsistencies()
    figure(5, FAULT, "times", rounds, "", shown)
    figure(5, FAULT, "given up by the other", given_up, "", shown)
    figure(5, FAULT, "runs taken away from the stopped server", taken_away(), "", at_least(1))
    figure(5, FAULT, "lost", number - succeeded, "", exactly(0))
    figure(5, FAULT, "executed again", again(), "", at_least(1))
    figure(5, FAULT, "late outcomes refused", texts.count("is refused"), "", shown)
    figure(5, FAULT, "completed twice", sum("results" in line for line in wrong), "", exactly(0))
    figure(5, FAULT, "inconsistent histories", len(wrong), "", exactly(0))
    assert given_up, texts
    assert len(executed()) == number, "not all were executed"
