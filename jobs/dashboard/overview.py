"""The overview: what is happening now."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.http import HttpResponse
from django.utils.translation import gettext as _

from .. import health, statistics
from ..states import State
from . import metrics
from .pages import Page

#: What the tiles tell of: the last so many minutes.
MINUTES = 5


def page(page: Page) -> HttpResponse:
    """Tiles, graphs, and what needs attention."""
    return page.render(
        "overview.html", {"tiles": _tiles()}, title=_("Overview"), live=("tiles.html",)
    )


def _tiles() -> dict[str, Any]:
    numbers = metrics.snapshot()
    now = numbers.database_time
    start = now - timedelta(minutes=MINUTES)
    counted = statistics.totals(start, now, ("succeeded", "failed", "retry", "deleted"))
    return {
        "rate": sum(counted.values()) / (MINUTES * 60),
        "processing": numbers.states[State.PROCESSING],
        "backlog": numbers.states[State.ENQUEUED],
        "oldest": health.oldest_due_seconds(now),
        "failed": numbers.states[State.FAILED],
        "wait": statistics.percentiles("wait", start, now),
        "run": statistics.percentiles("run", start, now),
    }
