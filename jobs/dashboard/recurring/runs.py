"""The last runs of many recurring jobs, for the cost of looking at the last runs only."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache, reduce
from operator import or_
from typing import NamedTuple

from django.db.models import BigIntegerField, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils import timezone, translation
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ...conf import conf
from ...models import Job, RecurringJob
from ...states import State
from .. import words

#: How many runs a strip shows.
RUNS = 20

#: How high a column is: what needs a look stands out, what has not ended is low.
_HEIGHTS = {State.FAILED: 22, State.SUCCEEDED: 14, State.PROCESSING: 14, State.DELETED: 8}
_WAITING, _NONE, _TOP, _STEP, _WIDTH = 5, 2, 22, 8, 6


class Run(NamedTuple):
    """One job of a recurring job."""

    id: int
    state: str
    changed_at: datetime


def with_floor(rows: QuerySet[RecurringJob]) -> QuerySet[RecurringJob]:
    """Annotate recurring jobs with `floor`, the id of the oldest job that a strip shows."""
    jobs = Job.objects.using(conf.DATABASE).filter(recurring_job=OuterRef("pk"))
    oldest = jobs.order_by("-id").values("id")[RUNS - 1 : RUNS]
    return rows.annotate(
        floor=Coalesce(Subquery(oldest), Value(0), output_field=BigIntegerField()),
    )


def of(floors: Mapping[int, int]) -> dict[int, list[Run]]:
    """Return the last runs by recurring job, the newest first.

    `floors`: for each the id of the oldest wanted, as `with_floor` finds it. One statement, a range
    of the index for each, so that no old run is read however many there are.
    """
    if not floors:
        return {}
    ranges = reduce(or_, (Q(recurring_job=pk, id__gte=floor) for pk, floor in floors.items()))
    jobs = Job.objects.using(conf.DATABASE).filter(ranges)
    found: dict[int, list[Run]] = defaultdict(list)
    rows = jobs.values_list("recurring_job_id", "id", "state", "state_changed_at")
    for pk, id, state, changed_at in rows:
        if pk is not None:
            found[pk].append(Run(id, state, changed_at))
    return {pk: sorted(runs, reverse=True)[:RUNS] for pk, runs in found.items()}


def strip(runs: Iterable[Run]) -> SafeString:
    """Return the last runs as a row of columns, the newest at the right."""
    zone = timezone.get_current_timezone_name()
    return _strip(tuple(runs), translation.get_language() or "", zone)


@lru_cache(maxsize=4096)
def _strip(runs: tuple[Run, ...], _language: str, _zone: str) -> SafeString:
    columns = [
        f'<rect class="col s-deleted none" x="{place * _STEP}" y="{_TOP - _NONE}" '
        f'width="{_WIDTH}" height="{_NONE}"/>'
        for place in range(RUNS - len(runs))
    ]
    for place, run in enumerate(reversed(runs), RUNS - len(runs)):
        height = _HEIGHTS.get(State(run.state), _WAITING)
        columns.append(
            f'<rect class="col s-{run.state}" x="{place * _STEP}" y="{_TOP - height}" '
            f'width="{_WIDTH}" height="{height}"><title>#{run.id} {State(run.state).label}, '
            f"{words.exact(run.changed_at)}</title></rect>"
        )
    return format_html(
        '<svg class="strip" viewBox="0 0 158 22" role="img" aria-label="{}">{}</svg>',
        summary(runs),
        mark_safe("".join(columns)),  # noqa: S308 - numbers, states and moments only
    )


def summary(runs: Iterable[Run]) -> str:
    """Return `Last 20 runs: 19 succeeded, 1 failed`."""
    states = [run.state for run in runs]
    if not states:
        return _("No runs yet")
    counted = Counter(states)
    text = ngettext("Last run: %(list)s", "Last %(n)s runs: %(list)s", len(states))
    named = (f"{counted[state]} {state.label}" for state in State if counted[state])
    return text % {"n": len(states), "list": ", ".join(named)}
