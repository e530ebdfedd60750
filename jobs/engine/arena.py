"""Memory that the processes of a cluster share, without any lock.

Each number has one writer. What is read together is guarded by a version that is odd while it is
being written, so a writer that is killed anywhere blocks nobody: its slot is then read by those
who know it is dead, as it stands.
"""

from __future__ import annotations

import mmap
import struct
import time
from collections.abc import Iterable
from typing import NamedTuple

#: A message to a worker carries at most so many jobs,
MESSAGE_JOBS = 100
#: and a slot shows the jobs of so many messages: while some are committed, others run.
MESSAGES = 4

Pair = tuple[int, str]

_DOUBLE = struct.Struct("d")
_NUMBER = struct.Struct("q")
_RUNNING = struct.Struct("qq16sdqq")  # version, id, token, started, message, position
_CANCEL = struct.Struct("16sd")  # token, since
_REGION = struct.Struct("qq")  # message, count
_ENTRY = struct.Struct("q16s")
_REGION_SIZE = _REGION.size + MESSAGE_JOBS * _ENTRY.size
_SLOT_SIZE = _RUNNING.size + _NUMBER.size + _DOUBLE.size + _CANCEL.size + MESSAGES * _REGION_SIZE
_NO_TOKEN = bytes(16)


class Running(NamedTuple):
    """What a worker runs, since when (monotonic seconds), and where it stood in which message."""

    id: int
    token: str
    started: float
    message: int
    position: int

    @property
    def pair(self) -> Pair:
        return self.id, self.token


class Cell:
    """One number in shared memory: a moment by the monotonic clock, 0 for never."""

    def __init__(self, memory: mmap.mmap, offset: int) -> None:
        self._memory, self._offset = memory, offset

    def touch(self) -> None:
        _DOUBLE.pack_into(self._memory, self._offset, time.monotonic())

    def clear(self) -> None:
        _DOUBLE.pack_into(self._memory, self._offset, 0.0)

    def get(self) -> float:
        return float(_DOUBLE.unpack_from(self._memory, self._offset)[0])

    @property
    def age(self) -> float:
        """Seconds since it was touched; infinite if never."""
        at = self.get()
        return time.monotonic() - at if at else float("inf")


class Slot:
    """What one worker holds and runs. Written by the worker, but for `revoke` and `cancel`."""

    def __init__(self, memory: mmap.mmap, index: int, offset: int) -> None:
        self.index = index
        self._memory = memory
        self._running = offset
        self._revoked = self._running + _RUNNING.size
        self._deadline = self._revoked + _NUMBER.size
        self._cancel = self._deadline + _DOUBLE.size
        regions = self._cancel + _CANCEL.size
        self._regions = [regions + number * _REGION_SIZE for number in range(MESSAGES)]
        self._version = 0

    def reset(self) -> None:
        """Make it blank for a new worker."""
        self._memory[self._running : self._running + _SLOT_SIZE] = bytes(_SLOT_SIZE)

    # The worker's side.

    def hold(self, message: int, jobs: Iterable[Pair]) -> None:
        """Show the jobs of a message just received; it takes the place of the oldest."""
        entries = b"".join(_ENTRY.pack(pk, bytes.fromhex(token)) for pk, token in jobs)
        offset = self._regions[message % MESSAGES]
        start = offset + _REGION.size
        _REGION.pack_into(self._memory, offset, message, 0)
        self._memory[start : start + len(entries)] = entries
        _REGION.pack_into(self._memory, offset, message, len(entries) // _ENTRY.size)

    def begin(self, pair: Pair, message: int, position: int) -> None:
        """Show the job that starts now. Comes before its first effect."""
        self.set_deadline(0)
        self._write(pair[0], bytes.fromhex(pair[1]), time.monotonic(), message, position)

    def end(self) -> None:
        """Show that no job runs. Comes after its outcome was handed over."""
        self._write(0, _NO_TOKEN, 0.0, 0, 0)

    def _write(self, *values: object) -> None:
        self._version += 2
        _NUMBER.pack_into(self._memory, self._running, self._version - 1)
        _RUNNING.pack_into(self._memory, self._running, self._version - 1, *values)
        _NUMBER.pack_into(self._memory, self._running, self._version)

    @property
    def revoked(self) -> int:
        """Jobs of messages up to this number that have not begun must not begin."""
        return int(_NUMBER.unpack_from(self._memory, self._revoked)[0])

    def set_deadline(self, moment: float) -> None:
        """Show until when the job that runs may run, by the monotonic clock; 0: no limit."""
        _DOUBLE.pack_into(self._memory, self._deadline, moment)

    def is_cancelled(self, token: str) -> bool:
        """Tell whether the job with this token is to end because it was deleted."""
        cancelled, since = _CANCEL.unpack_from(self._memory, self._cancel)
        return bool(since) and cancelled.hex() == token

    # The others' side.

    def cancel(self, token: str) -> None:
        """Say that the job with this token is to end."""
        if not self.is_cancelled(token):
            now = time.monotonic()
            _CANCEL.pack_into(self._memory, self._cancel, bytes.fromhex(token), now)

    def overdue(self, grace: float) -> str | None:
        """Return why the worker must be killed: its job was to end `grace` seconds ago."""
        now, running = time.monotonic(), self.running()
        if running is None:
            return None
        deadline = float(_DOUBLE.unpack_from(self._memory, self._deadline)[0])
        since = float(_CANCEL.unpack_from(self._memory, self._cancel)[1])
        if self.is_cancelled(running.token) and now > since + grace:
            why = f"it was deleted and went on for {grace:g} s"
        elif deadline and now > deadline + grace:
            why = f"its time was up and it went on for {grace:g} s"
        else:
            return None
        # The deadline is this job's only if it is still the one that runs.
        return f"#{running.id} was killed: {why}" if self.running() == running else None

    def revoke(self, message: int) -> None:
        """Forbid the worker to begin further jobs of messages up to this number."""
        _NUMBER.pack_into(self._memory, self._revoked, message)

    def running(self) -> Running | None:
        """Return what the worker runs."""
        for _ in range(100):
            values = _RUNNING.unpack_from(self._memory, self._running)
            if values[0] % 2 == 0 and values == _RUNNING.unpack_from(self._memory, self._running):
                break
        # A worker killed in the middle of writing stays odd. Its id and token may then be of two
        # jobs; such a pair matches no row, so nobody is convicted by it.
        _version, pk, token, started, message, position = values
        return Running(pk, token.hex(), started, message, position) if pk else None

    def held(self, after: int = 0) -> set[Pair]:
        """Return all pairs of the messages shown, of those numbered above `after`.

        Finished ones are included.
        """
        return {pair for message, _, pair in self._entries() if message > after}

    def behind(self) -> list[tuple[int, Pair]]:
        """Return message and pair of all that waits behind the running job; none if none runs."""
        now = self.running()
        if now is None:
            return []
        here = (now.message, now.position)
        return [(message, pair) for message, at, pair in self._entries() if (message, at) > here]

    @property
    def last_message(self) -> int:
        """The number of the newest message received."""
        return int(max(_REGION.unpack_from(self._memory, offset)[0] for offset in self._regions))

    def _entries(self) -> list[tuple[int, int, Pair]]:
        found = []
        for offset in self._regions:
            message, count = _REGION.unpack_from(self._memory, offset)
            for position in range(min(count, MESSAGE_JOBS)):
                at = offset + _REGION.size + position * _ENTRY.size
                pk, token = _ENTRY.unpack_from(self._memory, at)
                found.append((message, position, (pk, token.hex())))
        return sorted(found)


class Arena:
    """The shared memory of one cluster: pulses, the last confirmed heartbeat, and slots."""

    def __init__(self, slots: int) -> None:
        header = 7 * _DOUBLE.size
        self._memory = mmap.mmap(-1, header + slots * _SLOT_SIZE)
        self.sentinel_pulse = Cell(self._memory, 0)
        self.dispatcher_pulse = Cell(self._memory, 8)
        self.housekeeping_pulse = Cell(self._memory, 16)
        #: When the database last confirmed that this server has not been given up.
        self.confirmed = Cell(self._memory, 24)
        #: When the dispatcher last heard that something may be due earlier than was known.
        self.due_hint = Cell(self._memory, 32)
        #: When the dispatcher last heard that some server was given an order.
        self.order_hint = Cell(self._memory, 40)
        #: Since when this server takes no new jobs, because somebody said so; 0: it does.
        self.quiet = Cell(self._memory, 48)
        self.slots = [Slot(self._memory, i, header + i * _SLOT_SIZE) for i in range(slots)]
