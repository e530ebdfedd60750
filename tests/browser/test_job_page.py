"""A job's page stays open while the job goes on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from jobs.models import HistoryEntry, Job
from jobs.states import State
from tests.browser.chromium import Browser

TRACEBACK = (
    "Traceback (most recent call last):\n"
    + "".join(
        f'  File "/lib/python3.13/site-packages/httpx/c{n}.py", line {n}, in f\n' for n in range(9)
    )
    + '  File "/srv/app/billing.py", line 7, in charge\n    pay()\nValueError: no money\n'
)


@pytest.fixture
def failed(db: None) -> Job:
    """A job that has failed several times."""
    now = timezone.now()
    job = Job.objects.create(
        func="a.b", arguments={"args": [], "kwargs": {}}, queue="mail", state=State.FAILED
    )
    error = {"type": "ValueError", "message": "no money", "traceback": TRACEBACK}
    for number in range(6, 0, -1):
        for state, start in ((State.SCHEDULED, 2), (State.PROCESSING, 1)):
            entered = now - timedelta(seconds=2 * number + start)
            HistoryEntry.objects.create(
                job=job,
                state=state,
                data={"error": error} if state == State.PROCESSING else {},
                entered_at=entered,
                left_at=entered + timedelta(seconds=1),
            )
    return job


def test_what_was_opened_stays_open_and_in_its_place(
    browser: Browser, admin_client: Any, failed: Job
) -> None:
    browser.open("/favicon.ico")  # whatever is there: cookies belong to an address
    name = settings.SESSION_COOKIE_NAME
    browser.driver.add_cookie({"name": name, "value": admin_client.cookies[name].value})
    browser.open(reverse("admin:jobs_job_change", args=[failed.pk]))
    place = browser.driver.execute_script(
        """const folded = document.querySelectorAll("#job-cards details");
        const details = [...folded].find((one) => one.dataset.key.startsWith("plain-") && !one.closest(".newest"));
        details.open = true;
        details.scrollIntoView({ block: "center" });
        window.key = details.dataset.key;
        return details.getBoundingClientRect().top;"""
    )
    HistoryEntry.objects.create(
        job=failed,
        state=State.FAILED,
        entered_at=failed.state_changed_at,
        left_at=timezone.now(),
    )
    Job.objects.filter(pk=failed.pk).update(
        state=State.ENQUEUED, state_changed_at=timezone.now(), reason="requeued by somebody"
    )
    browser.wait_for("requeued by somebody")

    is_open, now_at = browser.driver.execute_script(
        """const found = document.querySelector(`[data-key="${window.key}"]`);
        return [found.open, found.getBoundingClientRect().top];"""
    )
    assert is_open
    assert abs(now_at - place) < 3
    assert not [said for said in browser.complaints() if "favicon" not in said]
