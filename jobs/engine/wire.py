"""Messages over a socket between two processes of one cluster: length, then marshalled data.

Marshal is fast and only ever reads what a sibling process wrote.
"""

from __future__ import annotations

import marshal
import math
import select
import socket
import struct
from collections.abc import Iterator
from typing import Any

_LENGTH = struct.Struct("!I")
_CHUNK = 1 << 16


def frame(message: Any) -> bytes:
    """Return `message`, of plain values only, as bytes to be sent."""
    data = marshal.dumps(message)
    return _LENGTH.pack(len(data)) + data


class Inbox:
    """Bytes that have come in, and the messages complete in them."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> None:
        self._bytes += data

    def clear(self) -> None:
        self._bytes.clear()

    def __iter__(self) -> Iterator[Any]:
        while (message := self.pop()) is not None:
            yield message

    def pop(self) -> Any:
        """Return the next complete message, or None."""
        if len(self._bytes) < _LENGTH.size:
            return None
        end = _LENGTH.size + _LENGTH.unpack_from(self._bytes)[0]
        if len(self._bytes) < end:
            return None
        message = marshal.loads(memoryview(self._bytes)[_LENGTH.size : end])  # noqa: S302  (a sibling's)
        del self._bytes[:end]
        return message


def wait_for(sock: socket.socket, seconds: float | None = None) -> bool:
    """Wait until `sock` can be read, for at most so many seconds; return whether it can.

    By poll: select can't look at descriptors from 1024 up.
    """
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(None if seconds is None else math.ceil(seconds * 1000)))


def drain(sock: socket.socket, inbox: Inbox) -> bool:
    """Read all that is there without waiting; return False when the other end is closed."""
    while True:
        try:
            data = sock.recv(_CHUNK, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        if not data:
            return False
        inbox.feed(data)


class Outbox:
    """A socket that is written without ever waiting for the other side."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._bytes = bytearray()

    def put(self, message: Any) -> None:
        self._bytes += frame(message)
        self.flush()

    def flush(self) -> bool:
        """Write as much as fits; return True when nothing is left."""
        while self._bytes:
            try:
                sent = self.sock.send(self._bytes, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return False
            except ConnectionError:
                # The other side is gone; whoever watches it puts things right.
                self._bytes.clear()
                return True
            del self._bytes[:sent]
        return True
