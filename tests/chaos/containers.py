"""Servers as in containers: with PID, network and host name namespaces of their own.

As a program (`-m tests.chaos.containers FD HOST COMMAND…`) it is the first process inside: it
gives itself the name HOST, has a socket there that the outside answers, and becomes COMMAND.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

UNSHARE = ["unshare", "--pid", "--net", "--uts", "--fork", "--mount-proc", "--kill-child"]
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


def unavailable() -> str:
    """Return why there can be no containers here, or ""."""
    try:
        done = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True)
    except FileNotFoundError:
        return "no program unshare here"
    return done.stderr.strip() if done.returncode else ""


@contextmanager
def running(
    folder: Path, host: str, *args: str, jobs: dict[str, Any] | None = None
) -> Iterator[Any]:
    """Run a server on a host named `host`, for the time of the block."""
    import psutil
    from django.db import connection

    from tests.cluster import Server, database_url, until
    from tests.proxy import Proxy

    ours, theirs = socket.socketpair()
    inside = [sys.executable, "-m", "tests.chaos.containers", str(theirs.fileno()), host]
    with ours, theirs:
        server = Server(
            folder / f"{host}-{time.monotonic_ns()}.log",
            jobs or {},
            {},
            *args,
            wait=False,
            prefix=[*UNSHARE, *inside],
            pass_fds=[theirs.fileno()],
        )
        proxy = None
        try:
            ours.settimeout(20)
            _, fds, _, _ = socket.recv_fds(ours, 1, 1)
            listener = socket.socket(fileno=fds[0])
            url = database_url()
            if connection.vendor != "sqlite":
                settings = connection.settings_dict
                target = (settings["HOST"] or "127.0.0.1", int(settings["PORT"]))
                proxy = Proxy(target, listener)
                url = database_url(proxy.port)
            ours.sendall(url.encode())
            server.main = psutil.Process(server.process.pid).children()[0]
            until(server._is_up, 20, message=f"{host} did not start:\n{server.text}")
            yield server
        finally:
            server.end()
            if proxy is not None:
                proxy.cut()
            else:
                listener.close()


def enter(fd: int, host: str, command: list[str]) -> None:
    """Be the first process of a container, then become `command`."""
    import fcntl

    socket.sethostname(host)
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
    listener = socket.create_server(("127.0.0.1", 0))
    with socket.socket(fileno=fd) as outside:
        socket.send_fds(outside, [b"L"], [listener.fileno()])
        os.environ["TEST_CLUSTER_DATABASE_URL"] = outside.recv(4096).decode()
    listener.close()
    os.execvp(command[0], command)


if __name__ == "__main__":
    enter(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
