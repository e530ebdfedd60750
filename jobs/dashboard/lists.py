"""Jobs by state."""

from __future__ import annotations

from django.http import HttpResponse

from ..conf import conf
from ..models import Job
from ..states import State
from .pages import Page

#: Rows on a page.
ROWS = 20


def all_states(page: Page) -> HttpResponse:
    """The state in which something is to be done: failed jobs, else those that wait."""
    from django.shortcuts import redirect

    from . import metrics

    failed = metrics.snapshot().states[State.FAILED]
    return redirect(page.url("job_state", State.FAILED if failed else State.ENQUEUED))


def page(page: Page, state: State) -> HttpResponse:
    """The jobs of one state, those that changed last first."""
    jobs = Job.objects.using(conf.DATABASE).filter(state=state)
    rows = jobs.order_by("-state_changed_at", "-id")[:ROWS]
    return page.render(
        "list.html",
        {"state": state, "rows": list(rows)},
        title=str(state.label),
        side=True,
        live=("rows.html",),
    )
