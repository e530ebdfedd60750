"""A cluster: the process that was started, which starts the sentinel and hears the signals."""

from __future__ import annotations

import logging
import os
import resource
import secrets
import signal
import time
from multiprocessing.connection import wait
from typing import Any

from django.db import connections

from ..conf import conf
from . import djangoq
from .sentinel import GIVEN_UP, Plan, Sentinel

logger = logging.getLogger(__name__)

#: Descriptors that the sentinel holds for each worker: a socket, and the two pipes of its process.
#: The dispatcher needs no more: it inherits the pipes and has a socket of its own to each worker.
WORKER_FDS = 3
#: Whatever else they hold; generously, for libraries and log files.
OTHER_FDS = 64

#: A sentinel that died is replaced, but not more often than this.
RESTART_SECONDS = 0.2


def too_many_workers(workers: int) -> str | None:
    """Return why a server of this process can't have so many workers and what to do, or None."""
    needed = OTHER_FDS + WORKER_FDS * workers
    limit, _most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY or needed <= limit:
        return None
    fitting = max(0, (limit - OTHER_FDS) // WORKER_FDS)
    return (
        f"{workers} workers need about {needed} open files in one process, and {limit} are "
        f"possible here. Raise the limit (ulimit -n {needed}), or have at most {fitting}."
    )


class Cluster(djangoq.Cluster):
    """django-q2's cluster with our sentinel: jobs come from the Job table.

    `queues`: names in order, None for all queues. `workers`: how many processes run jobs.
    `label`: the first part of the server's name. `drain`: end when what is due was worked off.
    """

    def __init__(
        self,
        *,
        queues: list[str] | None = None,
        workers: int | None = None,
        label: str | None = None,
        drain: bool = False,
    ) -> None:
        super().__init__()
        self.queues = queues if queues is not None else conf.QUEUES
        self.workers = workers or conf.WORKERS
        self.label = label or conf.NAME or self.host
        self.drain = drain
        self.status = 0
        self._stop_end: int | None = None
        self._stops = 0

    def start(self) -> int:
        """Run until stopped by SIGTERM or SIGINT (a second one stops at once); return the pid.

        `status` then holds the exit status. A sentinel that dies is replaced.
        """
        djangoq.configure(recycle_jobs=conf.RECYCLE_JOBS, max_rss_kb=conf.MAX_RSS_KB)
        while True:
            self._start_sentinel()
            self._watch_sentinel()
            code = self.sentinel.exitcode
            self._close_pipe()
            if self._stops or code == 0:
                self.status = 0 if code == 0 else 1
                return int(self.pid)
            if code != GIVEN_UP:
                logger.error("the sentinel died (%s); starting another", code)
            time.sleep(RESTART_SECONDS)

    def stop(self) -> bool:
        """Ask the sentinel to stop; once more: at once."""
        self._stops += 1
        if self._stop_end is None:
            return False
        try:
            os.write(self._stop_end, b".")
        except BrokenPipeError:
            return False  # it has just ended
        return True

    def sig_handler(self, signum: int, frame: Any) -> None:
        self.stop()

    @property
    def name(self) -> str:
        return str(self.label)

    def _start_sentinel(self) -> None:
        # Host and process say where to look, the rest makes it unique for ever.
        server = f"{self.label[:60]}:{self.pid}:{secrets.token_hex(4)}"
        plan = Plan(server, self.queues, self.workers, self.drain)
        connections.close_all()
        stop_pipe, self._stop_end = os.pipe()
        end = self._stop_end

        def body() -> None:
            os.close(end)
            for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(signum, lambda *_: None)
            raise SystemExit(Sentinel(plan, stop_pipe).run())

        self.sentinel = djangoq.get_mp_context().Process(target=body, name="sentinel")
        self.sentinel.start()
        os.close(stop_pipe)
        queues = ", ".join(self.queues) if self.queues else "all"
        logger.info("%s started: %d workers, queues: %s", server, self.workers, queues)
        for _ in range(self._stops):  # asked before it was there
            os.write(end, b".")

    def _watch_sentinel(self) -> None:
        while self.sentinel.is_alive():
            wait([self.sentinel.sentinel], 1.0)
        self.sentinel.join()

    def _close_pipe(self) -> None:
        end, self._stop_end = self._stop_end, None
        if end is not None:
            os.close(end)
