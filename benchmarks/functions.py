"""The jobs that are measured."""

import os
import time


def nothing(number: int) -> int:
    return number


def mixed(number: int) -> int:
    """80 % nothing, 10 % raise at the first attempt, 10 % one query."""
    if number % 10 == 0:
        import jobs

        job = jobs.current()
        if job is None or job.attempt == 1:
            raise ValueError(number)
    if number % 10 == 1:
        from django.contrib.auth.models import Group

        Group.objects.filter(pk=number).exists()
    return number


def stamp(path: str, number: int) -> None:
    """Note when the job started, by the host's monotonic clock."""
    now = time.monotonic()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, f"{number} {now}\n".encode())
    os.close(fd)
