"""The housekeeping process: proves that this server lives, looks after dead ones, runs the
scheduler of recurring jobs."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from typing import Any

import psutil
from django.db.models import F, QuerySet

from .. import continuations, signals, transitions
from ..clock import DatabaseNow
from ..conf import conf
from ..health import database_now
from ..models import Job, Order, Queue, Server, compiled
from ..queues import add_missing as add_missing_queues
from ..wakeup import announce, can_notify
from . import database, identity, wire
from .arena import Arena
from .database import LONGEST_REFUSED_SECONDS, Outage
from .identity import Identity
from .scheduler import Scheduler
from .upkeep import Upkeep

logger = logging.getLogger(__name__)

#: How often it looks whether the servers of this host that it knows of are alive.
TICK_SECONDS = 1.0
#: How often missing Queue rows are put right.
QUEUES_SECONDS = 60.0
#: How often waiting jobs are looked for that nobody released when their parents ended.
SWEEP_SECONDS = 10.0
#: A pulse of a sibling older than this (times PULSE_TIMEOUT_SECONDS) is not attested.
STALE = 1.5


class Watch:
    """Tells that a server of another host is dead.

    It is when its heartbeat is too old by the database's clock and its beat has not moved for two
    intervals of our own monotonic clock, counting only time in which we could read the database:
    neither a wrong clock nor an outage that hit us both gives up a living server.
    """

    def __init__(self) -> None:
        self._readable = 0.0
        self._last_read: float | None = None
        self._seen: dict[str, tuple[int, float]] = {}

    def dead(self, name: str, beat: int, age_seconds: float) -> bool:
        """Judge a server just read, whose heartbeat is `age_seconds` old by the database."""
        known = self._seen.get(name)
        if known is None or known[0] != beat:
            self._seen[name] = (beat, self._readable)
            return False
        silent = self._readable - known[1]
        return age_seconds > conf.SERVER_TIMEOUT_SECONDS and silent >= 2 * conf.HEARTBEAT_SECONDS

    def read(self, now: float) -> None:
        """Hear that the database was read at `now`, by the monotonic clock."""
        if self._last_read is not None and now - self._last_read < 3 * _read_seconds():
            self._readable += now - self._last_read
        self._last_read = now

    def forget(self, living: set[str]) -> None:
        """Forget servers that are gone."""
        self._seen = {name: seen for name, seen in self._seen.items() if name in living}


class Housekeeping:
    """The state of housekeeping, and its loop."""

    def __init__(
        self,
        server: str,
        queues: list[str] | None,
        arena: Arena,
        control: socket.socket,
        sentinel: Identity,
    ) -> None:
        self.server, self.queues, self.arena, self.control = server, queues, arena, control
        self.sentinel = sentinel
        self.outage = Outage("housekeeping")
        self._watch = Watch()
        self._scheduler = Scheduler(
            self.outage, self._wake_dispatcher, hinted=self.arena.due_hint.get
        )
        self._others: list[Identity] = []
        self._outbox = wire.Outbox(control)
        self._due: dict[Callable[[], Any], float] = {}
        self._upkeep = Upkeep(self.outage)
        # A successor of one that died goes by what that one had passed on.
        self._order = Order.QUIET if self.arena.quiet.get() else Order.NONE
        self._order_heard = 0.0  # up to which hint at an order it has been read
        self._cpu: tuple[float, float] | None = None  # when, and how many seconds until then

    def run(self) -> None:
        """Keep house until the sentinel says stop, then sign off."""
        database.engine_connection()
        while not wire.wait_for(self.control, self._pause()):
            self.arena.housekeeping_pulse.touch()
            self._every(conf.HEARTBEAT_SECONDS, self._beat)
            if not self.arena.confirmed.get():
                continue
            self._scheduler.work()
            self._every(TICK_SECONDS, self._look_around)
            if (hinted := self.arena.order_hint.get()) > self._order_heard:
                self._order_heard = hinted
                self._due.pop(self._look_after_servers, None)
            self._every(
                _read_seconds() if self._others else conf.HEARTBEAT_SECONDS,
                self._look_after_servers,
            )
            self._every(2 * conf.HEARTBEAT_SECONDS, self._look_after_orphans)
            self._every(QUEUES_SECONDS, add_missing_queues)
            self._every(SWEEP_SECONDS, self._sweep_waiting)
            self._upkeep.turn(self._room())
        self._sign_off()

    def _pause(self) -> float:
        now = time.monotonic()
        wait = max(0.0, min(self._due.values(), default=now) - now)
        if self.arena.confirmed.get():
            wait = min(wait, self._scheduler.seconds())
        return min(1.0, wait, self._upkeep.wait(self._room()))

    def _room(self) -> float:
        """Return the seconds until the next heartbeat; none before the first is confirmed."""
        if not self.arena.confirmed.get():
            return 0.0
        return self._due.get(self._beat, 0.0) - time.monotonic()

    def _every(self, seconds: float, work: Callable[[], Any]) -> None:
        now = time.monotonic()
        if now < self._due.get(work, 0.0):
            return
        # Never much later than it is due, or a heartbeat that was refused for a while would not
        # come before others take this server for dead.
        done, _ = self.outage.attempt(work, longest=min(seconds, LONGEST_REFUSED_SECONDS))
        # After a failure soon again, but not at once.
        self._due[work] = now + (
            seconds if done else min(seconds, max(0.1, self.outage.wait_for(work)))
        )

    # This server.

    def _beat(self) -> None:
        limit = STALE * conf.PULSE_TIMEOUT_SECONDS
        if self.arena.sentinel_pulse.age > limit or (
            self.arena.dispatcher_pulse.get() and self.arena.dispatcher_pulse.age > limit
        ):
            logger.error("no heartbeat: the sentinel or the dispatcher of this server hangs")
            return
        servers = Server.objects.using(conf.DATABASE)
        if not self.arena.confirmed.get():
            host, boot_id, pid_namespace, pid, started = self.sentinel
            _row, created = servers.get_or_create(
                name=self.server,
                defaults={
                    "host": host,
                    "pid": pid,
                    "boot_id": boot_id,
                    "pid_namespace": pid_namespace,
                    "process_started": started,
                    # Not DatabaseNow(), which Django would read back with the insert: on SQL Server
                    # by way of a temporary table.
                    "heartbeat_at": database_now,  # type: ignore[misc]  # called if it is needed
                    "queues": self.queues or [],
                },
            )
            if not created:  # what was asked of an earlier server of this name is not for us
                servers.filter(name=self.server).exclude(order=Order.NONE).update(order=Order.NONE)
            signals.server_started.send_robust(sender=Server, server=self.server)
        elif not servers.filter(name=self.server).update(
            heartbeat_at=DatabaseNow(),
            beat=F("beat") + 1,
            workers=self._workers(),
            load=self._load(),
        ):
            self._outbox.put(("given up",))
            return
        self.arena.confirmed.touch()

    def _workers(self) -> list[dict[str, Any]]:
        now, wall, found = time.monotonic(), time.time(), []
        for slot in self.arena.slots:
            if running := slot.running():
                since = wall - (now - running.started)
                found.append({"slot": slot.index, "job": running.id, "since": round(since, 3)})
        return found

    def _load(self) -> dict[str, float]:
        try:
            sentinel = psutil.Process(self.sentinel.pid)
            family = [sentinel, *sentinel.children(recursive=True)]
            cpu = memory = 0.0
            for process in family:
                times = process.cpu_times()
                cpu += times.user + times.system
                memory += process.memory_info().rss
        except psutil.Error:
            return {}
        load = {"cpu_seconds": round(cpu, 2), "memory_mb": round(memory / 2**20, 1)}
        now, before = time.monotonic(), self._cpu
        self._cpu = now, cpu
        if before and now > before[0]:
            # Of one core; a worker that has ended takes its seconds along.
            load["cpu_percent"] = round(max(0.0, 100 * (cpu - before[1]) / (now - before[0])), 1)
        return load

    def _sign_off(self) -> None:
        """Remove this server's row; if rows are still held, they come back as recovered."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            self.arena.housekeeping_pulse.touch()
            done, _ = self.outage.attempt(self._remove)
            if done:
                return
            time.sleep(min(0.5, self.outage.wait_for(self._remove) + 0.01))
        logger.error(
            "the database is away: %s could not sign off and will be given up", self.server
        )

    def _remove(self) -> None:
        row = Server.objects.using(conf.DATABASE).filter(name=self.server)
        beat = row.values_list("beat", flat=True).first()
        if beat is not None:
            transitions.give_up(self.server, beat, "its server was stopped")

    def _wake_dispatcher(self) -> None:
        """Say that there may be jobs, where the database itself does not."""
        if not can_notify(conf.DATABASE):
            self._outbox.put(("work",))

    # The others.

    def _look_around(self) -> None:
        """See at once, and without asking the database, when a server of this host dies."""
        if any(identity.is_gone(other) for other in self._others):
            self._look_after_servers()

    def _look_after_servers(self) -> None:
        # Our own row comes along, so that orders cost no statement of their own.
        rows = list(_servers())
        for row in rows:
            if row[0] == self.server:
                self._obey(row[-1])
        others = [row[:-1] for row in rows if row[0] != self.server]
        self._watch.read(time.monotonic())
        self._watch.forget({row[0] for row in others})
        self._others = [Identity(*row[4:]) for row in others]
        for name, beat, heartbeat_at, now, *who in others:
            age = (now - heartbeat_at).total_seconds()
            if identity.is_gone(Identity(*who)):
                self._give_up(name, beat, f"server {name} died")
            elif self._watch.dead(name, beat, age):
                self._give_up(name, beat, f"server {name} gave no sign of life for {age:.0f} s")

    def _obey(self, order: str) -> None:
        """Do what somebody asks of this server: be quiet, go on, stop."""
        if order == self._order:
            return
        self._order = Order(order)
        logger.info("%s was asked to %s", self.server, _IN_WORDS[self._order])
        if self._order == Order.STOP:
            self._outbox.put(("stop",))
            return
        if self._order == Order.QUIET:
            self.arena.quiet.touch()
        else:
            self.arena.quiet.clear()
        self._outbox.put(("work",))  # the dispatcher sees it at once

    def _look_after_orphans(self) -> None:
        """Free jobs held by a server without a row: it had been given up.

        Also those that were deleted while they ran there, or nobody could ever requeue them.
        """
        # First the jobs, then the servers: a server that came in between has its row by then.
        holders = self._holders()
        if not holders:
            return
        living = set(Server.objects.using(conf.DATABASE).values_list("name", flat=True))
        for name in holders - living:
            self._give_up(name, None, f"server {name} had been given up")

    def _holders(self) -> set[str]:
        """Return who holds jobs, hopping from name to name along the index."""
        found: set[str] = set()
        name = ""
        while rows := _next_holder(name):
            ((name,),) = rows
            found.add(name)
        return found

    def _give_up(self, name: str, beat: int | None, cause: str) -> None:
        freed = transitions.give_up(name, beat, cause)
        if freed is None:
            return
        logger.warning(
            "%s; jobs recovered: %d, crashes counted: %d",
            cause,
            freed["recovered"],
            freed["crashed"],
        )
        for queue in self._queue_names():
            announce(queue)

    def _sweep_waiting(self) -> None:
        for queue in set(continuations.sweep()):
            announce(queue)

    def _queue_names(self) -> list[str]:
        return list(Queue.objects.using(conf.DATABASE).values_list("name", flat=True))


def _read_seconds() -> float:
    """Return how often the rows of other servers are read."""
    return max(TICK_SECONDS, conf.HEARTBEAT_SECONDS / 2)


@compiled.query
def _servers() -> QuerySet[Server, tuple[Any, ...]]:
    rows = Server.objects.using(conf.DATABASE)
    return rows.values_list("name", "beat", "heartbeat_at", DatabaseNow(), *_IDENTITY, "order")


@compiled.query
def _next_holder(after: str) -> QuerySet[Job, tuple[str]]:
    jobs = Job.objects.using(conf.DATABASE).filter(server__gt=after).order_by("server")
    return jobs.values_list("server")[:1]


_IDENTITY = ("host", "boot_id", "pid_namespace", "pid", "process_started")
_IN_WORDS = {
    Order.NONE: "take jobs again",
    Order.QUIET: "take no new jobs",
    Order.STOP: "stop",
}


def run(
    server: str,
    queues: list[str] | None,
    arena: Arena,
    control: socket.socket,
    sentinel: Identity,
) -> None:
    """Be housekeeping until the sentinel says stop."""
    Housekeeping(server, queues, arena, control, sentinel).run()
