"""The dispatcher process: claims due jobs, hands them to workers, writes down how they ended.

One loop, one thread, one database connection. Whatever is in its hands when it is killed can be
found again: claimed rows by their server, what workers hold in their slots, outcomes in the
workers, who keep them until they are acknowledged.
"""

from __future__ import annotations

import logging
import selectors
import socket
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from .. import continuations, occurrences, transitions
from ..conf import conf
from ..models import Job, Server
from ..outcomes import Claimed, Kind
from ..queues import add_missing as add_missing_queues
from ..queues import has_due
from ..states import State
from ..wakeup import announce
from . import database, wakeups, wire
from .arena import Arena, Pair
from .crew import Crew
from .database import Outage
from .due import DueJobs
from .line import RECALL_PAUSE_SECONDS, Line
from .queues import Queues
from .reconciling import Reconciler
from .recorder import Recorder

logger = logging.getLogger(__name__)

#: Claimed jobs that none of our workers can take go back after so many seconds.
STUCK_SECONDS = 1.0
#: How often slots are compared with what was sent.
LOOK_SECONDS = 0.05
#: How often to look whether a job that runs has been deleted; runs shorter than that just end.
CANCEL_SECONDS = 0.4
#: How often to look whether this server is registered, at its start.
REGISTERING_SECONDS = 0.05


class Dispatcher:
    """The state of a dispatcher, and its loop."""

    def __init__(
        self,
        server: str,
        queues: list[str] | None,
        arena: Arena,
        control: socket.socket,
        *,
        drain: bool = False,
    ) -> None:
        self.server, self.arena, self.control = server, arena, control
        self.drain, self.drained = drain, False
        self.queues = Queues(queues)
        self.outage = Outage("dispatcher")
        self.recorder = Recorder(server, self.outage)
        self.crew = Crew()
        self.due = DueJobs(self.outage)
        self.reconciler = Reconciler(server, self.outage)
        self.buffer: deque[Claimed] = deque()  # claimed, not sent
        self.chores: deque[Callable[[], Any]] = deque()
        self.stopping = self.finishing = self.given_up = False
        control.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        self._inbox = wire.Inbox()
        self._fds: deque[int] = deque()
        self._outbox = wire.Outbox(control)
        self._wakeup: wakeups.Wakeup | None = None
        self._listening: int | None = None
        self._more = True  # there may be jobs to claim
        self._woken = False  # somebody said so
        self._skipped = 0  # recovered jobs that the last claim left for an idle worker
        self._trusted_at = 0.0
        self._stuck_since: float | None = None
        self._look_at = self._cancel_at = 0.0
        self._deleted: frozenset[Pair] = frozenset()  # held by us when last looked
        self._ended: list[int] = []  # jobs whose children are to be settled
        self._drain_at = 0.0

    # The loop.

    def run(self) -> None:
        """Work until the sentinel says that all is finished."""
        self._wakeup = wakeups.for_connection(database.engine_connection())
        try:
            while not self._done():
                self.arena.dispatcher_pulse.touch()
                self._wait()
                self._obey()
                self._read_outcomes()
                self._look_for_work()
                self._recall()
                self._record()
                self._acknowledge()
                self._settle_children()
                self._work_off_chores()
                self._cancel()
                self._reconcile()
                self._promote()
                self._claim()
                self._dispatch()
                self._acknowledge()
                self._end_when_drained()
        finally:
            self._wakeup.close()

    def _done(self) -> bool:
        return self.finishing and not (self.recorder.pending or self.chores or self.buffer)

    def _wait(self) -> None:
        self._register_wakeup()
        for line in self.crew:
            if line.closed:
                continue
            events = selectors.EVENT_READ | (0 if line.outbox.flush() else selectors.EVENT_WRITE)
            if self._selector.get_key(line.sock).events != events:
                self._selector.modify(line.sock, events)
        self._sleep(time.monotonic() + self._timeout())

    def _sleep(self, until: float) -> None:
        """Sleep until a socket can be read, there is a hint, or `until` has come.

        Looking for hints may be needed dozens of times a second, so that alone is done here: the
        whole loop would cost an idle server ten times as much.
        """
        assert self._wakeup is not None
        while True:
            now = time.monotonic()
            pause = until - now if self.stopping else min(until - now, self._wakeup.seconds())
            if self._selector.select(max(0.0, pause)) or self.stopping:
                return
            if self._look_for_work() or time.monotonic() >= until:
                return
            self.arena.dispatcher_pulse.touch()

    def _timeout(self) -> float:
        """Return the seconds until something must be done though nobody calls or hints."""
        if self.given_up:
            return 1.0
        now, pause = time.monotonic(), self.outage.wait
        waits = [1.0]
        if (flush := self.recorder.wait(idle=self._all_idle())) is not None:
            waits.append(flush)
        if self.chores or self._ended:
            waits.append(pause)
        if any(line.recalling for line in self.crew):
            waits.append(RECALL_PAUSE_SECONDS)
        elif self.buffer or self.crew.may_have_to_recall:
            waits.append(LOOK_SECONDS)
        elif self.crew.outstanding:
            waits.append(CANCEL_SECONDS)
        if not self.stopping:
            if not self.arena.confirmed.get():
                return REGISTERING_SECONDS
            waits.append(max(pause, min(self.due.look_at, self.reconciler.look_at) - now))
            if self._more and self._wanted() > 0:
                waits.append(pause)
            read_at = self.queues.due_at if self._holds_waiting() else self.queues.hinted_at
            waits.append(max(pause, read_at - now))
            if self._settled():
                waits.append(max(pause, self._drain_at - now))
        return max(0.0, min(waits))

    def _register_wakeup(self) -> None:
        assert self._wakeup is not None
        fileno = self._wakeup.fileno()
        if fileno != self._listening:
            if self._listening is not None:
                self._selector.unregister(self._listening)
            if fileno is not None:
                self._selector.register(fileno, selectors.EVENT_READ)
            self._listening = fileno

    def _all_idle(self) -> bool:
        return not self.buffer and not self.crew.outstanding

    # What the sentinel says.

    def _obey(self) -> None:
        while True:
            try:
                # It takes flags but does not heed them; the socket itself does not block.
                data, fds, _flags, _address = socket.recv_fds(self.control, 1 << 16, 16)
            except BlockingIOError:
                break
            if not data:
                break
            self._inbox.feed(data)
            self._fds.extend(fds)
        for message in self._inbox:
            match message:
                case ("worker", index, pid):
                    self._welcome(index, pid, self._fds.popleft())
                case ("dead", index, cause, counted):
                    self._bury(index, cause, counted)
                case ("work",):
                    self._more = self._woken = True
                    self.queues.hint(None)
                case ("stop",):
                    self._stop()
                case ("finish",):
                    self._finish()

    def _say(self, *message: Any) -> None:
        self._outbox.put(message)

    def _welcome(self, index: int, pid: int, fd: int) -> None:
        line = Line(index, pid, socket.socket(fileno=fd), self.arena.slots[index])
        line.sock.setblocking(False)
        self.crew.lines[index] = line
        self._selector.register(line.sock, selectors.EVENT_READ)
        if self.stopping:
            line.revoke()
            line.stop()

    def _bury(self, index: int, cause: str, counted: bool) -> None:
        """Put right what a dead worker leaves: its outcomes, the job it ran, those behind it."""
        slot = self.arena.slots[index]
        line = self.crew.lines.pop(index, None)
        sent: dict[Pair, Claimed] = {}
        if line is not None:
            self._take_in(line)
            if not line.closed:
                self._selector.unregister(line.sock)
            line.close()
            sent = line.sent
        ended = {pending.pair for pending in self.recorder.pending}
        running = slot.running()
        victim = running.pair if running and running.pair not in ended else None
        if victim is not None:
            if counted:
                logger.error("#%d: %s", victim[0], cause)
                self.chores.append(partial(self._convict, victim, cause))
            else:
                self._give_back([victim], cause, started=True)
        rest = [job for pair, job in sent.items() if pair != victim]
        unknown = [pair for _, pair in slot.behind() if pair not in sent and pair not in ended]
        if unknown:
            self._give_back(unknown, cause, started=False)
        if self.stopping:
            self._give_back([(job.id, job.token) for job in rest], cause, started=False)
        else:
            self.buffer.extendleft(reversed(rest))
        self.chores.append(lambda: self._say("buried", index))

    def _convict(self, victim: Pair, cause: str) -> None:
        transitions.crash([victim], cause)
        self._ended.append(victim[0])  # it may have failed as poisoned

    def _stop(self) -> None:
        """Claim nothing more, give back what has not started, let the workers end."""
        if self.stopping:
            return
        self.stopping = True
        self._give_back(
            [(job.id, job.token) for job in self.buffer], "its server was stopped", started=False
        )
        self.buffer.clear()
        for line in self.crew:
            line.revoke()
            line.stop()

    def _finish(self) -> None:
        """No worker is left: whatever is still ours goes back."""
        self.finishing = self.stopping = True

        def rest() -> None:
            held = Job.objects.using(conf.DATABASE).held_by(self.server)
            pairs = list(held.values_list("id", "claim_token"))
            ended = {pending.pair for pending in self.recorder.pending}
            self._announce(
                transitions.give_back(
                    [p for p in pairs if p not in ended], "its server was stopped", started=True
                )
            )

        self.chores.append(rest)

    # Chores: what must be written, in order, however long the database is away.

    def _give_back(self, pairs: list[Pair], reason: str, *, started: bool) -> None:
        if pairs:
            self.chores.append(
                lambda: self._announce(transitions.give_back(pairs, reason, started=started))
            )

    def _announce(self, queues: Iterable[str]) -> None:
        for queue in set(queues):
            announce(queue)

    def _work_off_chores(self) -> None:
        while self.chores:
            done, _ = self.outage.attempt(self.chores[0])
            if not done:
                return
            self.chores.popleft()
            self._more = self._woken = True

    # Outcomes.

    def _take_in(self, line: Line) -> None:
        was_open = not line.closed
        for number, outcome in line.read():
            self.recorder.add(line, number, outcome)
            self.crew.took(outcome.seconds)
        if was_open and line.closed:  # the sentinel will say how it died
            self._selector.unregister(line.sock)

    def _read_outcomes(self) -> None:
        for line in self.crew:
            if not line.closed:
                self._take_in(line)

    def _record(self) -> None:
        while self.recorder.wait(idle=self._all_idle()) == 0.0:
            batch = self.recorder.flush()
            if not batch:
                return
            for pending in batch:
                pending.line.committed(pending.number, pending.pair)
                if pending.outcome.kind in (Kind.RETRY, Kind.MISSING):
                    self.due.expect(pending.outcome.delay or 0)
                else:
                    self._ended.append(pending.outcome.id)

    def _settle_children(self) -> None:
        """Release what waited for jobs that ended, a page per turn: they may be very many.

        What is lost with this process is found by housekeeping's sweep.
        """
        if not self._ended:
            return
        done, page = self.outage.attempt(lambda: continuations.settle_page(self._ended))
        if done and page is not None:
            queues, self._ended = page
            self._announce(queues)
            self._woken = self._woken or bool(queues)
            self._more = self._more or bool(queues)

    def _acknowledge(self) -> None:
        for line in self.crew:
            line.acknowledge()

    # Recalling what waits behind a long job.

    def _recall(self) -> None:
        if not self.stopping and (
            self._holds_waiting() or time.monotonic() >= self.queues.hinted_at
        ):
            self._read_queues()
        now, paused = time.monotonic(), self.queues.paused
        looking = now >= self._look_at
        if looking:
            self._look_at = now + LOOK_SECONDS
        for line in self.crew:
            if line.may_take_back(now):
                recalled = line.take_back(partial(self._take_in, line))
                if self.stopping:
                    pairs = [(job.id, job.token) for job in recalled.own] + recalled.foreign
                    self._give_back(pairs, "its server was stopped", started=False)
                else:
                    self.buffer.extendleft(reversed(recalled.own))
                    self._drop_deleted()
                    self._give_back(recalled.foreign, "it waited behind a long job", started=False)
            elif looking and (
                line.must_recall(now) or (paused and line.holds_waiting(self.queues.is_paused))
            ):
                line.revoke()
        if paused:
            self._leave_paused()
        self._stop_hoarding(now)

    def _stop_hoarding(self, now: float) -> None:
        """Give back what was claimed when none of our workers has been able to take it."""
        if not self.buffer or self.stopping or self.crew.can_take(self.buffer[0]):
            self._stuck_since = None
        elif self._stuck_since is None:
            self._stuck_since = now
        elif now - self._stuck_since >= STUCK_SECONDS:
            pairs = [(job.id, job.token) for job in self.buffer]
            self.buffer.clear()
            self._give_back(pairs, "no worker was free for it", started=False)

    # Ending jobs that were deleted while they run.

    def _cancel(self) -> None:
        now = time.monotonic()
        if now < self._cancel_at or self.outage.wait:
            return
        self._cancel_at = now + CANCEL_SECONDS
        running = {
            found.pair: line
            for line in self.crew
            if (found := line.slot.running()) and now - found.started >= CANCEL_SECONDS
        }
        if not running and not self._holds_waiting():
            return
        held = Job.objects.using(conf.DATABASE).held_by(self.server).filter(state=State.DELETED)
        _, pairs = self.outage.attempt(lambda: list(held.values_list("id", "claim_token")))
        self._deleted = frozenset(pairs or ())
        for pair in self._deleted:
            if line := running.get(pair):
                logger.info("#%d was deleted while it runs; ending it", pair[0])
                line.slot.cancel(pair[1])
                self._say("cancel", line.index)
        for line in self.crew:
            if self._deleted and line.holds_unstarted(self._deleted):
                line.revoke()
        self._drop_deleted()

    def _drop_deleted(self) -> None:
        """Let go of deleted jobs that were not sent."""
        if not self._deleted:
            return
        kept = [job for job in self.buffer if (job.id, job.token) not in self._deleted]
        if len(kept) < len(self.buffer):
            gone = {(job.id, job.token) for job in self.buffer} & self._deleted
            self.buffer = deque(kept)
            self._give_back(list(gone), "it was deleted", started=False)

    # Rows that are ours by name but in nobody's hands.

    def _reconcile(self) -> None:
        if not (self.stopping or self.chores or self.outage.wait):
            lost = self.reconciler.lost(self._known)
            self._give_back(lost, "lost between claim and worker", started=False)

    def _known(self) -> set[Pair]:
        known = {(job.id, job.token) for job in self.buffer}
        known |= {pending.pair for pending in self.recorder.pending}
        for line in self.crew:
            known |= line.holds()
        return known

    # Claiming.

    def _look_for_work(self) -> bool:
        """Note what the source of hints has to say; return whether it had anything."""
        assert self._wakeup is not None
        hint = None if self.stopping else self._wakeup.look()
        if hint is None:
            return False
        if hint.work:
            self._more = True
            self._woken = self._woken or hint.sure
            # The first job of a new queue should not wait for the list of queues to grow stale.
            self.queues.hint(hint.queues)
        if hint.due:
            self.due.hint()
        return True

    def _promote(self) -> None:
        if time.monotonic() < self.due.look_at or self.stopping or self.drained:
            return
        if self._trusted() and (queues := self.due.enqueue()):
            self._more = self._woken = True
            self._announce(queues)

    def _trusted(self) -> bool:
        """Whether this server may start something: nobody has given it up."""
        limit = 2 * conf.HEARTBEAT_SECONDS + 1
        if self.given_up or not self.arena.confirmed.get():
            return False
        if min(self.arena.confirmed.age, time.monotonic() - self._trusted_at) < limit:
            return True
        servers = Server.objects.using(conf.DATABASE).filter(name=self.server)
        done, exists = self.outage.attempt(servers.exists)
        if done and not exists:
            self.given_up = True
            self._say("given up")
        elif done:
            self._trusted_at = time.monotonic()
        return bool(done and exists)

    def _wanted(self) -> int:
        """How many more jobs may be claimed now."""
        if self.stopping or self.drained:
            return 0
        return self.crew.wanted(len(self.buffer), wary=self._skipped > 0)

    def _claim(self) -> None:
        wanted = self._wanted()
        if not self._more or wanted <= 0 or not self._trusted():
            return
        self._read_queues()
        before = len(self.buffer)
        done, _ = self.outage.attempt(lambda: self._claim_from_queues(before + wanted))
        claimed = len(self.buffer) - before
        if claimed:
            assert self._wakeup is not None
            self._wakeup.worked()
        if done:
            self._more = claimed >= wanted or self._skipped > 0
            self._woken = self._woken and self._more

    def _claim_from_queues(self, full: int) -> None:
        """Claim from one queue after the other until the buffer holds `full` jobs."""
        idle = self.crew.idle
        self._skipped = 0
        for queue in self.queues.in_turn():
            left = full - len(self.buffer)
            if left <= 0:
                return
            # An empty queue costs one statement, not a transaction.
            if self._woken or self._claimable(queue):
                claims = transitions.claim(
                    queue,
                    left,
                    server=self.server,
                    token=uuid.uuid4().hex,
                    idle=idle - len(self.buffer),
                )
                self.queues.claimed(queue, claims)
                self.buffer += claims
                self._skipped += claims.skipped

    def _claimable(self, queue: str) -> bool:
        return Job.objects.using(conf.DATABASE).claimable(queue).exists()

    # Paused queues.

    def _read_queues(self) -> None:
        """Read anew which queues there are and which are paused, if the list is too old."""
        if time.monotonic() < self.queues.due_at:
            return
        done, changed = self.outage.attempt(self.queues.read)
        if done and changed:
            self._more = True
            self._look_at = 0.0
            self._leave_paused()

    def _holds_waiting(self) -> bool:
        """Whether jobs are in hand that have not started."""
        return bool(self.buffer) or self.crew.holds_waiting

    def _leave_paused(self) -> None:
        """Give back the jobs of paused queues, without waking anybody for them."""
        is_paused = self.queues.is_paused
        pairs = [(job.id, job.token) for job in self.buffer if is_paused(job.queue)]
        if pairs:
            self.buffer = deque(job for job in self.buffer if not is_paused(job.queue))
            reason = "its queue was paused"
            self.chores.append(lambda: transitions.give_back(pairs, reason, started=False))

    # Working off what there is, then ending.

    def _settled(self) -> bool:
        """Whether a server that drains has nothing in its hands."""
        return (
            self.drain
            and not (self.drained or self.stopping or self.given_up)
            and not (self.buffer or self.chores or self.recorder.pending or self._ended)
            and all(line.idle for line in self.crew)
        )

    def _end_when_drained(self) -> None:
        """Tell the sentinel when nothing is left to start, to finish or to write."""
        now = time.monotonic()
        if not self._settled() or now < self._drain_at or not self._trusted():
            return
        self._drain_at = now + LOOK_SECONDS
        done, left = self.outage.attempt(self._anything_left)
        if done and not left:
            self.drained = True  # what comes now is not claimed any more
            self._say("drained")
        elif done:
            self._more = True

    def _anything_left(self) -> bool:
        if Job.objects.using(conf.DATABASE).held_by(self.server).exists():
            return True
        # What housekeeping would do within seconds; until then nobody sees these jobs.
        if occurrences.create_due() or occurrences.create_due(broken=True):
            return True
        if released := continuations.sweep():
            self._announce(released)
            return True
        left = has_due(self.queues.own)
        if left and self.queues.own is None:
            add_missing_queues()  # or what is left might never be seen
        return left

    # Handing out.

    def _dispatch(self) -> None:
        if self.buffer and not (self.stopping or self.outage.since) and self._trusted():
            self.crew.hand_out(self.buffer)


def run(
    server: str,
    queues: list[str] | None,
    arena: Arena,
    control: socket.socket,
    *,
    drain: bool = False,
) -> None:
    """Be the dispatcher until the sentinel says that all is finished.

    `drain`: tell the sentinel when there is nothing left to do.
    """
    Dispatcher(server, queues, arena, control, drain=drain).run()
