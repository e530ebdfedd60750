"""A worker process: django-q2's loop, fed by the dispatcher, running our runner."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any

from django.utils import timezone

from ..foreign import VIA
from ..limits import CANCEL_SIGNAL
from ..outcomes import Claimed, Kind, Outcome
from ..runner import broken, execute
from . import database, djangoq, wire
from .arena import Slot
from .reporting import Reporter

logger = logging.getLogger(__name__)


class Call:
    """A claimed job as django-q2's loop wants it: something to call, with a name for its log."""

    __slots__ = ("job", "run")

    def __init__(self, job: Claimed, run: Callable[[Claimed], None]) -> None:
        self.job, self.run = job, run

    @property
    def is_foreign(self) -> bool:
        """Whether another API than ours tells of it."""
        return f'"{VIA}":' in self.job.options

    def __call__(self) -> None:
        self.run(self.job)

    def __str__(self) -> str:
        return self.job.func


class Station:
    """The worker's end of its line to the dispatcher: tasks come out, outcomes go in.

    An outcome is kept until the dispatcher says its commit is done, and sent again to a new
    dispatcher. Jobs that a dead dispatcher had sent but that were not received yet are dropped:
    its successor gives them back.
    """

    def __init__(self, control: socket.socket, slot: Slot, name: str) -> None:
        self._control, self._slot, self._name = control, slot, name
        self._line: socket.socket | None = None
        self._is_greeted = False  # whether the other end of it knows where we are
        self._reporter = Reporter(self._tell, self._runs)
        self._inbox = wire.Inbox()
        self._ready: deque[tuple[int, int, Claimed]] = deque()
        self._unacknowledged: deque[tuple[int, bytes]] = deque()
        self._sent = 0
        self.taken = 0  # how many jobs were taken up
        self._last_message = 0
        self._job: Claimed | None = None
        self._began = self._waited = 0.0

    def get(self) -> Any:
        """Return the next task, waiting for it, or STOP."""
        while True:
            while self._ready:
                message, position, job = self._ready.popleft()
                # In this order: a dispatcher that revokes, waits a moment and then looks at the
                # slot sees every job that slipped through.
                self._slot.begin((job.id, job.token), message, position)
                if message <= self._slot.revoked:
                    self._slot.end()
                    continue
                self.taken += 1
                self._job, self._began = job, time.perf_counter()
                self._waited = max(0.0, time.time() - job.due)
                return {
                    "id": str(job.id),
                    "name": f"#{job.id}",
                    "func": Call(job, self._run),
                    "args": (),
                    "kwargs": {},
                    "started": timezone.now(),
                }
            message = self._receive()
            if message[0] == "stop":
                return djangoq.STOP
            self._forget(message[1])
            if message[0] == "jobs":
                number, jobs = message[2], [Claimed(*values) for values in message[3]]
                self._slot.hold(number, ((job.id, job.token) for job in jobs))
                self._last_message = number
                self._ready.extend((number, i, job) for i, job in enumerate(jobs))

    def put(self, task: dict[str, Any]) -> None:
        """Do nothing: the outcome was handed over before django-q2's signals told of it."""

    def _run(self, job: Claimed) -> None:
        self._deliver(job, execute(job, self._name, self._slot, self._reporter))

    def fail(self, text: str) -> None:
        """Hand over that the loop died of `text` with a job that it did not run."""
        if (job := self._job) is not None:
            self._deliver(job, broken(job, text, time.perf_counter() - self._began))

    def _deliver(self, job: Claimed, outcome: Outcome) -> None:
        self._job = None
        if self._reporter.is_open:
            self._reporter.close()
        seconds = time.perf_counter() - self._began
        self._sent += 1
        waited = None if outcome.kind == Kind.MISSING else self._waited
        try:
            data = self._frame(outcome, seconds, waited)
        except ValueError as error:
            logger.exception("#%d: its outcome can't be passed on", job.id)
            outcome = broken(job, f"its outcome can't be passed on: {error}", seconds)
            data = self._frame(outcome, seconds, waited)
        self._unacknowledged.append((self._sent, data))
        self._send(data)
        self._slot.end()

    def _frame(self, outcome: Outcome, seconds: float, waited: float | None) -> bytes:
        # Marshal takes exact types only.
        plain = outcome._replace(
            kind=str(outcome.kind), data=str(outcome.data), seconds=seconds, waited=waited
        )
        return wire.frame(("outcome", self._sent, tuple(plain)))

    def leave(self) -> None:
        """Wait until every outcome is safe, then hang up."""
        while self._unacknowledged:
            message = self._receive()
            if message[0] != "stop":
                self._forget(message[1])
        self._hang_up()

    def _forget(self, acknowledged: int) -> None:
        while self._unacknowledged and self._unacknowledged[0][0] <= acknowledged:
            self._unacknowledged.popleft()

    def _runs(self, token: str) -> bool:
        return self._job is not None and self._job.token == token

    def _tell(self, data: bytes) -> bool:
        """Send what a job tells, while it runs; return False if that must be tried again.

        A new dispatcher is told no more than that: it hears of jobs and outcomes between two jobs.
        """
        if self._line is None:
            self._take_line(0)
        line = self._line
        if line is None:
            return False
        try:
            line.sendall(data)
        except ConnectionError:
            self._hang_up()
            return False
        return True

    def _send(self, data: bytes) -> None:
        if self._line is None or not self._is_greeted:
            self._connect(wait=False)
        else:
            try:
                self._line.sendall(data)
            except ConnectionError:
                self._hang_up()
                self._connect(wait=False)

    def _receive(self) -> Any:
        while True:
            if not self._is_greeted:
                self._connect(wait=self._line is None)
                continue
            assert self._line is not None
            # All that is there, so that the end of the line is seen before the last messages are
            # taken up.
            if not wire.drain(self._line, self._inbox):
                self._hang_up()
                continue
            if (message := self._inbox.pop()) is not None:
                return message
            wire.wait_for(self._line)

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
        self._line, self._is_greeted = None, False
        self._inbox.clear()

    def _connect(self, *, wait: bool) -> None:
        """Take the newest line from the sentinel and say what is still to be acknowledged."""
        self._take_line(None if wait else 0)
        if self._line is not None:
            waiting = sum(1 for message, _, _ in self._ready if message > self._slot.revoked)
            acknowledged = self._sent - len(self._unacknowledged)
            hello = ("hello", self._last_message, waiting, acknowledged, self._sent)
            frames = wire.frame(hello) + b"".join(data for _, data in self._unacknowledged)
            try:
                self._line.sendall(frames)
                self._is_greeted = True
            except ConnectionError:
                self._hang_up()

    def _take_line(self, timeout: float | None) -> None:
        """Take the newest line that the sentinel has for us."""
        while wire.wait_for(self._control, timeout):
            data, fds, _flags, _address = socket.recv_fds(self._control, 1, 1)
            if not data:
                os._exit(0)  # the sentinel is gone
            self._hang_up()
            self._line = socket.socket(fileno=fds[0])
            timeout = 0


def run(control: socket.socket, slot: Slot, name: str) -> None:
    """Be a worker until the dispatcher says stop."""
    database.keep_connections()
    signal.signal(CANCEL_SIGNAL, signal.SIG_IGN)  # until a job can be ended by it
    station = Station(control, slot, name)
    _work(station)
    station.leave()
    # Without waiting for threads that a job has left: the dispatcher counts on us no more.
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _work(station: Station) -> None:
    while True:
        taken = station.taken
        try:
            djangoq.run_worker(station, station)
            return
        except Exception:  # a receiver of django-q2's signals may do anything
            if station.taken == taken:
                raise  # nothing to do with a job: another process may do better
            logger.exception("django-q2's loop died, probably of a receiver of its signals")
            station.fail(traceback.format_exc())
