"""Claim time against finished rows, and under a held old transaction."""

from __future__ import annotations

from typing import Any

from ..harness import Contender
from .base import Case, Column, Measure, Plan


def sizes(plan: Plan) -> list[int]:
    if plan.full:
        return [0, 100_000, 1_000_000]
    return [0, plan.size(20_000, 100_000)]


def _run(contender: Contender, finished: list[int]) -> dict[str, Any]:
    contender.reset()
    found = contender.step("claims", timeout=1500, url=contender.url, sizes=finished)["rows"]
    ms = {(row["finished"], row["held"]): row["ms"] for row in found}
    result: dict[str, Any] = {}
    for (count, held), took in ms.items():
        key = f"{count}{'_held' if held else ''}"
        result[f"ms_{key}"] = took
        result[f"us_{key}"] = 10 * took  # of one job, in a claim of a hundred
        if count:
            result[f"ratio_{key}"] = took / ms[0, held]
    if ms[0, False]:
        result["held_ratio_0"] = ms[0, True] / ms[0, False]
    return result


def _columns() -> tuple[Column, ...]:
    columns = []
    for suffix, words in (("", ""), ("_held", ", old transaction held")):
        columns.append(Column(f"ms_0{suffix}", f"none, ms{words}", 2))
        for count, name in ((20_000, "20 k"), (100_000, "100 k"), (1_000_000, "1 M")):
            columns.append(Column(f"ms_{count}{suffix}", f"{name}, ms{words}", 2))
            columns.append(Column(f"ratio_{count}{suffix}", f"{name} ÷ none{words}", 2))
    return tuple(columns)


MEASURE = Measure(
    "claim",
    "Claim time against finished rows",
    "A claim of 100 jobs (read, lock, update, history, commit) with so many finished jobs in the "
    "same table; the median of the last 20 of 60 claims in a row, by when the earlier ones have left "
    "dead rows in the index. Once as it is, once while another session has a transaction open from "
    "before the jobs were enqueued, so that the server can't remove dead rows. Finished jobs are "
    "copies of jobs that ran; their history is not copied.",
    _columns(),
    lambda plan: [Case(("bonfire",), parameters={"finished": sizes(plan)})],
    _run,
)
