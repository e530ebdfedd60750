"""`Schedule` rows as recurring jobs; one that runs once, as a scheduled job.

Whoever saves a Schedule writes ours with it; what ours come to is written back to it in the
transaction that creates the job.
"""

from __future__ import annotations

import ast
import json
import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import Error, router, transaction
from django.db.models import F
from django.utils import timezone
from django_q.conf import Conf
from django_q.humanhash import uuid
from django_q.models import Schedule
from django_q.signals import pre_enqueue

from .. import transitions, wakeup
from ..conf import conf
from ..exceptions import InvalidSchedule, JobsError
from ..foreign import VIA
from ..models import Adopted, Job, RecurringJob, Source
from ..recurrence import Misfire, schedule_for
from ..states import State
from . import tasks

logger = logging.getLogger(__name__)

#: The kinds of schedules as intervals; the number of MINUTES is the row's.
INTERVALS = {
    Schedule.MINUTES: (1, "minutes"),
    Schedule.HOURLY: (1, "hours"),
    Schedule.DAILY: (1, "days"),
    Schedule.WEEKLY: (1, "weeks"),
    Schedule.BIWEEKLY: (2, "weeks"),
    Schedule.MONTHLY: (1, "months"),
    Schedule.BIMONTHLY: (2, "months"),
    Schedule.QUARTERLY: (3, "months"),
    Schedule.YEARLY: (1, "years"),
}
#: What croniter also takes.
ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_OPTIONS = (
    "hook",
    "group",
    "save",
    "cached",
    "ack_failure",
    "iter_count",
    "iter_cached",
    "chain",
    "cluster",
    "timeout",
)
#: What is different in each task of a schedule.
_OWN = ("id", "name", "started")
#: Not begun yet.
_WAITING = (State.SCHEDULED, State.ENQUEUED)


def saved(*, instance: Schedule, raw: bool, **kwargs: Any) -> None:
    """Follow a Schedule that was made or edited; a fixture's is left to `jobs_adopt`."""
    if raw:
        return
    try:
        adopt(_rows().get(pk=instance.pk))
    except (JobsError, ValueError) as error:
        logger.error("the Schedule %s (%s) can't run: %s", instance.pk, instance.func, error)
        _mark(instance.pk, str(error))


def deleted(*, instance: Schedule, **kwargs: Any) -> None:
    """Let what was made of a Schedule go with it."""
    with transaction.atomic(using=conf.DATABASE):
        link = _links().filter(key=str(instance.pk)).first()
        if link is not None:
            _drop_recurring(link)
            _drop_job(link)
            link.delete()


def adopt(schedule: Schedule) -> None:
    """Make or change what stands for `schedule`. What says the same already is left alone.

    Raises InvalidSchedule, InvalidOption or ValueError for one that can't run.
    """
    with transaction.atomic(using=conf.DATABASE):
        link, _ = _links().get_or_create(source=Source.SCHEDULE, key=str(schedule.pk))
        # One at a time; and what is adopted is what stands there now.
        _links().filter(pk=link.pk).update(key=F("key"))
        link.refresh_from_db(using=conf.DATABASE)
        now = _rows().filter(pk=schedule.pk).first()
        if now is None:
            _drop_recurring(link)
            _drop_job(link)
            link.delete()
            return
        schedule, once = now, now.schedule_type == Schedule.ONCE
        if once:
            _drop_recurring(link)
            _adopt_once(schedule, link)
        else:
            _drop_job(link)
            _adopt_recurring(schedule, link)
        link.save(using=conf.DATABASE)


def check(schedule: Schedule) -> None:
    """Raise what `adopt` would raise."""
    tasks.job_of(*_task(schedule, None))
    if schedule.schedule_type != Schedule.ONCE:
        schedule_for(_cron(schedule, RecurringJob()), Conf.TIME_ZONE)


# Recurring -------------------------------------------------------------------------------------


def _adopt_recurring(schedule: Schedule, link: Adopted) -> None:
    made = tasks.job_of(*_task(schedule, None))
    recurring = RecurringJob.objects.using(conf.DATABASE)
    row = recurring.locked().filter(pk=link.recurring_job_id or 0).first() or RecurringJob()
    wanted = {
        "name": f"{(schedule.name or schedule.func)[:120]} (schedule {schedule.pk})",
        "func": made.func,
        "arguments": json.loads(made.arguments),
        "options": _without_own(made.options, schedule.pk),
        "queue": made.queue,
        "cron": _cron(schedule, row),
        "time_zone": Conf.TIME_ZONE,
        "misfire": Misfire.ONCE
        if schedule.schedule_type == Schedule.CRON or not Conf.CATCH_UP
        else Misfire.ALL,
        "next_run": schedule.next_run if schedule.repeats and not row.paused_at else None,
        "error": "",
    }
    schedule_for(wanted["cron"], wanted["time_zone"])
    if all(getattr(row, name) == value for name, value in wanted.items()):
        return
    for name, value in wanted.items():
        setattr(row, name, value)
    row.save(using=conf.DATABASE)
    wakeup.announce_due()
    link.recurring_job = row


def _cron(schedule: Schedule, row: RecurringJob) -> str:
    """Return when a schedule is due, in our words."""
    if schedule.schedule_type == Schedule.CRON:
        fields = ALIASES.get(schedule.cron or "", schedule.cron or "").split()
        # croniter's sixth field, the second, is the last.
        return " ".join([fields[5], *fields[:5]] if len(fields) == 6 else fields)
    if schedule.schedule_type not in INTERVALS:
        raise InvalidSchedule(f"its kind {schedule.schedule_type!r} is unknown", "cron")
    number, unit = INTERVALS[schedule.schedule_type]
    if schedule.schedule_type == Schedule.MINUTES:
        number = schedule.minutes or 1
    every = f"every {number} {unit} from "
    # Counted on from where it began, unless somebody has set the next run.
    if row.cron.startswith(every) and row.next_run == schedule.next_run:
        return row.cron
    return every + (schedule.next_run or timezone.now()).isoformat()


def _drop_recurring(link: Adopted) -> None:
    if link.recurring_job_id is not None:
        RecurringJob.objects.using(conf.DATABASE).filter(pk=link.recurring_job_id).delete()
        link.recurring_job = None


def _mark(pk: int, error: str) -> None:
    """Show why a schedule does not run where its recurring job is shown."""
    link = _links().filter(key=str(pk)).first()
    if link is not None and link.recurring_job_id is not None:
        rows = RecurringJob.objects.using(conf.DATABASE).filter(pk=link.recurring_job_id)
        rows.update(error=error, next_run=None)


def prepare(*, jobs: list[Job], **kwargs: Any) -> None:
    """Make tasks of the jobs that are about to be inserted for schedules."""
    by_schedule: dict[int, list[Job]] = {}
    for job in jobs:
        said = job.options.get(VIA, {}) if isinstance(job.options, dict) else {}
        if said.get("api") == tasks.API and "schedule" in said:
            by_schedule.setdefault(said["schedule"], []).append(job)
    for pk, its_jobs in by_schedule.items():
        kept: list[Job] = []
        try:
            kept = _occur(pk, its_jobs)
        except Error:
            raise
        except Exception as error:  # its text was edited past us, or a receiver raised
            logger.exception("the Schedule %s can't run", pk)
            _mark(pk, f"{type(error).__name__}: {error}")
        for job in its_jobs:
            if job not in kept:
                jobs.remove(job)


def _occur(pk: int, jobs: Sequence[Job]) -> list[Job]:
    """Make tasks of the jobs of one schedule; return those for which it has repeats left."""
    schedule = _rows().filter(pk=pk).first()
    rows = RecurringJob.objects.using(conf.DATABASE).filter(pk=jobs[0].recurring_job_id or 0)
    if schedule is None:
        rows.update(next_run=None, error=f"its Schedule {pk} is gone")
        return []
    kept = list(jobs if schedule.repeats < 0 else jobs[: schedule.repeats])
    for job in kept:
        task, cluster = _task(schedule, job.occurrence)
        pre_enqueue.send(sender="django_q", task=task)
        made = tasks.job_of(task, cluster)
        job.func, job.arguments, job.queue = made.func, made.arguments, made.queue
        job.options = made.options
        job.options[VIA]["schedule"] = pk
        schedule.task = task["id"]
    if schedule.repeats > 0:
        schedule.repeats -= len(kept)
    if schedule.repeats == 0:
        rows.update(next_run=None)
    else:
        schedule.next_run = rows.values_list("next_run", flat=True).first() or schedule.next_run
    # Not saved: this is no edit to be followed.
    _rows().filter(pk=pk).update(
        task=schedule.task, repeats=schedule.repeats, next_run=schedule.next_run
    )
    return kept


# Once ------------------------------------------------------------------------------------------


def _adopt_once(schedule: Schedule, link: Adopted) -> None:
    known = Job.objects.using(conf.DATABASE).filter(pk=link.job_id or 0).first()
    wanted = schedule.next_run is not None and schedule.repeats != 0
    job = _once(schedule) if wanted else None
    if known is not None and job is not None and _says_the_same(known, job):
        return
    if known is None and link.job_id is not None and wanted and schedule.next_run <= timezone.now():
        return  # its job was there and has expired: it ran, or somebody deleted it
    _drop_job(link)
    if job is None:
        return
    transitions.create(job)
    wakeup.announce(job.queue, due_changed=job.state == State.SCHEDULED)
    link.job_id = job.pk
    _rows().filter(pk=schedule.pk).update(task=job.options[VIA]["id"])


def _once(schedule: Schedule) -> Job:
    task, cluster = _task(schedule, schedule.next_run)
    pre_enqueue.send(sender="django_q", task=task)
    job = tasks.job_of(task, cluster)
    job.options[VIA] |= {"schedule": schedule.pk, "due": schedule.next_run.isoformat()}
    job.run_at = schedule.next_run
    if job.run_at > timezone.now():
        job.state = State.SCHEDULED
    return job


def _says_the_same(known: Job, job: Job) -> bool:
    if known.options[VIA].get("due") != job.options[VIA]["due"]:
        return False
    if known.state not in _WAITING or known.attempt:
        return True  # it has begun: an edit that leaves its time alone comes too late
    calls = [(j.func, j.args, j.kwargs, j.queue) for j in (known, job)]
    options = [_without_own(j.options, 0) for j in (known, job)]
    return calls[0] == calls[1] and options[0] == options[1]


def _drop_job(link: Adopted) -> None:
    if link.job_id is None:
        return
    jobs = Job.objects.using(conf.DATABASE).filter(pk=link.job_id, state__in=_WAITING, attempt=0)
    if jobs.exists():
        transitions.delete([link.job_id], "its schedule was changed or deleted")
    link.job_id = None


def forget_once(pk: int, task_id: str) -> None:
    """A schedule that has run once goes, or stays without repeats, as django-q2 does it."""
    once = _rows().filter(pk=pk, schedule_type=Schedule.ONCE, task=task_id)
    repeats = once.values_list("repeats", flat=True).first()
    if repeats is None or repeats == 0:
        return
    if repeats > 0:
        once.update(repeats=0)
        return
    # First the link: the job may be waiting for a retry and must not go with the schedule.
    _links().filter(key=str(pk)).delete()
    once.delete()


# Reading a schedule ----------------------------------------------------------------------------


def _task(schedule: Schedule, intended: datetime | None) -> tuple[dict[str, Any], str | None]:
    """Return the task that a schedule makes, as django-q2's scheduler would, and its cluster.

    Raises ValueError for arguments that can't be read.
    """
    try:
        return _read_task(schedule, intended)
    except (TypeError, AttributeError, RecursionError, MemoryError) as error:
        raise ValueError(f"its arguments or options can't be used: {error}") from error


def _read_task(schedule: Schedule, intended: datetime | None) -> tuple[dict[str, Any], str | None]:
    args, kwargs = _arguments(schedule.args), _keywords(schedule.kwargs)
    options = dict(kwargs.pop("q_options", None) or {})
    if schedule.intended_date_kwarg and intended is not None:
        kwargs[schedule.intended_date_kwarg] = intended.isoformat()
    if schedule.hook:
        options["hook"] = schedule.hook
    named = options.pop("broker_name", None)
    cluster = schedule.cluster or options.get("cluster") or kwargs.get("cluster") or named
    options["cluster"] = cluster
    options.setdefault("group", schedule.name or schedule.pk)
    name, pk = uuid()
    task: dict[str, Any] = {
        "id": pk,
        "name": kwargs.pop("task_name", None) or options.get("task_name") or name,
        "func": schedule.func,
        "args": args,
    }
    for key in _OPTIONS:
        said = kwargs.pop(key, None)
        if options.get(key, said) is not None:
            task[key] = options.get(key, said)
    if "cached" not in task and Conf.CACHED:
        task["cached"] = Conf.CACHED
    if "ack_failure" not in task and Conf.ACK_FAILURES:
        task["ack_failure"] = Conf.ACK_FAILURES
    task["kwargs"] = kwargs
    task["started"] = max(timezone.now(), intended or timezone.now())
    return task, cluster


def _arguments(text: str | None) -> tuple[Any, ...]:
    if not text:
        return ()
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        raise ValueError(f"its arguments {text!r} are not written as in 1, 'two'") from None
    return value if type(value) is tuple else (value,)


def _keywords(text: str | None) -> dict[str, Any]:
    """Read what is written as a dict or as in a call."""
    if not text:
        return {}
    try:
        value = ast.literal_eval(text)
        if isinstance(value, dict):
            return value
    except (SyntaxError, ValueError):
        pass
    try:
        call = ast.parse(f"f({text})", mode="eval").body
        assert isinstance(call, ast.Call)
        if not call.args and all(keyword.arg for keyword in call.keywords):
            return {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
    except (SyntaxError, ValueError):
        pass
    raise ValueError(f"its keyword arguments {text!r} are neither a dict nor written as in a=1")


def _without_own(options: dict[str, Any], pk: int) -> dict[str, Any]:
    via = {key: value for key, value in options[VIA].items() if key not in _OWN}
    return {**options, VIA: {**via, "schedule": pk}}


def _rows() -> Any:
    return Schedule.objects.using(router.db_for_write(Schedule))


def _links() -> Any:
    return Adopted.objects.using(conf.DATABASE).filter(source=Source.SCHEDULE)
