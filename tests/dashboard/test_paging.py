"""Paging by key."""

from datetime import timedelta

import pytest
from django.utils import timezone

from jobs.dashboard.filters import BY_ID, NEWEST
from jobs.dashboard.paging import Order, cut
from jobs.models import Job
from jobs.states import State

pytestmark = pytest.mark.django_db
OLDEST = Order("since", "state_changed_at", descending=False)


@pytest.fixture
def jobs():
    """Seven jobs, of which each two were changed at the same moment."""
    now = timezone.now()
    return [
        Job.objects.create(
            func="a.b",
            arguments={"args": [], "kwargs": {}},
            state=State.FAILED,
            state_changed_at=now + timedelta(seconds=number // 2),
        )
        for number in range(7)
    ]


def ids(part):
    return [job.pk for job in part.rows]


@pytest.mark.parametrize("order", [NEWEST, OLDEST, BY_ID])
def test_all_pages_together_are_the_list_forwards_and_backwards(jobs, order):
    rows = Job.objects.all()
    expected = list(rows.order_by(*order.columns()).values_list("pk", flat=True))
    part, forwards = cut(rows, order, {}, 3), []
    forwards += ids(part)
    while part.later:
        part = cut(rows, order, part.later, 3)
        forwards += ids(part)
    assert forwards == expected
    assert ids(cut(rows, order, part.earlier, 3)) == expected[3:6]


def test_the_other_end_is_one_step_away(jobs):
    part = cut(Job.objects.all(), NEWEST, {"oldest": "1"}, 3)
    assert ids(part) == [job.pk for job in jobs[2::-1]]
    assert part.later == {}
    assert part.earlier


def test_a_position_whose_job_is_gone_shows_the_nearest_rows(jobs):
    position = {"after": NEWEST.position(jobs[4])}
    jobs[4].delete()
    assert ids(cut(Job.objects.all(), NEWEST, position, 2)) == [jobs[3].pk, jobs[2].pk]


def test_after_the_end_are_the_last_rows_and_before_the_beginning_the_first(jobs):
    rows = Job.objects.all()
    after = {"after": NEWEST.position(jobs[0])}
    before = {"before": NEWEST.position(jobs[6])}
    assert ids(cut(rows, NEWEST, after, 2)) == [jobs[1].pk, jobs[0].pk]
    assert ids(cut(rows, NEWEST, before, 2)) == [jobs[6].pk, jobs[5].pk]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "2026",
        "2026-13-40T00:00:00+00:00_3",
        "2026-01-01T00:00:00_3",
        "_5",
        "1_²",
        "9" * 30,
    ],
)
def test_what_is_no_position_is_the_beginning(jobs, text):
    assert ids(cut(Job.objects.all(), NEWEST, {"after": text}, 2)) == [jobs[6].pk, jobs[5].pk]


def test_a_plus_that_came_as_a_blank_is_understood(jobs):
    position = NEWEST.position(jobs[5])
    assert NEWEST.parse(position.replace("+", " ")) == NEWEST.parse(position) is not None
