"""`make run`: the web server and a worker cluster together; Ctrl-C ends both."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from types import FrameType
from typing import IO

from django.conf import settings


def _show(name: str, stream: IO[str]) -> None:
    for line in stream:
        sys.stdout.write(f"{name:<7} │ {line}")
        sys.stdout.flush()


def _start(name: str, *command: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(  # noqa: S603  (our own command)
        [sys.executable, "-u", "manage.py", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        # A terminal's Ctrl-C must reach this process alone, which then asks each to stop once.
        start_new_session=True,
    )
    assert process.stdout is not None
    threading.Thread(target=_show, args=(name, process.stdout), daemon=True).start()
    return process


def main() -> int:
    """Run both until one ends or a signal comes; return the exit status."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    port = settings.PORT
    processes = [
        _start("web", "runserver", "--noreload", f"127.0.0.1:{port}"),
        _start("worker", "qcluster"),
    ]
    asked = threading.Event()

    def stop(signum: int, frame: FrameType | None) -> None:
        asked.set()
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, stop)
    sys.stdout.write(f"\n  http://localhost:{port}  (Ctrl-C ends it)\n\n")
    sys.stdout.flush()
    while all(process.poll() is None for process in processes) and not asked.wait(0.2):
        pass
    failed = not asked.is_set()
    if failed:  # one of them ended by itself; a second signal would end running jobs at once
        stop(signal.SIGTERM, None)
    for process in processes:
        process.wait()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
