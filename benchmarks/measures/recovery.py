"""SIGKILL of the whole worker group in the middle of jobs."""

from __future__ import annotations

import time
from typing import Any

from ..harness import Contender, Failed
from .base import Case, Column, Measure, Plan


def _run(contender: Contender, cap: int) -> dict[str, Any]:
    contender.reset()
    jobs = 6
    contender.step("fill", function="nap", count=jobs, extra=[1.0])
    with contender.workers() as group:
        if not contender.wait(lambda: contender.started(2), group, 60):
            raise Failed(f"nothing started within a minute, see {contender.log}")
        time.sleep(0.5)
        killed = group.kill()
    before = contender.events()
    cut = {number for number, _ in before} - {number for number, _ in contender.ends()}
    with contender.workers() as group:

        def again() -> dict[int, float]:
            found: dict[int, float] = {}
            for number, at in contender.events()[len(before) :]:
                found.setdefault(number, at - killed)
            return found

        contender.wait(lambda: cut <= set(again()), group, cap, 0.05)
        contender.wait(lambda: len(set(contender.ends())) >= jobs, group, 10, 0.05)
        later = again()
    reran = [later[number] for number in cut if number in later]
    return {
        "cut": len(cut),
        "reran": len(reran),
        "seconds": max(reran) if len(reran) == len(cut) and reran else None,
        "first": min(later.values(), default=None),
    }


def _cases(plan: Plan) -> list[Case]:
    cases = [Case(("bonfire",), parameters={"cap": 60})]
    if plan.full:
        others = (
            "django-q2-tuned",
            "django-tasks-db",
            "celery",
            "huey",
            "pgqueuer",
            "procrastinate",
        )
        cases.append(Case(others, parameters={"cap": 75}))
    return cases


MEASURE = Measure(
    "recovery",
    "SIGKILL of the whole worker group",
    "Two of six jobs of 1 s are running when every process of the group is killed; a new group "
    "starts at once. `again after` counts from the kill and so includes the start of the new "
    "group; a dash: not all of them within 75 s.",
    (
        Column("cut", "killed in mid-run", 0),
        Column("reran", "of these run again", 0),
        Column("seconds", "again after, s", 1),
        Column("first", "first start of the new group, s", 1),
    ),
    _cases,
    _run,
)
