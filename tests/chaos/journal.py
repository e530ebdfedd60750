"""What jobs noted when they began (`functions.first_time_slow`)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from jobs.models import Job
from tests.cluster import until


class Start(NamedTuple):
    """The start of an execution: of which job, in which process, when, its attempt."""

    job: int
    pid: int
    at: float
    attempt: int


def starts(path: Path, job: Job | None = None) -> list[Start]:
    """Return the starts noted so far, of one job or of all, the oldest first."""
    found = []
    for line in path.read_text().splitlines():
        _, pk, pid, at, attempt = line.split()
        if job is None or int(pk) == job.pk:
            found.append(Start(int(pk), int(pid), float(at), int(attempt)))
    return found


def nth_start(path: Path, job: Job, number: int, seconds: float = 20.0) -> Start:
    """Wait for the `number`th start of a job and return it."""
    until(
        lambda: len(starts(path, job)) >= number,
        seconds,
        message=f"start {number} of #{job.pk} did not come: {starts(path, job)}",
    )
    return starts(path, job)[number - 1]
