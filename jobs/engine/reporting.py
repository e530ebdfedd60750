"""What running jobs tell: from the worker over its line to the dispatcher, who writes it.

Not by the worker's own connection, where a job's transaction would hide it and take it back.
"""

from __future__ import annotations

import _thread
import logging
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock

from .. import reports
from ..outcomes import Told
from ..progress import Outlet, Report
from . import wire
from .database import Outage

logger = logging.getLogger(__name__)

#: A worker passes on what its job tells at most so often.
INTERVAL_SECONDS = 1.0
#: So many reports that a dead dispatcher did not take are kept for its successor.
KEPT_REPORTS = 10
#: The dispatcher lets reports wait so long for others to share their transaction.
DELAY_SECONDS = 0.1
#: While they can't be written, it keeps reports with so many lines in all; older ones are dropped.
KEPT_LINES = 5_000


class Reporter(Outlet):
    """The worker's side: a thread that passes on what the job tells while it runs.

    A thread, because the job may compute for hours after it told something; and it alone sends
    during a job, because that may be interrupted anywhere, also in the middle of a message.
    `send`: puts a message on the line, and returns whether there is one that took it. `runs`: tells
    whether the job with this token is the one that runs; threads of others may live on.
    """

    def __init__(self, send: Callable[[bytes], bool], runs: Callable[[str], bool]) -> None:
        super().__init__()
        self._send, self._runs = send, runs
        self._lock = Lock()
        self._calls: SimpleQueue[None] = SimpleQueue()  # can be interrupted, a Condition can't
        self._is_called = self._is_started = False
        self._unsent: deque[bytes] = deque(maxlen=KEPT_REPORTS)

    @property
    def is_open(self) -> bool:
        """Whether the job that runs has told anything."""
        return bool(self._reports)

    def open(self, report: Report) -> Report:
        if not self._runs(report.token):
            return report
        report.wake = self._wake
        if not self._is_started:
            self._is_started = True
            _thread.start_new_thread(self._run, ())  # returns without waiting for it
        return super().open(report)

    def close(self) -> None:
        """Pass on what is left, before the outcome; nothing is sent for this job after that."""
        with self._lock:
            self._pass_on()
            self._reports.clear()
            self._unsent.clear()

    def _wake(self) -> None:
        if not self._is_called:
            self._is_called = True
            self._calls.put(None)

    def _run(self) -> None:
        while True:
            self._calls.get()
            self._is_called = False
            with self._lock:
                self._pass_on()
            time.sleep(INTERVAL_SECONDS)

    def _pass_on(self) -> None:
        try:
            self._unsent += [wire.frame(("told", tuple(told))) for told in self.take()]
            while self._unsent and self._send(self._unsent[0]):
                self._unsent.popleft()
        except Exception:
            logger.exception("what a job told of itself could not be passed on")


class Reports:
    """The dispatcher's side: what was told and is not written yet.

    Never waited for: while the database is away it is kept, up to a limit, and no job knows.
    """

    def __init__(self, outage: Outage) -> None:
        self._of_all = outage
        # One of its own, so that a missing table slows nothing else down.
        self._outage = Outage("dispatcher, progress of jobs")
        self._told: list[Told] = []
        self._due_at = 0.0
        self._dropped = 0

    def add(self, told: list[Told]) -> None:
        if not self._told:
            self._due_at = time.monotonic() + DELAY_SECONDS
        self._told += told
        lines = sum(len(one.lines) + 1 for one in self._told)
        while lines > KEPT_LINES and len(self._told) > len(told):
            lines -= len(self._told.pop(0).lines) + 1
            if not self._dropped:
                logger.warning("what running jobs tell can't be written for now; some is dropped")
            self._dropped += 1

    def wait(self) -> float | None:
        """Return seconds until the next flush, None with nothing to flush."""
        if not self._told:
            return None
        pause = max(self._of_all.wait, self._outage.wait_for(self.flush))
        return max(pause, self._due_at - time.monotonic())

    def flush(self) -> None:
        """Write what there is, if it can be."""
        told = self._told
        done, _ = self._outage.attempt(lambda: reports.write(told))
        if done:
            self._told = []
            if self._dropped:
                logger.warning("reports of running jobs that were dropped: %d", self._dropped)
            self._dropped = 0
