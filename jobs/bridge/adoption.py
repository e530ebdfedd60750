"""Taking over what stands in django-q2's tables from the time before: `manage.py jobs_adopt`.

Nothing that is not signed gets unpickled. `Task` rows are not, so of these only plain data is read.

A queued task leaves one table for another, which may stand in two databases, and then there is no
commit of both. So the job is committed first, with a mark of the row it was made of, and the row's
removal last: who is interrupted in between leaves both, and whoever comes next only removes the row.
"""

from __future__ import annotations

import base64
import hashlib
import io
import logging
import pickle
from collections.abc import Callable, Iterator
from datetime import timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from django.core.signing import BadSignature
from django.db import Error, router, transaction
from django.db.models import ExpressionWrapper, F, TextField
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import OrmQ, Schedule, Task
from django_q.signing import SignedPackage

from .. import transitions, wakeup
from ..conf import conf
from ..exceptions import InvalidFunction, JobsError
from ..foreign import VIA
from ..functions import resolve_for_enqueue
from ..models import Adopted, Source
from ..serialization import dumps
from . import schedules, tasks

logger = logging.getLogger(__name__)


class Fate(StrEnum):
    """What becomes of a row."""

    TAKEN = "taken"
    LEFT = "left"


class Row(NamedTuple):
    """A row of django-q2's: what it is, what becomes of it, and what it becomes or why not."""

    kind: str
    key: str
    func: str
    fate: Fate
    text: str


class CantAdopt(Exception):
    """A row that can't be taken over, and why."""


def adopt(*, apply: bool) -> Iterator[Row]:
    """Take over rows of Schedule, OrmQ and failed Task, each in a transaction; yield what was done.

    `apply`: False writes nothing and yields what would be done. What has been taken over before is
    not there a second time.
    """
    queued: set[str] = set()
    ours = conf.DATABASE
    yield from _each("Schedule", _schedules(), _adopt_schedule, apply, last=ours)
    yield from _each("OrmQ", _queued(queued), _adopt_queued, apply, last=_queue_database())
    yield from _each("Task", _failed(queued), _adopt_failed, apply, last=ours)


def _each(
    kind: str, rows: Iterator[Any], one: Callable[[Any, bool], str], apply: bool, *, last: str
) -> Iterator[Row]:
    """Take over each row in a transaction; where it needs two, that of the database `last` is
    committed after that of the jobs.
    """
    for row in rows:
        func = _text(row)
        try:
            with (
                transaction.atomic(using=last),
                transaction.atomic(using=conf.DATABASE, savepoint=False),
            ):
                text = one(row, apply)
        except (CantAdopt, JobsError, ValueError) as error:
            yield Row(kind, str(row.pk), func, Fate.LEFT, str(error))
        except Error:  # the database, and not the row
            raise
        except Exception as error:  # an odd row must not keep those behind it from being adopted
            logger.exception("%s %s can't be taken over", kind, row.pk)
            yield Row(kind, str(row.pk), func, Fate.LEFT, f"{type(error).__name__}: {error}")
        else:
            yield Row(kind, str(row.pk), func, Fate.TAKEN, text)


def _text(row: Any) -> str:
    return str(row.__dict__.get("func") or "")


def _importable(func: str) -> None:
    try:
        resolve_for_enqueue(func)
    except InvalidFunction as error:
        raise CantAdopt(str(error).partition(". Give")[0]) from error


def _marks() -> Any:
    return Adopted.objects.using(conf.DATABASE)


# Schedules -------------------------------------------------------------------------------------


def _schedules() -> Iterator[Schedule]:
    known = set(_marks().filter(source=Source.SCHEDULE).values_list("key", flat=True))
    rows = Schedule.objects.using(router.db_for_write(Schedule)).order_by("pk")
    return (row for row in rows if str(row.pk) not in known and row.repeats)


def _adopt_schedule(row: Schedule, apply: bool) -> str:
    _importable(row.func)
    schedules.check(row)
    if apply:
        schedules.adopt(row)
    kind = "scheduled job" if row.schedule_type == Schedule.ONCE else "recurring job"
    due = f"{row.next_run:%F %T %Z}" if row.next_run else "never"
    return f"{kind}, {row.get_schedule_type_display()}, next run {due}"


# Queued tasks ----------------------------------------------------------------------------------


def _queued(ids: set[str]) -> Iterator[OrmQ]:
    """Yield the packages of the ORM broker; note the ids of their tasks."""
    for row in OrmQ.objects.using(_queue_database()).order_by("pk").iterator(chunk_size=500):
        try:
            ids.add(SignedPackage.loads(row.payload)["id"])
        except Exception:  # said below, for the row
            logger.debug("OrmQ %s can't be read", row.pk, exc_info=True)
        yield row


def _queue_database() -> str:
    return Conf.ORM or router.db_for_write(OrmQ)


def _adopt_queued(row: OrmQ, apply: bool) -> str:
    now = timezone.now()
    if row.lock is not None and row.lock > now:
        raise CantAdopt(
            f"a cluster of django-q2 has it until {row.lock:%F %T %Z}; stop that and come again"
        )
    if (made := _job_made_of(row)) is not None:
        if apply:
            _remove(row)
        return f"job {made} was made of it before"
    try:
        task = SignedPackage.loads(row.payload)
    except BadSignature:
        raise CantAdopt("it was not signed with this SECRET_KEY and cluster name") from None
    except Exception as error:  # unpickling imports and runs the project's own code
        raise CantAdopt(f"it can't be unpickled: {type(error).__name__}: {error}") from error
    if not isinstance(task, dict) or not {"id", "name", "func", "args", "kwargs"} <= task.keys():
        raise CantAdopt("it is no task")
    job = tasks.job_of(task, row.key)
    if "object" not in job.options[VIA]:
        _importable(job.func)
    if apply:
        _remove(row)
        transitions.create(job)
        if _is_elsewhere():
            _marks().create(source=Source.ORMQ, key=_mark(row), job_id=job.pk)
        wakeup.announce(job.queue)
    return f"job {job.func} in queue {job.queue}"


def _remove(row: OrmQ) -> None:
    """Remove a row before anything is made of it: from here on no cluster can take it."""
    locked = OrmQ.objects.using(_queue_database()).filter(pk=row.pk, lock=row.lock)
    if not locked.delete()[0]:
        raise CantAdopt("a cluster of django-q2 has just taken it")


def _is_elsewhere() -> bool:
    """Whether a row and its job are not committed at once."""
    return _queue_database() != conf.DATABASE


def _job_made_of(row: OrmQ) -> int | None:
    if not _is_elsewhere():
        return None
    marks = _marks().filter(source=Source.ORMQ, key=_mark(row))
    return marks.values_list("job_id", flat=True).first()


def _mark(row: OrmQ) -> str:
    """Name a row by all it says: its number alone may be given again, its task queued twice."""
    said = f"{row.pk} {row.key} {row.payload}"
    return hashlib.sha256(said.encode()).hexdigest()[:32]


# Failed tasks ----------------------------------------------------------------------------------


def _failed(queued: set[str]) -> Iterator[Task]:
    """Yield failed tasks of which no package is queued any more, with what is pickled as text."""
    rows = Task.objects.using(router.db_for_write(Task)).filter(success=False)
    raw = {
        f"{name}_text": ExpressionWrapper(F(name), output_field=TextField())
        for name in ("args", "kwargs", "result")
    }
    plain = [f.name for f in Task._meta.fields if f.name not in ("args", "kwargs", "result")]
    rows = rows.annotate(**raw).only(*plain).order_by("stopped", "pk")
    known = set(_marks().filter(source=Source.TASK).values_list("key", flat=True))
    return (row for row in rows if row.pk not in queued | known)


def _adopt_failed(row: Task, apply: bool) -> str:
    kept_for = timedelta(seconds=conf.FAILED_EXPIRES_SECONDS)
    if row.stopped < timezone.now() - kept_for:
        raise CantAdopt(f"it failed longer ago than failed jobs are kept ({kept_for.days} days)")
    _importable(row.func)
    call = {}
    for name, default in (("args", ()), ("kwargs", {})):
        try:
            value = _plain_pickle(getattr(row, f"{name}_text"))
        except (pickle.UnpicklingError, ValueError) as error:
            raise CantAdopt(f"its {name} are no plain data, and not signed: {error}") from error
        call[name] = default if value is None else value
    if not isinstance(call["args"], (tuple, list)) or not isinstance(call["kwargs"], dict):
        raise CantAdopt("its arguments are no tuple and dict")
    try:
        result = str(_plain_pickle(row.result_text) or "")
    except (pickle.UnpicklingError, ValueError):
        result = "its result is no plain data, and not signed"
    names = ("id", "name", "func", "group", "hook", "cluster", "started")
    task = {name: getattr(row, name) for name in names if getattr(row, name) is not None} | call
    job = tasks.job_of(task, row.cluster)
    job.created_at = job.run_at = row.started
    job.attempt = max(1, row.attempt_count)
    if apply:
        data = dumps({"attempt": job.attempt, "error": {"traceback": result}})
        reason = result.partition(" : ")[0].strip() or "it failed under django-q2"
        transitions.create_failed(job, reason, data, at=row.stopped)
        _marks().create(source=Source.TASK, key=row.pk, job_id=job.pk)
    return "failed job, to be requeued or deleted"


class _PlainData(pickle.Unpickler):
    """Reads numbers, text, lists and the like, and imports nothing."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"they hold a {module}.{name}")


def _plain_pickle(text: str | None) -> Any:
    """Raises ValueError or UnpicklingError for what can't be read so."""
    if text is None:
        return None
    try:
        return _PlainData(io.BytesIO(base64.b64decode(text))).load()
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # what looks like a pickle and is none may raise anything
        raise ValueError(f"{type(error).__name__}: {error}") from error


# What is left ------------------------------------------------------------------------------------


def warn(**kwargs: Any) -> None:
    """Log how many rows of django-q2's nobody works, when a server has started."""
    left = {
        "Schedule": sum(1 for _ in _schedules()),
        "OrmQ": OrmQ.objects.using(_queue_database()).count(),
    }
    for kind, number in left.items():
        if number:
            logger.warning(
                "%d rows of %s are not worked by this server: see `manage.py jobs_adopt`",
                number,
                kind,
            )
