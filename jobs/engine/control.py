"""The dispatcher's end of the line to the sentinel: messages, and the sockets that come with them."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterator
from typing import Any

from . import wire


class Control:
    """The line to the sentinel. Nothing here waits."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self._inbox = wire.Inbox()
        self._fds: deque[int] = deque()
        self._outbox = wire.Outbox(sock)

    def say(self, *message: Any) -> None:
        self._outbox.put(message)

    def heard(self) -> Iterator[Any]:
        """Read what has come in; return the messages that are complete."""
        while True:
            try:
                # It takes flags but does not heed them; the socket itself does not block.
                data, fds, _flags, _address = socket.recv_fds(self.sock, 1 << 16, 16)
            except BlockingIOError:
                break
            if not data:
                break
            self._inbox.feed(data)
            self._fds.extend(fds)
        return iter(self._inbox)

    def take_fd(self) -> int:
        """Return the descriptor of the socket that came with the message at hand."""
        return self._fds.popleft()
