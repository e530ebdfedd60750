"""`make run`: somebody signs up on a web page, and a worker sends the mail."""

from __future__ import annotations

import http.cookiejar
import os
import re
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path

import psutil
import pytest
from django.db import connection

from jobs.models import Job
from jobs.states import State
from tests.cluster import ROOT, database_url, until
from tests.faults.test_outages import free_port


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "signum", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.smoke)]
)
def test_who_signs_up_gets_a_mail_and_one_signal_ends_web_and_worker(
    tmp_path: Path, signum: int
) -> None:
    port, mails = free_port(), tmp_path / "mails"
    process = subprocess.Popen(
        [sys.executable, "-m", "config.serve"],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "READ_DOT_ENV": "0",
            "DATABASE_URL": database_url(),
            "MAIL_DIR": str(mails),
            "PORT": str(port),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    try:
        jar = http.cookiejar.CookieJar()
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
        address = f"http://127.0.0.1:{port}"

        def get(path: str) -> str:
            try:
                return str(browser.open(f"{address}{path}", timeout=5).read(), "utf-8")
            except OSError:
                return ""

        page = until(lambda: get("/accounts/sign-up/"), 20)
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        assert token is not None
        form = {
            "csrfmiddlewaretoken": token[1],
            "email": "Ann@Example.com",
            "name": "Ann",
            "password": "correct-horse-9",
        }
        answer = browser.open(
            f"{address}/accounts/sign-up/", urllib.parse.urlencode(form).encode(), timeout=10
        )
        assert "Hello Ann" in answer.read().decode()
        until(lambda: "Welcome to Bonfire" in get("/mailbox/"))
        job = until(lambda: Job.objects.filter(state=State.SUCCEEDED).first())
        states = list(job.history.values_list("state", flat=True))
        assert states == [State.ENQUEUED, State.PROCESSING]
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signum)
        output, _ = process.communicate(timeout=20)
        assert process.returncode == 0, output
        assert "SIGKILL" not in output, "one signal is a request to end in good order"
        assert "web     │" in output
        assert "worker  │" in output
        _, alive = psutil.wait_procs(family, 5)
        assert not alive
    finally:
        if process.poll() is None:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
            process.wait()
        connection.close()
