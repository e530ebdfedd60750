"""Recurring jobs: declaring them in code, and steering them.

What code declares while Django is still loading the apps (in `AppConfig.ready()`) is remembered
and written by `migrate` and when a server starts; everything else is written at once.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.apps import AppConfig, apps
from django.db import IntegrityError, transaction
from django.utils import timezone as clock

from . import transitions, wakeup
from .client import Target
from .clock import DatabaseNow
from .conf import conf
from .decorators import Enqueuer, declared_options
from .exceptions import (
    InvalidArguments,
    InvalidOption,
    InvalidSchedule,
    JobsError,
    UnknownRecurringJob,
)
from .functions import check_call, identify, parameter_names
from .models import Job, RecurringJob
from .models.recurring import RecurringJobQuerySet
from .occurrences import make_job
from .options import Options
from .recurrence import Misfire, schedule_for
from .serialization import dump_arguments, load_arguments

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Declaration:
    """What code says of a recurring job: the fields of its row, as JSON holds them."""

    func: str
    arguments: dict[str, Any]
    options: dict[str, Any]
    queue: str
    priority: int
    cron: str
    time_zone: str
    misfire: str


#: Declared while Django was loading the apps, by name.
_remembered: dict[str, Declaration] = {}


def recurring(
    name: str,
    func: Target | Enqueuer[Any],
    *,
    cron: str,
    timezone: str | None = None,
    misfire: str = Misfire.ONCE,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    **options: Any,
) -> None:
    """Declare that `func` runs whenever `cron` says so.

    `name`: identifies the recurring job, of at most 150 characters. `func`: a function, its
    dotted path, or `func.using(…)`. `cron`: five fields, or six with the second first; see
    `recurrence`. `timezone`: an IANA name; default `JOBS["TIME_ZONE"]`, then django-q2's
    `time_zone`, then `TIME_ZONE`. It is also the active time zone of the running job. `misfire`:
    what happens to occurrences that are over `JOBS["MISFIRE_GRACE_SECONDS"]` late: "once" (one
    job for all of them), "all" (each its job) or "skip". `args`, `kwargs`: the arguments of every
    call. Options as for `using`, but `run_after`.

    Calling it again under the same name changes only what is declared differently than the last
    time, so edits and pauses by operators stay. In `AppConfig.ready()` it is only remembered, and
    written by `migrate` and by servers when they start.

    Raises InvalidSchedule, InvalidFunction, InvalidArguments or InvalidOption (also for a name that
    the database takes for that of another, "Report" for "report"); then nothing was written.
    """
    declaration = _declare(func, cron, timezone, misfire, tuple(args), kwargs or {}, options)
    if not isinstance(name, str) or not name.strip() or len(name) > 150:
        raise InvalidOption(f"name={name!r} must be text of at most 150 characters.")
    if apps.ready:
        write({name: declaration})
    else:
        _remembered[name] = declaration


def trigger(name: str) -> Job:
    """Enqueue a job of a recurring job now and return it, whether that is paused or not.

    It takes part in the caller's transaction and belongs to no occurrence: next and last run stay
    as they are. Raises UnknownRecurringJob; InvalidSchedule, InvalidOption or InvalidArguments for
    one that turned bad (by SQL, a time zone unknown here): its job could not run.
    """
    row = _get(name)
    for field, problem in row.problems():
        raise _invalid(field, f"recurring job {name!r}: {problem}")
    job = make_job(row, "triggered", clock.now())
    transitions.create(job)
    wakeup.announce(job.queue)
    return job


def _invalid(field: str, text: str) -> JobsError:
    if field in ("cron", "time_zone", "misfire"):
        return InvalidSchedule(text, field)
    return InvalidArguments(text) if field == "arguments" else InvalidOption(text)


def pause(name: str, *, by: str = "", reason: str = "") -> bool:
    """Create no jobs of a recurring job until it is resumed; return False if it is paused already.

    `by` and `reason` are shown to people. Raises UnknownRecurringJob.
    """
    row = _get(name)
    paused = _rows().filter(pk=row.pk, paused_at=None)
    values = {"paused_by": by[:150], "paused_reason": reason[:255], "updated_at": clock.now()}
    return bool(paused.update(paused_at=clock.now(), next_run=None, **values))


def resume(name: str) -> bool:
    """Let a paused recurring job go on with its next occurrence; return False if it isn't paused.

    What it missed meanwhile stays missed. Raises UnknownRecurringJob.
    """
    row = _get(name)
    with transaction.atomic(using=conf.DATABASE):
        paused = _rows().filter(pk=row.pk, paused_at__isnull=False)
        values = {"paused_by": "", "paused_reason": "", "updated_at": clock.now()}
        if not paused.update(paused_at=None, **values):
            return False
        _set_next_run(row.pk)
    return True


def remove_recurring(name: str) -> None:
    """Remove a recurring job; the jobs it has created stay. Raises UnknownRecurringJob.

    What is still declared in code comes back with the next `migrate` or start of a server.
    """
    with transaction.atomic(using=conf.DATABASE):
        _get(name, lock=True).delete()


arecurring = sync_to_async(recurring)
atrigger = sync_to_async(trigger)
apause = sync_to_async(pause)
aresume = sync_to_async(resume)
aremove_recurring = sync_to_async(remove_recurring)


def made(row: RecurringJob) -> None:
    """Save a recurring job that an operator made; no code declares it.

    Raises IntegrityError for a name that is taken.
    """
    with transaction.atomic(using=conf.DATABASE):
        row.save(using=conf.DATABASE, force_insert=True)
        _set_next_run(row.pk)


def edited(row: RecurringJob, fields: Sequence[str]) -> None:
    """Save an operator's edit of `fields`; a changed schedule counts from now.

    Nothing else is written: servers may have moved the row on meanwhile. Its error is forgotten.
    """
    with transaction.atomic(using=conf.DATABASE):
        row.error = ""
        row.save(using=conf.DATABASE, update_fields=[*fields, "error", "updated_at"])
        if {"cron", "time_zone"} & set(fields):
            _set_next_run(row.pk)
        else:
            wakeup.announce_due()  # it may have had an error


def write_remembered() -> None:
    """Write what was declared while Django was loading the apps."""
    if _remembered:
        write(_remembered)


def write_when_migrated(*, sender: AppConfig, using: str, **kwargs: Any) -> None:
    """Do so after `migrate`, unless it went to a version of the table that this code can't use."""
    if using != conf.DATABASE:
        return
    try:
        migrated = kwargs.get("apps", apps).get_model(sender.label, RecurringJob.__name__)
    except LookupError:
        return
    if {f.column for f in migrated._meta.fields} == {f.column for f in RecurringJob._meta.fields}:
        write_remembered()


def write(declarations: Mapping[str, Declaration]) -> None:
    """Write declarations to the database, as far as they say something new.

    Raises InvalidOption for names that are one for this database, after writing the others.
    """
    known: dict[str, RecurringJob] = {}
    names, problems = list(declarations), list[str]()
    for start in range(0, len(names), 500):
        known |= {row.name: row for row in _rows().filter(name__in=names[start : start + 500])}
    for name, declaration in declarations.items():
        row = known.get(name)
        if row is None or row.declared != asdict(declaration):
            try:
                _write(name, asdict(declaration))
            except InvalidOption as error:
                problems.append(str(error))
    if problems:
        raise InvalidOption(" ".join(problems))


def _write(name: str, said: dict[str, Any]) -> None:
    with transaction.atomic(using=conf.DATABASE):
        row = _rows().filter(name=name).first()
        if row is None:
            try:
                with transaction.atomic(using=conf.DATABASE):
                    row = _rows().create(name=name, declared=said, **said)
            except IntegrityError:  # another process declares it just now
                row = _get(name, lock=True)
            else:
                _set_next_run(row.pk)
                return
        if row.name != name:  # or each deploy would write the one over the other
            raise InvalidOption(
                f"name={name!r}: for this database it is the same as {row.name!r}, which is there "
                f"already; choose another, or remove_recurring({row.name!r}) first."
            )
        changed = {
            field: value for field, value in said.items() if row.declared.get(field) != value
        }
        if changed:
            values = {**changed, "declared": said, "error": "", "updated_at": clock.now()}
            _rows().filter(pk=row.pk).update(**values)
        if {"cron", "time_zone"} & changed.keys():
            _set_next_run(row.pk)
        elif changed:
            wakeup.announce_due()  # it may have had an error


def _declare(
    func: Target | Enqueuer[Any],
    cron: str,
    time_zone: str | None,
    misfire: str,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    options: Mapping[str, Any],
) -> Declaration:
    said = Options.build(options)
    if isinstance(func, Enqueuer):
        said, func = said.over(func.options), func.target
    if said.run_after is not None:
        raise InvalidOption("run_after is not for recurring jobs; cron says when they run.")
    function, path = identify(func)
    check_call(path, function, args, kwargs)
    arguments = dump_arguments(path, args, kwargs, parameter_names(function))
    schedule = schedule_for(cron, conf.TIME_ZONE if time_zone is None else time_zone)
    if misfire not in Misfire.values:
        raise InvalidSchedule(
            f"misfire={misfire!r} must be one of {', '.join(Misfire.values)}.", "misfire"
        )
    effective = said.over(declared_options(function))
    positional, named = load_arguments(arguments)
    return Declaration(
        func=path,
        arguments={"args": positional, "kwargs": named},
        options=said.stored(),
        queue=effective.queue or conf.DEFAULT_QUEUE,
        priority=effective.priority or 0,
        cron=schedule.cron,
        time_zone=schedule.zone.key,
        misfire=str(misfire),
    )


def _set_next_run(pk: int) -> None:
    """Count from now, by the database's clock; a paused recurring job has no next run."""
    row = _rows().annotate(now=DatabaseNow()).get(pk=pk)
    now: datetime = row.now  # type: ignore[attr-defined]  # it does not see annotations
    try:
        next_run = None if row.paused_at else row.schedule.next_after(now)
    except InvalidSchedule:  # written by SQL: due at once, so that a server writes the error
        next_run = now
    _rows().filter(pk=pk).update(next_run=next_run)
    wakeup.announce_due()


def _rows() -> RecurringJobQuerySet:
    return RecurringJob.objects.using(conf.DATABASE)


def _get(name: str, *, lock: bool = False) -> RecurringJob:
    rows = _rows().locked() if lock else _rows()
    row = rows.filter(name=name).first()
    if row is None:
        names = list(_rows().values_list("name", flat=True)[:5000])
        close = difflib.get_close_matches(name, names, 1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise UnknownRecurringJob(f"There is no recurring job {name!r}.{hint}")
    return row
