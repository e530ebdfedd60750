"""What passes between claim, worker and recorder. Plain tuples of plain values."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Claimed(NamedTuple):
    """A claimed job: all that a worker needs to run it. Times are epoch seconds.

    `due`: since when it could have been run; see `statistics`.
    """

    id: int
    token: str
    server: str
    func: str
    arguments: str
    options: str
    queue: str
    attempt: int
    retries: int
    language: str
    time_zone: str
    missing_since: float | None
    recovered: bool
    due: float = 0.0


class Kind(StrEnum):
    """How an execution ended."""

    SUCCEEDED = "succeeded"
    RETRY = "retry"
    FAILED = "failed"
    DELETED = "deleted"
    MISSING = "missing"  # the function can't be imported (yet)


class Told(NamedTuple):
    """What a running job has told since the last time. Moments are epoch seconds.

    `done`: None when it told no progress. `lines`: (moment, level, text). `logged`: how many lines
    this attempt has logged so far. `dropped`: how many of them are missing in `lines` because
    there were too many.
    """

    id: int
    attempt: int
    at: float
    done: float | None
    total: float | None
    text: str
    lines: list[tuple[float, int, str]]
    logged: int
    dropped: int


class Outcome(NamedTuple):
    """How one execution ended, ready to be written.

    `reason`: of the state the job enters. `data`: JSON text for the history entry of
    `processing`. `delay`: seconds until the next try. `expires`: seconds to keep the job when it
    is final, None for the setting. `seconds`: how long the worker was busy with it. `recorded`: the
    worker has written it already, in the transaction of the job itself. `waited`: seconds from
    when it was due to its start, None when it did not start. `extra`: what the API that a foreign
    call came through wants written in the same transaction, see `foreign`.
    """

    id: int
    token: str
    kind: str
    reason: str
    data: str
    seconds: float
    delay: float | None = None
    expires: float | None = None
    error_type: str = ""
    error_key: str = ""
    missing_since: float | None = None
    recorded: bool = False
    waited: float | None = None
    extra: str = ""
