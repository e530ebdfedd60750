"""Jobs that wait for another job, and what becomes of them when that one has ended.

A child is released or given up after its parent's commit, by whoever wrote it; `sweep` finds
whatever was missed, and so is what makes it correct.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum, StrEnum
from functools import partial

from django.db.models import Exists, OuterRef, Q, QuerySet

from . import transitions, wakeup
from .conf import conf
from .models import Job, compiled
from .states import State

#: So many children are settled in one transaction.
CHUNK = 500
#: So many such transactions are made at most in a sweep,
SWEEP_PAGES = 10
#: and in the process of whoever deletes a parent or adds a child.
CLIENT_PAGES = 2


class Condition(StrEnum):
    """How the parent must have ended for its child to run."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    DELETED = "deleted"
    FINISHED = "finished"


class Verdict(Enum):
    """What happens to a waiting child."""

    RELEASE = "release"
    WAIT = "wait"
    GIVE_UP = "give up"


#: A failed parent may be requeued or deleted by somebody yet; what has succeeded or was deleted
#: stays so, or its children would wait for ever and keep it from expiring.
VERDICTS: dict[Condition, dict[State, Verdict]] = {
    Condition.SUCCEEDED: {
        State.SUCCEEDED: Verdict.RELEASE,
        State.FAILED: Verdict.WAIT,
        State.DELETED: Verdict.GIVE_UP,
    },
    Condition.FAILED: {
        State.SUCCEEDED: Verdict.GIVE_UP,
        State.FAILED: Verdict.RELEASE,
        State.DELETED: Verdict.GIVE_UP,
    },
    Condition.DELETED: {
        State.SUCCEEDED: Verdict.GIVE_UP,
        State.FAILED: Verdict.WAIT,
        State.DELETED: Verdict.RELEASE,
    },
    Condition.FINISHED: {
        State.SUCCEEDED: Verdict.RELEASE,
        State.FAILED: Verdict.RELEASE,
        State.DELETED: Verdict.RELEASE,
    },
}


def settle(parents: Iterable[int], pages: int | None = None) -> list[str]:
    """Release or give up the children of those `parents` that have ended; return their queues.

    Children that are given up are parents themselves: theirs follow. `pages`: how many
    transactions of a few hundred children to make at most; the sweep does the rest.
    """
    queues: list[str] = []
    left = list(parents)
    while left and pages != 0:
        found, left = settle_page(left)
        queues += found
        pages = None if pages is None else pages - 1
    return queues


def settle_page(parents: Sequence[int]) -> tuple[list[str], list[int]]:
    """Settle some hundred children at most; return their queues, and whose are still to settle."""
    if not _one_waiting():  # nearly always, and cheaper than to look for each parent
        return [], []
    waiting = Job.objects.using(conf.DATABASE).filter(state=State.AWAITING)
    chunk, rest = list(parents[:CHUNK]), list(parents[CHUNK:])
    children = list(
        waiting.filter(_decided(), parent__in=chunk)
        # In this order, or SQLite with statistics reads the whole table instead of the index.
        .order_by("parent_id", "id")
        .values_list("pk", "condition", "parent__state")[:CHUNK]
    )
    by_verdict: dict[tuple[Verdict, str, State], list[int]] = {}
    for pk, condition, ended in children:
        verdict = VERDICTS[Condition(condition)][State(ended)]
        by_verdict.setdefault((verdict, condition, State(ended)), []).append(pk)
    queues: list[str] = []
    for (verdict, condition, state), ids in by_verdict.items():
        if verdict == Verdict.RELEASE:
            queues += transitions.release(ids, f"its parent has {_WORDS[state]}").queues
        else:
            reason = f"its parent has {_WORDS[state]}, it waited for: {condition}"
            rest += transitions.give_up_waiting(ids, reason).ids
    # A full page: there may be more of these.
    return queues, rest + (chunk if len(children) == CHUNK else [])


def settle_after_commit(parents: Iterable[int]) -> None:
    """Do as `settle` when the caller's transaction has committed, and wake the servers."""
    # What fails there is made good by the sweep.
    wakeup.after_commit(partial(_settle_and_announce, list(parents)))


def _settle_and_announce(parents: list[int]) -> None:
    for queue in set(settle(parents, CLIENT_PAGES)):
        wakeup.announce(queue)


def sweep() -> list[str]:
    """Settle waiting jobs whose parents have ended or are gone; return their queues."""
    if not _one_waiting():
        return []
    waiting = Job.objects.using(conf.DATABASE).filter(state=State.AWAITING)
    parent = Job.objects.using(conf.DATABASE).filter(pk=OuterRef("parent_id"))
    ready = waiting.filter(_decided()).order_by("state_changed_at", "id")
    parents = ready.values_list("parent_id", flat=True)[:CHUNK]
    queues = settle(dict.fromkeys(parents), SWEEP_PAGES)
    orphans = waiting.filter(~Exists(parent)).order_by("state_changed_at", "id")
    for pk, gone in list(orphans.values_list("pk", "parent_id")[:CHUNK]):
        transitions.give_up_waiting([pk], f"its parent #{gone} does not exist any more")
        queues += settle([pk], SWEEP_PAGES)
    return queues


@compiled.query
def _one_waiting() -> QuerySet[Job, tuple[int]]:
    return Job.objects.using(conf.DATABASE).filter(state=State.AWAITING).values_list("pk")[:1]


def _decided() -> Q:
    """Return what holds for a waiting job that need not wait any longer.

    A parent that was deleted while it runs has not ended before that run has.
    """
    decided = Q()
    for condition, verdicts in VERDICTS.items():
        states = [state for state, verdict in verdicts.items() if verdict != Verdict.WAIT]
        decided |= Q(condition=condition, parent__state__in=states)
    return decided & Q(parent__claim_token="")


_WORDS = {
    State.SUCCEEDED: "succeeded",
    State.FAILED: "failed",
    State.DELETED: "been deleted",
}
