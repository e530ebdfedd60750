"""Tasks of Django's framework (or its back-port) that tests enqueue."""

from __future__ import annotations

import os
from contextlib import contextmanager

import django
from django.db import connection

import jobs

if django.VERSION >= (6, 0):
    from django.tasks import task
else:
    from django_tasks import task


@task
def add(a, b=1):
    return a + b


@task(priority=5, queue_name="mail")
def important(number=0):
    return number


@task
async def add_async(a, b=1):
    return a + b


@task(takes_context=True)
def about_me(context, word="me"):
    result = context.task_result
    return [word, result.id, context.attempt, result.worker_ids]


@task
def leave():
    raise SystemExit(3)


@jobs.job(max_retries=2, retry_delays=[0])
@task
def fail(text="boom"):
    raise ValueError(text)


@task
@jobs.job(max_retries=1, retry_delays=[0], queue="mail")
async def fail_async(text="boom"):
    raise KeyError(text)


@jobs.job(max_retries=3, retry_delays=[0])
@task
def answer(kind):
    return {"object": object(), "nan": float("nan"), "long": "x" * 300_000, "tuple": (1,)}[kind]


@task
def fails_once():
    job = jobs.current()
    if job is not None and job.attempt == 1:
        raise ValueError("the first time")
    return "at last"


@task(takes_context=True)
def write_attempts(context, path):
    """Note the attempt, and fail."""
    with open(path, "a") as file:
        file.write(f"{context.attempt} {len(context.task_result.errors)}\n")
    raise RuntimeError(f"attempt {context.attempt}")


@jobs.job(queue="mail", priority=7, timeout=30)
@task
def placed():
    job = jobs.current()
    return None if job is None else job.queue


@task
@jobs.job(atomic=True, timeout=2)
def atomic():
    return connection.in_atomic_block


@task
def nested(parent_id):
    return jobs.current().parent.result


undeclared = task(os.path.exists)


def not_a_task():
    return "no task"


def refuse(job):
    raise PermissionError("not today")


@contextmanager
def trip(job):
    yield
    if job.attempt == 1:
        raise OSError("on the way out")
