"""What must hold of the job table when all is over, whatever happened."""

from __future__ import annotations

from collections.abc import Iterator

from jobs.models import HistoryEntry, Job
from jobs.states import FINAL, INITIAL, MOVES, State


def unfinished() -> int:
    """Return how many jobs are in no final state."""
    return Job.objects.exclude(state__in=FINAL).count()


def inconsistencies() -> list[str]:
    """Return what is wrong with the jobs and their histories, one line for each finding."""
    found: list[str] = []
    entries: dict[int, list[HistoryEntry]] = {}
    for entry in HistoryEntry.objects.order_by("job_id", "id").iterator():
        entries.setdefault(entry.job_id, []).append(entry)
    for job in Job.objects.iterator():
        found += [f"#{job.pk} {what}" for what in _wrong(job, entries.pop(job.pk, []))]
    found += [f"#{pk} has a history and no row" for pk in entries]
    return found


def _wrong(job: Job, history: list[HistoryEntry]) -> Iterator[str]:
    path = [entry.state for entry in history] + [job.state]
    if path[0] not in INITIAL:
        yield f"began as {path[0]}"
    for before, after in zip(path, path[1:], strict=False):
        if after not in MOVES[State(before)]:
            yield f"moved from {before} to {after}"
    entered = [entry.entered_at for entry in history] + [job.state_changed_at]
    for entry, following in zip(history, entered[1:], strict=True):
        if entry.left_at != following:
            yield f"left {entry.state} at {entry.left_at} and entered the next state at {following}"
    runs = [entry for entry in history if entry.state == State.PROCESSING]
    results = sum("result" in entry.data for entry in runs)
    if results != path.count(State.SUCCEEDED):  # it may have been requeued since
        yield f"succeeded {path.count(State.SUCCEEDED)} times and has {results} results"
    tokens = [entry.data["token"] for entry in runs if "token" in entry.data]
    if len(set(tokens)) != len(tokens):
        yield "has two attempts with one token"
    if job.attempt > len(runs) + (job.state == State.PROCESSING):
        yield f"counts {job.attempt} attempts, of which {len(runs)} are in its history"
    if job.state in FINAL:
        if job.claim_token or job.server:
            yield f"is {job.state} and still held by {job.server}"
        if job.finished_at != job.state_changed_at:
            yield "ended at another time than it finished"
