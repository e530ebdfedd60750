"""The only package that changes a job's state. Others import what stands here, not its modules.

Each change locks the rows it is about (where the database can), compares their state and claim
token with what is expected, updates them under that same expectation, and writes the history in
the same transaction. The expectation in the UPDATE is the correctness; the lock only spares
wasted tries. A batch costs a constant number of statements, but for retries and failures, whose
times and reasons differ.
"""

from .asking import delete, enqueue_now, requeue, reschedule
from .claiming import Claims, claim, due_since
from .crashes import crash, give_back, give_up
from .creating import create, create_failed, create_many
from .ending import has_ended, hold, record
from .rows import CHUNK, CHUNK_CHARACTERS, REASON_LENGTH, Moved
from .waiting import give_up_waiting, promote_due, release

__all__ = [
    "CHUNK",
    "CHUNK_CHARACTERS",
    "REASON_LENGTH",
    "Claims",
    "Moved",
    "claim",
    "crash",
    "create",
    "create_failed",
    "create_many",
    "delete",
    "due_since",
    "enqueue_now",
    "give_back",
    "give_up",
    "give_up_waiting",
    "has_ended",
    "hold",
    "promote_due",
    "record",
    "release",
    "requeue",
    "reschedule",
]
