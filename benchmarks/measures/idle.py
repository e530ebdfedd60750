"""What a worker group costs when there is nothing to do."""

from __future__ import annotations

import time
from typing import Any

from .. import stores
from ..harness import Contender
from .base import ALL, Case, Column, Measure


def _run(contender: Contender, seconds: int) -> dict[str, Any]:
    contender.reset()
    with contender.workers(BENCH_STATEMENTS=str(contender.statements)) as group:
        contender.warm_up(group)
        time.sleep(4)  # what a start leaves behind, such as a first look at other servers
        before, statements = group.cpu(), contender.statement_count()
        transactions, began = stores.commits(contender.url), time.monotonic()
        time.sleep(seconds)
        after, elapsed = group.cpu(), time.monotonic() - began
        found: dict[str, Any] = {
            "cpu_percent": 100 * sum(after[pid] - before.get(pid, 0) for pid in after) / elapsed,
            "pss_mib": group.pss_mib(),
            "processes": len(after),
        }
        if contender.statements.exists():
            found["statements"] = (contender.statement_count() - statements) / elapsed
        if transactions is not None:
            # The server learns of a session's transactions up to a second late. Two are ours.
            now = stores.commits(contender.url)
            assert now is not None
            found["transactions"] = max(0, now - transactions) / elapsed
        return found


MEASURE = Measure(
    "idle",
    "Idle cost and memory",
    "A group of two workers with nothing to do: CPU of all its processes, statements as Django "
    "counts them and transactions as PostgreSQL does (its statistics are up to a second late), and "
    "memory as proportional set size, in which a page shared by n processes counts 1/n each.",
    (
        Column("cpu_percent", "CPU, % of a core", 2),
        Column("statements", "statements/s", 2),
        Column("transactions", "transactions/s", 2),
        Column("pss_mib", "memory, MiB", 0, ratio=True),
        Column("processes", "processes", 0),
    ),
    lambda plan: [Case(ALL, parameters={"seconds": plan.size(10, 20)})],
    _run,
)
