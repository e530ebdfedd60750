"""The dispatcher's end of the line to one worker: what was sent, and what came back."""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Callable, Set
from typing import NamedTuple

from ..outcomes import Claimed, Outcome, Told
from . import wire
from .arena import MESSAGES, Pair, Slot

#: A job that runs so long while others wait behind it is no short job: these are recalled.
RECALL_AFTER_SECONDS = 0.1
#: A worker that has not seen its slot's revocation by then is about to see it: no further job.
RECALL_PAUSE_SECONDS = 0.005
#: See Line.hangs.
ASKED_AT_LEAST_SECONDS = 3.0


class Recalled(NamedTuple):
    """Jobs taken back before they began: this dispatcher's, and an earlier one's."""

    own: list[Claimed]
    foreign: list[Pair]


class Line:
    """One living worker.

    A message is sent only while few enough earlier ones have uncommitted outcomes, because the
    worker's slot shows the jobs of only so many messages. `foreign` jobs were sent by a dispatcher that
    died; this one knows them from the worker's slot alone.
    """

    def __init__(self, index: int, pid: int, sock: socket.socket, slot: Slot) -> None:
        self.index, self.pid, self.sock, self.slot = index, pid, sock, slot
        self.outbox = wire.Outbox(sock)
        self.sent: dict[Pair, Claimed] = {}
        self.told: list[Told] = []  # by running jobs, to be taken away
        self.closed = False
        self._inbox = wire.Inbox()
        self._hello = False
        self._message = 0
        self._uncommitted: deque[list[int]] = deque()  # [message, outcomes not committed]
        self._message_of: dict[Pair, int] = {}
        self._foreign = 0
        self._acknowledged = self._said = self._replayed_through = 0
        self._revoked_through = self._revoked_before = 0
        self._revoked_at: float | None = None
        self._quiet_since = self._looked_at = time.monotonic()

    @property
    def outstanding(self) -> int:
        """How many jobs the worker has not finished, as far as is known."""
        return len(self.sent) + self._foreign

    @property
    def window(self) -> bool:
        """Whether another message may be sent."""
        return (
            self._hello
            and not self.closed
            and not self.recalling
            and self._acknowledged >= self._replayed_through
            and len(self._uncommitted) < MESSAGES
        )

    @property
    def starving(self) -> bool:
        """Whether the worker will soon have nothing to do because outcomes are not committed."""
        return self.outstanding <= 1 and len(self._uncommitted) >= MESSAGES

    @property
    def idle(self) -> bool:
        return self.window and not self.outstanding

    def send(self, jobs: list[Claimed]) -> None:
        """Send a message of jobs."""
        self._message += 1
        self._uncommitted.append([self._message, len(jobs)])
        for job in jobs:
            self.sent[job.id, job.token] = job
            self._message_of[job.id, job.token] = self._message
        self._said = self._acknowledged
        self.outbox.put(("jobs", self._said, self._message, [tuple(job) for job in jobs]))

    def stop(self) -> None:
        """Let the worker end after what it runs."""
        self.outbox.put(("stop",))

    def acknowledge(self) -> None:
        """Tell the worker which outcomes it need not keep, unless a message just did."""
        if self._acknowledged > self._said:
            self._said = self._acknowledged
            self.outbox.put(("ack", self._said))

    def read(self) -> list[tuple[int, Outcome]]:
        """Return the outcomes that have come in, with their numbers."""
        if not self.closed and not wire.drain(self.sock, self._inbox):
            self.closed = True
        found = []
        for message in self._inbox:
            self._quiet_since = time.monotonic()
            if message[0] == "hello":
                _, self._message, self._foreign, self._acknowledged, self._replayed_through = (
                    message
                )
                # An earlier dispatcher may have revoked messages that the worker never received;
                # it would drop jobs sent under their numbers.
                self._message = max(self._message, self.slot.revoked)
                self._said = self._acknowledged
                self._hello = True
                continue
            if message[0] == "told":
                self.told.append(Told(*message[1]))
                continue
            number, outcome = message[1], Outcome(*message[2])
            mine = self.sent.pop((outcome.id, outcome.token), None)
            if mine is None and number > self._replayed_through:
                self._foreign = max(0, self._foreign - 1)
            found.append((number, outcome))
        return found

    def committed(self, number: int, pair: Pair) -> None:
        """Hear that the outcome with this number is safe."""
        self._acknowledged = max(self._acknowledged, number)
        self._settle(pair)

    def _settle(self, pair: Pair) -> None:
        message = self._message_of.pop(pair, None)
        for entry in self._uncommitted:
            if entry[0] == message:
                entry[1] -= 1
        while self._uncommitted and self._uncommitted[0][1] <= 0:
            self._uncommitted.popleft()

    def hangs(self, now: float, limit: float) -> bool:
        """Whether the worker has done nothing about what it has to do for `limit` seconds.

        Only time in which this was asked at least every few seconds counts: who does not ask may
        have been stopped together with the worker.
        """
        has_to_act = self.outstanding > 0 or not self._hello
        if (
            not has_to_act
            or self.slot.running() is not None
            or now - self._looked_at > ASKED_AT_LEAST_SECONDS
        ):
            self._quiet_since = now
        self._looked_at = now
        return now - self._quiet_since > limit

    # Taking back what has not begun.

    @property
    def recalling(self) -> bool:
        return self._revoked_at is not None

    def must_recall(self, now: float) -> bool:
        """Whether jobs wait behind one that turned out to be long."""
        if self.recalling or (self._hello and not self.outstanding):
            return False
        running = self.slot.running()
        here = running.pair if running else None
        if any(self._message_of[p] <= self._revoked_through and p != here for p in self.sent):
            return True  # it looked as if it ran when the rest was taken back, but it did not
        if running is None or now - running.started < RECALL_AFTER_SECONDS:
            return False
        if running.pair in self.sent:
            return len(self.sent) > 1
        return any(message > self.slot.revoked for message, _ in self.slot.behind())

    def holds_waiting(self, is_paused: Callable[[str], bool]) -> bool:
        """Whether a job of a paused queue has been sent but does not run."""
        return self._waits(lambda job: is_paused(job.queue))

    def holds_unstarted(self, pairs: Set[Pair]) -> bool:
        """Whether one of these jobs has been sent but does not run."""
        return self._waits(lambda job: (job.id, job.token) in pairs)

    def _waits(self, wanted: Callable[[Claimed], bool]) -> bool:
        if self.recalling or not self._hello:
            return False
        running = self.slot.running()
        here = running.pair if running else None
        return any(pair != here and wanted(job) for pair, job in self.sent.items())

    def revoke(self) -> None:
        """Forbid the worker to begin anything else it was sent so far."""
        self._revoked_before = self.slot.revoked
        self._revoked_through = max(self._message, self.slot.last_message)
        self.slot.revoke(self._revoked_through)
        self._revoked_at = time.monotonic()

    def may_take_back(self, now: float) -> bool:
        """Whether the worker has had the time to see the revocation."""
        return self._revoked_at is not None and now - self._revoked_at >= RECALL_PAUSE_SECONDS

    def take_back(self, read: Callable[[], None]) -> Recalled:
        """Return what will not begin any more. `read` takes in the outcomes that have come.

        In this order: a job that ends meanwhile shows in the slot or among the outcomes.
        """
        self._revoked_at = None
        running = self.slot.running()
        foreign = running is not None and running.pair not in self.sent
        behind = self.slot.behind() if foreign else []
        read()
        own = [job for pair, job in self.sent.items() if not running or pair != running.pair]
        for job in own:
            del self.sent[job.id, job.token]
            self._settle((job.id, job.token))
        # What stands behind a foreign job in the slot was sent by the same dispatcher.
        self._foreign = 1 if foreign and self.slot.running() == running else 0
        mine = {(job.id, job.token) for job in own}
        # What was revoked earlier has been taken back already, and may run elsewhere.
        taken = [pair for message, pair in behind if message > self._revoked_before]
        return Recalled(own, [pair for pair in taken if pair not in mine])

    def holds(self) -> set[Pair]:
        """Return what the worker runs or will run, as far as is known.

        The slot still shows jobs of the last messages that have ended or were taken back.
        """
        pairs = set(self.sent)
        if not self._hello:
            return pairs | self.slot.held()
        if running := self.slot.running():
            pairs.add(running.pair)
            pairs.update(pair for message, pair in self.slot.behind() if message > self.revoked)
        elif self._foreign:  # between two jobs of an earlier dispatcher
            pairs |= self.slot.held(after=self.revoked)
        return pairs

    @property
    def revoked(self) -> int:
        """The number of the last message whose jobs must not begin any more."""
        return self.slot.revoked

    def close(self) -> None:
        self.sock.close()
