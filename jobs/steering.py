"""What an operator does to jobs: the actions, and one way to apply them to many jobs at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from django.db import DataError, IntegrityError, transaction

from . import continuations, transitions, wakeup
from .conf import conf
from .races import repeat_when_raced
from .states import State
from .transitions import Moved

#: So many jobs are moved in one transaction, and at most in one request.
BATCH = transitions.CHUNK


@dataclass(frozen=True)
class Action:
    """Something that can be done to jobs. `verb`: the permission that it needs on them."""

    name: str
    verb: str
    move: Callable[..., Moved]
    target: State
    #: In the history of each job.
    word: str

    def text(self, by: str, reason: str) -> str:
        """Return what the history says: `requeued by anna: bank is back`."""
        return f"{self.word} by {by}: {reason}" if reason else f"{self.word} by {by}"


ACTIONS = {
    action.name: action
    for action in (
        Action("requeue", "requeue", transitions.requeue, State.ENQUEUED, "requeued"),
        Action("enqueue", "requeue", transitions.enqueue_now, State.ENQUEUED, "enqueued now"),
        Action("delete", "delete", transitions.delete, State.DELETED, "deleted"),
    )
}


@dataclass
class Steered:
    """What became of each job: moved, left alone in the state that it has now, gone, refused."""

    moved: list[int] = field(default_factory=list)
    skipped: dict[int, State] = field(default_factory=dict)
    #: Deleted ones whose run has not ended; they are among `skipped` too.
    stopping: set[int] = field(default_factory=set)
    missing: set[int] = field(default_factory=set)
    #: Those whose change the database refused.
    failed: set[int] = field(default_factory=set)

    @property
    def left_alone(self) -> Counter[State]:
        """How many were left alone in which state, but for those that are still stopping."""
        return Counter(s for pk, s in self.skipped.items() if pk not in self.stopping)


def steer(
    action: Action, ids: Collection[int], *, by: str, reason: str = "", seen: State | None = None
) -> Steered:
    """Apply `action` to jobs by id, in that order, 500 in a transaction, and tell what it came to.

    `seen`: leave alone whatever is in another state by now. A job whose change the database
    refuses is counted, and does not keep the others. Raises what means that there is no database.
    """

    @repeat_when_raced
    def move(chosen: Sequence[int]) -> Moved:
        with transaction.atomic(using=conf.DATABASE):
            moved = action.move(chosen, action.text(by, reason), expected=seen)
            wakeup.announce_all(moved.queues)
            if action.target == State.DELETED:
                continuations.settle_after_commit(moved.ids)
        return moved

    wanted, result = sorted(set(ids)), Steered()
    for start in range(0, len(wanted), BATCH):
        batch = wanted[start : start + BATCH]
        try:
            _note(result, batch, move(batch))
        except (DataError, IntegrityError):  # a value of one of them; not the database itself
            for pk in batch:
                _one(result, move, pk)
    return result


def _one(result: Steered, move: Callable[..., Moved], pk: int) -> None:
    try:
        _note(result, [pk], move([pk]))
    except (DataError, IntegrityError):
        result.failed.add(pk)


def _note(result: Steered, ids: Sequence[int], moved: Moved) -> None:
    result.moved += moved.ids
    result.skipped.update(moved.skipped)
    result.stopping |= moved.stopping
    result.missing.update(set(ids).difference(moved.ids, moved.skipped))
