"""SIGKILL in the middle of each kind of write, and a disk that is full."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
import traceback
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections
from django.utils import timezone

import jobs
from jobs import occurrences, pruning, transitions
from jobs.engine import identity
from jobs.engine.arena import Arena
from jobs.engine.database import Outage
from jobs.engine.housekeeping import Housekeeping
from jobs.engine.recorder import Recorder
from jobs.models import HistoryEntry, Job, RecurringJob
from jobs.models import Server as ServerRow
from jobs.outcomes import Kind, Outcome
from jobs.states import State
from tests import functions
from tests.cluster import Server as Cluster
from tests.cluster import until

from .checks import inconsistencies
from .faults import COMMIT, Point
from .figures import Record, at_least, at_most, exactly, shown
from .throwaway import default_database
from .work import Feed, repeatedly, runs

Start = Callable[..., Cluster]
Scale = Callable[[Any, Any], Any]
# The test forks, which only a process of one thread may: pytest-xdist has more.
pytestmark = [pytest.mark.timeout(900), pytest.mark.alone]

SQLITE = connection.vendor == "sqlite"
JOBS = 5
#: What a run that succeeded, failed or will be retried leaves in its history.
RESULTS = ['{"result": {"value": 1}}', "{}", "{}"]


class Write:
    """A kind of write: what it needs, the write itself, and what it has done to the jobs."""

    def prepare(self) -> None:
        jobs.enqueue_many(functions.nothing, [(n,) for n in range(JOBS)])

    def write(self) -> None:
        raise NotImplementedError

    def done(self) -> int:
        """Return for how many jobs it is done: all or none."""
        raise NotImplementedError

    number = JOBS


class Enqueue(Write):
    number = 1

    def prepare(self) -> None: ...

    def write(self) -> None:
        jobs.enqueue(functions.nothing)

    def done(self) -> int:
        return Job.objects.count()


class EnqueueMany(Enqueue):
    number = JOBS

    def write(self) -> None:
        jobs.enqueue_many(functions.nothing, [(n,) for n in range(JOBS)])


class Claim(Write):
    def write(self) -> None:
        transitions.claim("default", JOBS, server="s", token=uuid.uuid4().hex, idle=2)

    def done(self) -> int:
        return Job.objects.filter(state=State.PROCESSING).count()


class RecordOutcomes(Write):
    def prepare(self) -> None:
        super().prepare()
        self.token = uuid.uuid4().hex
        transitions.claim("default", JOBS, server="s", token=self.token, idle=2)

    def write(self) -> None:
        kinds = [Kind.SUCCEEDED, Kind.FAILED, Kind.RETRY]
        ids = Job.objects.order_by("id").values_list("pk", flat=True)
        Recorder("s", Outage("test"))._store(
            [
                Outcome(pk, self.token, kinds[n % 3], "", RESULTS[n % 3], 0.0, 5.0)
                for n, pk in enumerate(ids)
            ]
        )

    def done(self) -> int:
        return Job.objects.exclude(state=State.PROCESSING).count()


class Promote(Write):
    def prepare(self) -> None:
        for _ in range(JOBS):
            jobs.schedule(functions.nothing, run_after=timedelta(milliseconds=1))

    def write(self) -> None:
        transitions.promote_due(JOBS, timezone.now() + timedelta(minutes=1))

    def done(self) -> int:
        return Job.objects.filter(state=State.ENQUEUED).count()


class Heartbeat(Write):
    number = 1

    def prepare(self) -> None: ...

    def write(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            arena = Arena(1)
            arena.sentinel_pulse.touch()
            Housekeeping("s", None, arena, ours, identity.own())._beat()

    def done(self) -> int:
        return ServerRow.objects.count()


class Prune(RecordOutcomes):
    def prepare(self) -> None:
        super().prepare()
        ids = list(Job.objects.values_list("pk", flat=True))
        transitions.record(
            [
                Outcome(pk, self.token, Kind.SUCCEEDED, "", RESULTS[0], 0.0, expires=0.0)
                for pk in ids
            ]
        )

    def write(self) -> None:
        pruning.prune_jobs(as_of=timezone.now() + timedelta(hours=1))

    def done(self) -> int:
        return JOBS - Job.objects.count()


class Schedule(Write):
    def prepare(self) -> None:
        for n in range(JOBS):
            jobs.recurring(f"r{n}", functions.nothing, cron="0 0 1 1 *")
        RecurringJob.objects.update(next_run=timezone.now())

    def write(self) -> None:
        occurrences.create_due(timezone.now() + timedelta(seconds=1))

    def done(self) -> int:
        assert Job.objects.count() == RecurringJob.objects.exclude(last_run=None).count()
        return Job.objects.count()


WRITES = {
    "enqueue": Enqueue,
    "enqueue many": EnqueueMany,
    "claim": Claim,
    "record": RecordOutcomes,
    "promote": Promote,
    "heartbeat": Heartbeat,
    "prune": Prune,
    "schedule": Schedule,
}


def killed_at(point: Point, write: Callable[[], None]) -> bool:
    """Let a process of its own do `write`; return whether it came to `point` and died there."""
    connection.close()  # a connection does not survive a fork
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            point.arm(connections["default"])
            write()
            time.sleep(0.01 if point.how == "in" else 0)  # it dies in a thread
            status = 0
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, -signal.SIGKILL), f"{point.kind}: the write failed"
    return status == -signal.SIGKILL


def is_sound() -> bool:
    """Whether SQLite finds its file sound; other databases look after theirs."""
    if not SQLITE:
        return True
    with connection.cursor() as cursor:
        return cursor.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def clean_up() -> None:
    for model in (HistoryEntry, Job, RecurringJob, ServerRow):
        model.objects.all().delete()


class Kills:
    """Kills a process at each point of each kind of write, and looks at what that left."""

    def __init__(self) -> None:
        self.points: Counter[str] = Counter()
        self.by_halves: list[str] = []
        self.inconsistent: list[str] = []
        self.unsound: list[str] = []

    def at_every_point(self, kind: str, how: str) -> None:
        next(n for n in count(1) if not self._at(Point(kind, how, n)))
        self._at(Point(kind, how, COMMIT))

    def _at(self, point: Point) -> bool:
        clean_up()
        write = WRITES[point.kind]()
        write.prepare()
        if not killed_at(point, write.write):
            return False
        self.points[point.kind] += 1
        if not is_sound():
            self.unsound.append(str(point))
        if write.done() not in (0, write.number):
            self.by_halves.append(str(point))
        if not write.done():  # what it did not do can be done now
            write.write()
            if write.done() != write.number:
                self.by_halves.append(f"{point}, when repeated")
        if inconsistencies():
            self.inconsistent.append(str(point))
        return True


def test_killed_in_the_middle_of_each_kind_of_write(
    transactional_db: None, figure: Record, scale: Scale
) -> None:
    # Where it is in a statement differs from time to time.
    hows = ["before", *["in"] * scale(1, 5), "after"] if SQLITE else scale(["in"], ["in", "after"])
    kills = Kills()
    for kind in WRITES:
        for how in hows:
            kills.at_every_point(kind, how)
    fault = "SIGKILL in the middle of each kind of write"
    figure(8, fault, "processes killed", kills.points.total(), "", shown)
    figure(8, fault, "writes done by halves", len(kills.by_halves), "", exactly(0))
    figure(8, fault, "inconsistent histories", len(kills.inconsistent), "", exactly(0))
    if SQLITE:
        figure(8, fault, "integrity checks failed", len(kills.unsound), "", exactly(0))
    assert not kills.by_halves + kills.inconsistent + kills.unsound
    assert all(kills.points[kind] >= 1 for kind in WRITES), kills.points


@pytest.mark.skipif(not SQLITE, reason="where clients only talk to a server, test 1 is the same")
def test_a_cluster_killed_in_the_middle_of_its_writes(
    cluster: Start, journal: Path, tmp_path: Path, figure: Record, scale: Scale
) -> None:
    folder = tmp_path / "deaths"
    folder.mkdir()
    jobs.recurring("each-second", functions.nothing, cron="* * * * * *", misfire="all")
    server = cluster(env={"TEST_FAULTS": str(folder)})
    with Feed(journal, 20) as feed, repeatedly(schedule_and_forget, 0.1):
        until(lambda: len(list(folder.iterdir())) >= scale(5, 60), 240)
    (folder / "enough").touch()
    jobs.remove_recurring("each-second")
    until(lambda: not Job.objects.exclude(state=State.SUCCEEDED).exists(), 60, message=server.text)
    deaths = [path.name for path in folder.iterdir() if path.name != "enough"]
    occurrences = list(
        Job.objects.exclude(occurrence=None).order_by("occurrence").values_list("occurrence")
    )
    gaps = sum(b - a != timedelta(seconds=1) for (a,), (b,) in pairwise(occurrences))
    fault = "SQLite: SIGKILL of a cluster's processes in the middle of their writes"
    figure(8, fault, "processes killed", len(deaths), "", shown)
    figure(8, fault, "lost", feed.lost(), "", exactly(0))
    figure(8, fault, "executed again", feed.reruns(), "", shown)
    figure(8, fault, "occurrences lost or doubled", gaps, "", exactly(0))
    figure(8, fault, "inconsistent histories", len(inconsistencies()), "", exactly(0))
    figure(8, fault, "integrity checks failed", int(not is_sound()), "", exactly(0))


def schedule_and_forget() -> None:
    jobs.schedule(functions.nothing, run_after=timedelta(seconds=0.2))


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """Mount a file system of so many megabytes for the block."""
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    options = f"size={megabytes}m,mode=777"
    command = [*root, "mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        os.rmdir(folder)
        pytest.skip(f"not run: a small file system can't be mounted here ({error})")
    if done.returncode:
        os.rmdir(folder)
        pytest.skip(f"not run: a small file system can't be mounted here ({done.stderr.strip()})")
    try:
        yield folder
    finally:
        subprocess.run([*root, "umount", str(folder)], check=True)
        os.rmdir(folder)


def fill(ballast: Path) -> None:
    """Write until there is no room left."""
    with ballast.open("ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue


@pytest.fixture
def small(transactional_db: None) -> Iterator[Path]:
    """A small disk with the database on it."""
    with small_disk(24) as folder, default_database(f"sqlite:///{folder}/small.sqlite3"):
        yield folder


@pytest.mark.skipif(not SQLITE, reason="a server's disk is the server's")
def test_the_disk_is_full(
    small: Path, cluster: Start, journal: Path, figure: Record, scale: Scale
) -> None:
    server = cluster()
    ballast = small / "ballast"
    with Feed(journal, 20) as feed:
        until(lambda: len(runs(journal)) > 20)
        fill(ballast)
        until(lambda: "does not answer" in server.text, 60, message="it found room all the same")
        until(lambda: feed.errors, 60)
        time.sleep(scale(2, 20))
        ballast.unlink()
        ended, seen = time.monotonic(), len(runs(journal))
        until(lambda: len(runs(journal)) > seen + 20, 60, message=server.text[-5000:])
    until(lambda: not Job.objects.exclude(state=State.SUCCEEDED).exists(), 60)
    after = next(run.at - ended for run in runs(journal) if run.at > ended)
    fault = "SQLite: disk full"
    told = [str(error) for error in feed.errors]
    told += [line for line in server.text.splitlines() if "does not answer" in line]
    unclear = [text for text in told if "disk is full" not in text]
    figure(8, fault, "lost", feed.lost(), "", exactly(0))
    figure(8, fault, "errors of callers and in the log", len(told), "", at_least(1))
    figure(8, fault, "errors that don't say that the disk is full", len(unclear), "", exactly(0))
    figure(8, fault, "first job after there was room again", after, "s", at_most(5))
    figure(8, fault, "inconsistent histories", len(inconsistencies()), "", exactly(0))
    figure(8, fault, "integrity checks failed", int(not is_sound()), "", exactly(0))
