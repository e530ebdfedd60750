"""Servers: asking one to take no new jobs, to go on, or to stop."""

from __future__ import annotations

from typing import cast

from asgiref.sync import sync_to_async
from django.db.models import CharField, QuerySet

from . import wakeup
from .clock import DatabaseNow
from .conf import conf
from .exceptions import InvalidOption, UnknownServer
from .models import Order, Server


def quiet_server(name: str, by: str = "", reason: str = "") -> bool:
    """Let server `name` take no new jobs; return False if it was asked that or to stop already.

    It goes on with the jobs that run and puts back, uncounted, what it has claimed but not
    started. It sees this at its next heartbeat at the latest, on PostgreSQL within about a second
    after the caller's commit. A server that is started anew is not quiet. `by`: who asks (at most
    150 characters), `reason`: why (255). Raises UnknownServer if no server of that name runs,
    InvalidOption for a text that is too long.
    """
    return _ask(name, Order.QUIET, [Order.NONE], by, reason)


def resume_server(name: str, by: str = "", reason: str = "") -> bool:
    """Let server `name` take jobs again; return False if it was not quiet.

    Arguments, time and errors as with `quiet_server`.
    """
    return _ask(name, Order.NONE, [Order.QUIET], by, reason)


def stop_server(name: str, by: str = "", reason: str = "") -> bool:
    """Stop server `name` as SIGTERM does; return False if it was asked to stop already.

    Jobs that run have SHUTDOWN_SECONDS to end. Whatever supervises the process may start it anew.
    Arguments, time and errors as with `quiet_server`.
    """
    return _ask(name, Order.STOP, [Order.NONE, Order.QUIET], by, reason)


async def aquiet_server(name: str, by: str = "", reason: str = "") -> bool:
    """Do as `quiet_server`, from async code."""
    return await sync_to_async(quiet_server)(name, by, reason)


async def aresume_server(name: str, by: str = "", reason: str = "") -> bool:
    """Do as `resume_server`, from async code."""
    return await sync_to_async(resume_server)(name, by, reason)


async def astop_server(name: str, by: str = "", reason: str = "") -> bool:
    """Do as `stop_server`, from async code."""
    return await sync_to_async(stop_server)(name, by, reason)


def _ask(name: str, order: Order, instead_of: list[Order], by: str, reason: str) -> bool:
    _check_length("by", by)
    _check_length("reason", reason)
    rows = _named(name).filter(order__in=instead_of)
    changed = bool(
        rows.update(order=order, ordered_at=DatabaseNow(), ordered_by=by, ordered_reason=reason)
    )
    if changed:
        wakeup.announce_orders()
    elif not _named(name).exists():
        raise UnknownServer(f"no server {name!r} runs.")
    return changed


def _named(name: str) -> QuerySet[Server]:
    return Server.objects.using(conf.DATABASE).filter(name=name)


def _check_length(field: str, text: str) -> None:
    column = cast("CharField[str, str]", Server._meta.get_field(f"ordered_{field}"))
    if (limit := column.max_length) and len(text) > limit:
        raise InvalidOption(f"{field} has {len(text)} characters; at most {limit} are kept.")
