"""Atomic jobs killed at each point of their transaction have their effect exactly once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db.models import Sum

import jobs
from jobs.models import Job
from jobs.states import State
from tests import functions
from tests.cluster import Server as Cluster
from tests.cluster import until

from .figures import Record, exactly, shown

Start = Callable[..., Cluster]
Scale = Callable[[Any, Any], Any]

FAULTS = [
    "killed before the commit",
    "killed in the commit",
    "killed after the commit",
    "answer to COMMIT lost",
    "COMMIT lost",
]


@pytest.mark.timeout(600)
def test_effects_happen_once(cluster: Start, figure: Record, scale: Scale) -> None:
    number = scale(60, 1000)
    server = cluster()
    jobs.enqueue_many(functions.effect, [(n, FAULTS[n % len(FAULTS)]) for n in range(number)])
    until(
        lambda: Job.objects.filter(state=State.SUCCEEDED).count() == number,
        500,
        message=server.text[-5000:],
    )
    names = Group.objects.filter(name__startswith="effect").values_list("name", flat=True)
    effects = Counter(int(name.split()[1]) for name in names)
    totals = Job.objects.aggregate(Sum("attempt"), Sum("crashes"))
    fault = "atomic jobs killed before, in and after COMMIT, or cut off there"
    figure(14, fault, "jobs with exactly one effect", _once(effects), "", exactly(number))
    figure(
        14, fault, "jobs with more than one effect", len(effects) - _once(effects), "", exactly(0)
    )
    figure(14, fault, "runs", totals["attempt__sum"], "", shown)
    figure(14, fault, "workers that died of it", totals["crashes__sum"], "", shown)


def _once(effects: Counter[int]) -> int:
    return sum(count == 1 for count in effects.values())
