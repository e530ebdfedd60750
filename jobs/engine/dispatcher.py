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
from functools import partial

from .. import continuations, transitions
from ..conf import conf
from ..models import Job
from ..outcomes import Claimed, Kind
from ..wakeup import announce_all
from . import database, wakeups
from .arena import Arena, Pair
from .cancelling import CANCEL_SECONDS, Cancelling
from .chores import Chores
from .claiming import Claiming
from .control import Control
from .crew import Crew
from .database import Outage
from .draining import Draining
from .due import DueJobs
from .hands import Hands
from .line import RECALL_PAUSE_SECONDS, Line
from .queues import Queues
from .recalling import LOOK_SECONDS, Recalling
from .reconciling import Reconciler
from .recorder import Recorder
from .reporting import Reports
from .trust import Trust

logger = logging.getLogger(__name__)

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
        self.server, self.arena, self.drain = server, arena, drain
        self.stopping = self.finishing = False
        self.control = Control(control)
        self.outage = Outage("dispatcher")
        self.queues = Queues(queues)
        self.crew = Crew()
        self.recorder = Recorder(server, self.outage)
        self.reports = Reports(self.outage)
        self.hands = Hands(self.crew, self.recorder)
        self.chores = Chores(self.outage)
        self.due = DueJobs(server, self.outage)
        self.reconciler = Reconciler(server, self.outage)
        say = self.control.say
        self.trust = Trust(server, arena, self.outage, say)
        self.claiming = Claiming(
            server, self.queues, self.due, self.hands, self.trust, self.reconciler, self.outage
        )
        self.cancelling = Cancelling(server, self.hands, self.chores, self.outage, say)
        self.recalling = Recalling(
            self.hands, self.queues, self.cancelling, self.chores, self._take_in, say
        )
        self.draining = Draining(server, self.queues, self.claiming, self.trust, self.outage, say)
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        self._wakeup: wakeups.Wakeup | None = None
        self._listening: int | None = None
        self._ended: list[int] = []  # jobs whose children are to be settled

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
                self._write_reports()
                self._settle_children()
                self._work_off_chores()
                self.cancelling.cancel()
                self._reconcile()
                self._promote()
                self._claim()
                self._dispatch()
                self._acknowledge()
                self._end_when_drained()
            if self.reports.wait() is not None:
                self.reports.flush()
        finally:
            self._wakeup.close()

    def _done(self) -> bool:
        return self.finishing and not (self.recorder.pending or self.chores or self.hands.buffer)

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
        if self.trust.given_up:
            return 1.0
        now, pause = time.monotonic(), self.outage.wait
        waits = [1.0]
        if (flush := self.recorder.wait(now=self._flush_at_once())) is not None:
            waits.append(flush)
        if (report := self.reports.wait()) is not None:
            waits.append(report)
        waits += self.chores.waits()
        if self._ended:
            waits.append(self.outage.wait_for(self._settle_children))
        if any(line.recalling for line in self.crew):
            waits.append(RECALL_PAUSE_SECONDS)
        elif self.hands.buffer or self.crew.may_have_to_recall:
            waits.append(LOOK_SECONDS)
        elif self.crew.outstanding:
            waits.append(CANCEL_SECONDS)
        if not self.stopping:
            if not self.arena.confirmed.get():
                return REGISTERING_SECONDS
            waits.append(max(pause, min(self.due.look_at, self.reconciler.look_at) - now))
            if self.claiming.may_claim:
                waits.append(self.claiming.wait)
            read_at = self.queues.due_at if self.hands.holds_waiting else self.queues.hinted_at
            waits.append(max(pause, read_at - now))
            if self._settled():
                waits.append(max(pause, self.draining.look_at - now))
        return max(self.outage.rest, min(waits))

    def _register_wakeup(self) -> None:
        assert self._wakeup is not None
        fileno = self._wakeup.fileno()
        if fileno != self._listening:
            if self._listening is not None:
                self._selector.unregister(self._listening)
            if fileno is not None:
                self._selector.register(fileno, selectors.EVENT_READ)
            self._listening = fileno

    def _flush_at_once(self) -> bool:
        """Whether no more outcomes are to be waited for: nothing runs, or soon nothing would."""
        return self.crew.starving or not (self.hands.buffer or self.crew.outstanding)

    # What the sentinel says.

    def _obey(self) -> None:
        for message in self.control.heard():
            match message:
                case ("worker", index, pid):
                    self._welcome(index, pid, self.control.take_fd())
                case ("dead", index, cause, counted):
                    self._bury(index, cause, counted)
                case ("work",):
                    self.claiming.hear()
                    self.queues.hint(None)
                case ("stop",):
                    self._stop()
                case ("finish",):
                    self._finish()
        quiet = bool(self.arena.quiet.get())
        if quiet != self.queues.quiet:
            self.queues.quiet = quiet
            self.recalling.queues_changed()

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
        ended = self.hands.ended()
        running = slot.running()
        victim = running.pair if running and running.pair not in ended else None
        if victim is not None and counted:
            logger.error("#%d: %s", victim[0], cause)
        rest = [job for pair, job in sent.items() if pair != victim]
        # The slot still shows what was taken back from it; others may have that by now.
        known = sent.keys() | ended | self.hands.known()
        unknown = [pair for _, pair in slot.behind() if pair not in known]
        if self.stopping:
            self.chores.give_back([(job.id, job.token) for job in rest], cause, started=False)
        else:
            self.hands.buffer.extendleft(reversed(rest))
        self.chores.add(partial(self._settle_death, index, victim, unknown, cause, counted))

    def _settle_death(
        self, index: int, victim: Pair | None, unknown: list[Pair], cause: str, counted: bool
    ) -> None:
        """Write whose fault a death was, then let the sentinel forget it: until then it would tell
        the next dispatcher of it.
        """
        if victim is not None and counted:
            transitions.crash([victim], cause)
            self._ended.append(victim[0])  # it may have failed as poisoned
        elif victim is not None:
            announce_all(transitions.give_back([victim], cause, started=True))
        if unknown:
            announce_all(transitions.give_back(unknown, cause, started=False))
        self.control.say("buried", index)

    def _stop(self) -> None:
        """Claim nothing more, give back what has not started, let the workers end."""
        if self.stopping:
            return
        self.stopping = True
        self.claiming.close()
        self.chores.give_back(self.hands.let_go(), "its server was stopped", started=False)
        for line in self.crew:
            line.revoke()
            line.stop()

    def _finish(self) -> None:
        """No worker is left: whatever is still ours goes back."""
        self.finishing = self.stopping = True
        self.claiming.close()

        def rest() -> None:
            held = Job.objects.using(conf.DATABASE).held_by(self.server)
            pairs = list(held.values_list("id", "claim_token"))
            ended = self.hands.ended()
            announce_all(
                transitions.give_back(
                    [p for p in pairs if p not in ended], "its server was stopped", started=True
                )
            )

        self.chores.end_with(rest)

    # Outcomes.

    def _take_in(self, line: Line) -> None:
        was_open = not line.closed
        for number, outcome in line.read():
            self.recorder.add(line, number, outcome)
            self.crew.took(outcome.seconds)
        if line.told:
            self.reports.add(line.told)
            line.told = []
        if was_open and line.closed:  # the sentinel will say how it died
            self._selector.unregister(line.sock)

    def _read_outcomes(self) -> None:
        for line in self.crew:
            if not line.closed:
                self._take_in(line)

    def _record(self) -> None:
        while self.recorder.wait(now=self._flush_at_once()) == 0.0:
            batch = self.recorder.flush()
            if not batch:
                return
            self.claiming.hear_of_ends()
            for pending in batch:
                pending.line.committed(pending.number, pending.pair)
                if pending.outcome.kind in (Kind.RETRY, Kind.MISSING):
                    self.due.expect(pending.outcome.delay or 0)
                else:
                    self._ended.append(pending.outcome.id)

    def _write_reports(self) -> None:
        wait = self.reports.wait()
        if wait is not None and wait <= 0:
            self.reports.flush()

    def _settle_children(self) -> None:
        """Release what waited for jobs that ended, a page per turn: they may be very many.

        What is lost with this process is found by housekeeping's sweep.
        """
        if not self._ended:
            return
        done, page = self.outage.attempt(lambda: continuations.settle_page(self._ended))
        if done and page is not None:
            queues, self._ended = page
            announce_all(queues)
            if queues:
                self.claiming.hear()

    def _acknowledge(self) -> None:
        for line in self.crew:
            line.acknowledge()

    # What each turn does with what is in hand.

    def _work_off_chores(self) -> None:
        if self.chores.work_off():
            self.claiming.hear()

    def _recall(self) -> None:
        if not self.stopping and (
            self.hands.holds_waiting or time.monotonic() >= self.queues.hinted_at
        ):
            self._read_queues()
        self.recalling.recall(stopping=self.stopping)

    def _read_queues(self) -> None:
        """Read anew which queues there are and which are paused, if the list is too old."""
        if time.monotonic() < self.queues.due_at:
            return
        done, changed = self.outage.attempt(self.queues.read)
        if done and changed:
            self.claiming.hear(sure=False)
            self.recalling.queues_changed()

    def _reconcile(self) -> None:
        if not (self.stopping or self.chores or self.outage.wait):
            lost = self.reconciler.lost(self.hands.known)
            self.chores.give_back(lost, "lost between claim and worker", started=False)

    # Looking for work and handing it out.

    def _look_for_work(self) -> bool:
        """Note what the source of hints has to say; return whether it had anything."""
        assert self._wakeup is not None
        hint = None if self.stopping else self._wakeup.look()
        if hint is None:
            return False
        if hint.work:
            self.claiming.hear(sure=hint.sure)
            # The first job of a new queue should not wait for the list of queues to grow stale.
            self.queues.hint(hint.queues)
        if hint.orders:
            self.arena.order_hint.touch()
        if hint.due:
            self.due.hint()
            self.arena.due_hint.touch()
        return True

    def _promote(self) -> None:
        self.due.claimable = None  # was for the turn before this one
        if time.monotonic() < self.due.look_at or self.claiming.closed:
            return
        if self.trust.holds() and (queues := self.due.enqueue()):
            self.claiming.hear()
            announce_all(queues)

    def _claim(self) -> None:
        wanted = self.claiming.look()
        if not wanted:
            return
        self._read_queues()
        if self.claiming.claim(wanted):
            assert self._wakeup is not None
            self._wakeup.worked()

    def _dispatch(self) -> None:
        if self.hands.buffer and not (self.stopping or self.outage.since) and self.trust.holds():
            self.crew.hand_out(self.hands.buffer)

    # Ending when all is worked off.

    def _settled(self) -> bool:
        """Whether a server that drains has nothing in its hands."""
        return (
            self.drain
            and not (self.claiming.closed or self.trust.given_up)
            and not (self.hands.buffer or self.chores or self.recorder.pending or self._ended)
            and all(line.idle for line in self.crew)
        )

    def _end_when_drained(self) -> None:
        if self._settled():
            self.draining.look()


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
