"""Who may open which page of the dashboard, and what to open: one line for each route.

A route of `jobs/dashboard/routes.py` without a line here fails `test_permissions.py`; with it, the
page is tested for permissions, policy, under a foreign admin site, and in a real browser.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jobs.dashboard.routes import ROUTES, Route
from jobs.states import State


@dataclass(frozen=True)
class Address:
    """`may`: the permission with which one gets there, as Django names it in `codename`; `also`: what
    an action asks for beside it.

    `samples`: arguments of the address, for each page to look at; "<job>", "<failed>",
    "<recurring>", "<server>" and "<queue>" stand for what `world.make` has made. `queries`: what is
    to be looked at of each, too. `status`: what an administrator gets, after redirects.
    """

    may: str
    also: tuple[str, ...] = ()
    samples: tuple[tuple[str, ...], ...] = ((),)
    queries: tuple[str, ...] = ("",)
    status: int = 200
    #: A fragment that a page fetches; none that a browser opens.
    is_part: bool = False


#: By `<model>_<name>`, as the address is named in the admin's namespace behind the app's label.
ADDRESSES = {
    "job_changelist": Address("view_job"),
    "job_overview": Address("view_job"),
    "job_htmx": Address("view_job"),
    "job_stats": Address("view_job"),
    "job_retries": Address("view_job"),
    "job_failures": Address("view_job", queries=("", "?sort=last")),
    "job_act": Address("view_job", also=("requeue_job", "delete_job")),
    "job_operations": Address("view_job"),
    "job_operation_stop": Address("view_job", samples=(("1",),)),
    "job_change": Address("view_job", samples=(("<job>",), ("<failed>",))),
    "job_run": Address("run_job", samples=(("<job>",),)),
    "recurringjob_changelist": Address("view_recurringjob"),
    "recurringjob_add": Address("add_recurringjob"),
    "recurringjob_act": Address("view_recurringjob", status=404),
    "recurringjob_preview": Address("view_recurringjob", also=("add_recurringjob",), is_part=True),
    "recurringjob_change": Address("view_recurringjob", samples=(("<recurring>",),)),
    "recurringjob_edit": Address("change_recurringjob", samples=(("<recurring>",),)),
    "recurringjob_delete": Address("delete_recurringjob", samples=(("<recurring>",),)),
    "recurringjob_unknown": Address("view_recurringjob", samples=(("x",),), status=404),
    "recurringjob_unknown_delete": Address("view_recurringjob", samples=(("x",),), status=404),
    "server_changelist": Address("view_server"),
    "server_act": Address("stop_server"),
    "queue_changelist": Address("view_queue"),
    "queue_act": Address("pause_queue"),
    "job_state": Address("view_job", samples=tuple((str(state),) for state in State)),
}


def name_of(route: Route) -> str:
    return f"{route.model._meta.model_name}_{route.name}"


def opened(world: Mapping[str, Any], method: str = "GET") -> Iterator[tuple[Route, list[str], str]]:
    """Yield each route with such a method: arguments and query of each page to look at."""
    for route in ROUTES:
        address = ADDRESSES.get(name_of(route))
        if address is None or method not in route.methods:
            continue
        for sample in address.samples:
            args = [str(world.get(arg, arg)) for arg in sample]
            for query in address.queries:
                yield route, args, query
