"""`Task` rows: written, in the transaction of the outcome, by whoever records that.

The worker has made text of everything before, so nothing of the user's runs here.
"""

from __future__ import annotations

import base64
import json
import logging
import pickle
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from django.db import connections, router, transaction
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import Success, Task
from django_q.utils import get_func_repr
from picklefield.fields import PickledObject, wrap_conflictual_object

from .. import transitions, wakeup
from ..conf import conf
from ..foreign import VIA
from ..models import Adopted, Job, Source
from ..outcomes import Outcome
from ..serialization import RESULT_TEXT_LIMIT, JSONText, dumps, result_entry
from ..states import State
from . import schedules, tasks

logger = logging.getLogger(__name__)

#: So many rows over the limit are removed at once.
CHUNK = 500
#: A Task keeps pickles of so many bytes; some databases take 16 MB in a statement.
MAX_BYTES = 4_000_000

_PICKLED = ("args", "kwargs", "result")


def text_of(func: Any) -> str | None:
    """Return the path of a function, given it or its path."""
    return func if isinstance(func, str) or func is None else str(get_func_repr(func))


def row_of(task: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of the task's row, as JSON can hold them."""
    row = {
        "id": task["id"],
        "name": str(task["name"])[:100],
        "func": (text_of(task["func"]) or "")[:256],
        "hook": text_of(task.get("hook")),
        "group": task.get("group"),
        "cluster": task.get("cluster"),
        "started": task["started"].isoformat(),
        "stopped": task["stopped"].isoformat(),
        "success": task["success"],
    }
    return row | {name: storable(task[name])[1] for name in _PICKLED}


def task_from(task: dict[str, Any]) -> Task:
    """Return the task as a hook gets it."""
    names = ("id", "name", "group", "cluster", "started", "stopped", "success", *_PICKLED)
    values = {name: task.get(name) for name in names}
    values |= {name: storable(task.get(name))[0] for name in _PICKLED}
    found = Task(func=text_of(task["func"]), hook=text_of(task.get("hook")), **values)
    found._state.adding = False
    found.attempt_count = 1
    return found


def to_write(
    row: dict[str, Any] | None, following: Sequence[Job], schedule: int | None, task_id: str
) -> str:
    """Return as text what `write` is to write with an outcome."""
    names = ("func", "queue", "language", "time_zone")
    jobs = [
        {name: getattr(job, name) for name in names}
        | {"arguments": str(job.arguments), "options": job.options}
        for job in following
    ]
    # Marshal takes exact types only.
    return str(dumps({"row": row, "jobs": jobs, "schedule": schedule, "task": task_id}))


def write(*, outcomes: Sequence[Outcome], **kwargs: Any) -> None:
    """Write the Task rows of these outcomes, and insert the jobs that follow from them."""
    said = [(outcome, json.loads(outcome.extra)) for outcome in outcomes]
    save([extra["row"] for _, extra in said if extra["row"]])
    following = [_job(outcome.id, job) for outcome, extra in said for job in extra["jobs"]]
    insert(following)
    for _, extra in said:
        if extra["schedule"]:
            schedules.forget_once(extra["schedule"], extra["task"])


def insert(jobs: Sequence[Job]) -> None:
    """Insert jobs and tell the servers."""
    if jobs:
        transitions.create_many(jobs)
        for queue in {job.queue for job in jobs}:
            wakeup.announce(queue)


def _job(parent: int, said: dict[str, Any]) -> Job:
    now = timezone.now()
    return Job(
        func=said["func"],
        arguments=JSONText(said["arguments"]),
        options=said["options"],
        queue=said["queue"],
        language=said["language"],
        time_zone=said["time_zone"],
        parent_id=parent,
        run_at=now,
        state=State.ENQUEUED,
        state_changed_at=now,
        created_at=now,
    )


def _mark_as_ours(ids: Sequence[str]) -> None:
    """Let `jobs_adopt` know failed tasks of ours when their jobs are long gone."""
    if ids:
        marks = Adopted.objects.using(conf.DATABASE)
        known = set(marks.filter(source=Source.TASK, key__in=ids).values_list("key", flat=True))
        marks.bulk_create(Adopted(source=Source.TASK, key=pk) for pk in ids if pk not in known)


def save(rows: Sequence[dict[str, Any]]) -> None:
    """Write rows, each new or in the place of one that has not succeeded yet."""
    if not rows:
        return
    db = router.db_for_write(Task)
    with transaction.atomic(using=db, savepoint=False):
        found = Task.objects.using(db).filter(pk__in=[row["id"] for row in rows])
        known = {
            pk: (success, count)
            for pk, success, count in found.values_list("pk", "success", "attempt_count")
        }
        new = []
        for row in rows:
            values = _values(row)
            if row["id"] not in known:
                new.append(Task(attempt_count=1, **values))
            elif not known[row["id"]][0]:
                Task.objects.using(db).filter(pk=row["id"]).update(
                    stopped=values["stopped"],
                    result=values["result"],
                    success=values["success"],
                    attempt_count=known[row["id"]][1] + 1,
                )
        for batch in _batches(new):
            Task.objects.using(db).bulk_create(batch)
    _mark_as_ours([task.pk for task in new if not task.success])
    if Conf.SAVE_LIMIT > 0 and any(row["success"] for row in rows):
        keys = {row[Conf.SAVE_LIMIT_PER] for row in rows} if Conf.SAVE_LIMIT_PER else {None}
        transaction.on_commit(partial(_trim, keys), using=db, robust=True)


def _values(row: dict[str, Any]) -> dict[str, Any]:
    times = {name: datetime.fromisoformat(row[name]) for name in ("started", "stopped")}
    encoded = {name: row[name] and PickledObject(row[name]) for name in _PICKLED}
    return row | times | encoded


def _batches(tasks: Iterable[Task]) -> Iterator[list[Task]]:
    """Cut new rows into what one statement may carry; a longer row makes one of its own."""
    batch: list[Task] = []
    total = 0
    for task in tasks:
        size = sum(len(getattr(task, name) or "") for name in _PICKLED)
        if batch and total + size > transitions.CHUNK_CHARACTERS:
            yield batch
            batch, total = [], 0
        batch.append(task)
        total += size
    if batch:
        yield batch


def _trim(keys: Iterable[str | None]) -> None:
    """Remove the oldest successful tasks over the limit."""
    db = router.db_for_write(Task)
    features = connections[db].features
    for key in keys:
        rows = Success.objects.using(db)
        if Conf.SAVE_LIMIT_PER:
            rows = rows.filter(**{Conf.SAVE_LIMIT_PER: key})
        surplus = rows.order_by("-stopped").values_list("pk", flat=True)
        ids = list(surplus[Conf.SAVE_LIMIT : Conf.SAVE_LIMIT + CHUNK])
        if not ids:
            continue
        with transaction.atomic(using=db):
            if features.has_select_for_update_skip_locked:
                locked = Task.objects.using(db).filter(pk__in=ids).order_by("pk")
                ids = list(locked.select_for_update(skip_locked=True).values_list("pk", flat=True))
            Task.objects.using(db).filter(pk__in=ids).delete()


def write_poisoned(*, ids: Sequence[int], reason: str, **kwargs: Any) -> None:
    """Write failed Task rows for tasks that were set aside without an outcome."""
    via = f'"{VIA}":{{"api":"{tasks.API}"'
    found = Job.objects.using(conf.DATABASE).filter(pk__in=ids, options__contains=via)
    for job in found:
        said = job.options[VIA]
        if "id" not in said:
            continue
        # What was signed is not read here: it may import anything.
        task = tasks.task_of(job.func, tasks.unsigned(said), job.args, job.kwargs)
        task |= {"success": False, "result": reason, "stopped": timezone.now()}
        save([row_of(task)])
        if task.get("hook"):
            hook = tasks.plain_call(task["hook"], (task_from(task),), job.queue)
            hook.parent_id = job.pk
            insert([hook])


def storable(value: Any) -> tuple[Any, str | None]:
    """Return what a Task can keep of `value`, and that as PickledObjectField writes it.

    What can't be pickled, or is too long for one statement, is kept as the beginning of its text.
    """
    if value is None:
        return None, None
    try:
        data = pickle.dumps(wrap_conflictual_object(value), pickle.HIGHEST_PROTOCOL)
    except Exception:  # foreign classes may raise anything
        data = b""
    if not data or len(data) > MAX_BYTES:
        kept = result_entry(value)  # survives whatever is wrong with it
        value = str(kept.get("text", kept.get("value")))[:RESULT_TEXT_LIMIT]
        data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return value, base64.b64encode(data).decode()
