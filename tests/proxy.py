"""A TCP proxy on loopback that can be cut and mended: a database that goes away."""

from __future__ import annotations

import contextlib
import socket
import threading


class Proxy:
    """Passes connections on to `target` while it is not cut."""

    def __init__(self, target: tuple[str, int], server: socket.socket | None = None) -> None:
        """`server`: a listening socket to use, such as one of another network namespace."""
        self.target = target
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._passing = threading.Event()
        self._passing.set()
        self._server: socket.socket | None = None
        self.port = self._listen(server or socket.create_server(("127.0.0.1", 0)))

    def _listen(self, server: socket.socket) -> int:
        self._server = server
        threading.Thread(target=self._accept, args=(server,), daemon=True).start()
        return int(server.getsockname()[1])

    def _accept(self, server: socket.socket) -> None:
        while True:
            try:
                near, _ = server.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self.target)
            except OSError:  # the target itself is away
                near.close()
                continue
            with self._lock:
                self._open |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self._passing.wait()
                sink.sendall(data)
        self._close(source, sink)

    def _close(self, *sockets: socket.socket) -> None:
        with self._lock:
            for sock in sockets:
                self._open.discard(sock)
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def cut(self) -> None:
        """Refuse new connections and break those that exist."""
        assert self._server is not None
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._close(*list(self._open))

    def break_connections(self) -> int:
        """Break the connections that exist, take new ones; return how many there were."""
        with self._lock:
            broken = list(self._open)
        self._close(*broken)
        return len(broken) // 2

    def hold(self) -> None:
        """Pass nothing on, but break nothing: as when packets are dropped on their way.

        What comes meanwhile arrives late, as TCP would send it again.
        """
        self._passing.clear()

    def let_go(self) -> None:
        """Pass on again, first what was held."""
        self._passing.set()

    def mend(self) -> None:
        """Listen again on the same port."""
        self._listen(socket.create_server(("127.0.0.1", self.port)))
