"""The lists of jobs: what they show, filter, and page."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from jobs.dashboard import metrics
from jobs.models import Job
from jobs.states import State

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_numbers_of_other_tests():
    metrics.forget()
    yield
    metrics.forget()


def make(count=1, state=State.FAILED, **values):
    now = timezone.now()
    arguments = values.pop("arguments", {"args": [1], "kwargs": {"to": "ada"}})
    func = values.pop("func", "shop.mails.send")
    return [
        Job.objects.create(
            func=func,
            arguments=arguments,
            state=state,
            queue="default",
            state_changed_at=now - timedelta(seconds=n // 3),  # some at the same moment
            **values,
        )
        for n in range(count)
    ]


def address(state="failed", **query):
    return reverse("admin:jobs_job_state", args=[state], query=query or None)


def shown(page):
    return [row.pk for row in page.context["rows"]]


@pytest.mark.parametrize("state", State)
def test_each_state_lists_its_jobs(admin_client, state):
    (mine,) = make(state=state)
    make(state=State.FAILED if state != State.FAILED else State.DELETED)
    assert shown(admin_client.get(address(state))) == [mine.pk]


@pytest.mark.parametrize("state", State)
def test_a_list_without_jobs_says_so(admin_client, state):
    assert 'class="empty' in admin_client.get(address(state)).content.decode()


@pytest.mark.parametrize("direction", ["newest", "oldest"])
def test_all_pages_forth_and_back_hold_each_job_once_in_order(admin_client, direction):
    make(65)
    forth, query = [], {"order": direction}
    pages = []
    while True:
        page = admin_client.get(address(**query))
        pages.append(shown(page))
        if page.context["after"] is None:
            break
        query = {"order": direction, "after": str(page.context["after"])}
    forth = [pk for rows in pages for pk in rows]
    keys = {job.pk: (job.state_changed_at, job.pk) for job in Job.objects.all()}
    assert forth == sorted(keys, key=keys.get, reverse=direction == "newest")
    back = [pages[-1]]
    while page.context["before"] is not None:
        query = {"order": direction, "before": str(page.context["before"])}
        page = admin_client.get(address(**query))
        back.insert(0, shown(page))
    assert back == pages


def test_the_last_page_is_the_end_of_the_order(admin_client):
    jobs = make(30)
    oldest_first = sorted(jobs, key=lambda job: (job.state_changed_at, job.pk))
    page = admin_client.get(address(last="1"))
    assert shown(page) == [job.pk for job in reversed(oldest_first[:20])]
    assert page.context["after"] is None


def test_a_position_whose_job_is_gone_shows_the_rows_that_follow_it(admin_client):
    make(30)
    page = admin_client.get(address())
    position, gone = str(page.context["after"]), shown(page)[-1]
    following = shown(admin_client.get(address(after=position)))
    Job.objects.filter(pk=gone).delete()
    assert shown(admin_client.get(address(after=position))) == following


@pytest.mark.parametrize(
    "query",
    [
        {"after": "nonsense"},
        {"after": "2026-13-45T00:00~1"},
        {"before": "2026-01-01T00:00:00~" + "9" * 40},
        {"size": "7"},
        {"since": "yesterday"},
        {"recurring_job": "x"},
        {"recurring_job": "9" * 40},
        {"from": "~"},
        {"q": "\0"},
        {"func": "\0"},
        {"order": "up"},
    ],
)
def test_a_parameter_that_makes_no_sense_is_left_out(admin_client, query):
    (job,) = make()
    assert shown(admin_client.get(address(**query))) == [job.pk]


def test_a_filter_that_makes_no_sense_is_named(admin_client):
    page = admin_client.get(address(since="yesterday")).content.decode()
    assert "The filter “From” makes no sense and was left out." in page


@pytest.mark.parametrize(
    "query",
    [
        {"queue": "mail"},
        {"func": "shop.inv"},
        {"server": "web-1"},
        {"error_type": "KeyError"},
        {"error_key": "abc"},
        {"q": "shop.invoices.ma"},
        {"q": "grace"},
        {"q": "KeyErr"},
        {"q": "no such customer"},
    ],
)
def test_filters_and_search_leave_what_matches(admin_client, query):
    make(3)
    (mine,) = make(
        func="shop.invoices.make",
        server="web-1",
        error_type="KeyError",
        error_key="abc",
        arguments={"args": [], "kwargs": {"to": "grace"}},
    )
    Job.objects.filter(pk=mine.pk).update(queue="mail")
    mine.history.create(
        state=State.PROCESSING,
        data={"error": {"message": "no such customer"}},
        entered_at=timezone.now(),
        left_at=timezone.now(),
    )
    assert shown(admin_client.get(address(**query))) == [mine.pk]


@pytest.mark.parametrize("text", ["{id}", "#{id}", " #{id} "])
def test_an_id_leads_to_the_job(admin_client, text):
    (job,) = make()
    answer = admin_client.get(
        reverse("admin:jobs_job_changelist", query={"q": text.format(id=job.pk)})
    )
    assert answer.url == reverse("admin:jobs_job_change", args=[job.pk])


def test_the_search_in_the_navigation_finds_jobs_of_all_states(admin_client):
    found = [make(state=state)[0].pk for state in State]
    page = admin_client.get(reverse("admin:jobs_job_changelist", query={"q": "ada"}))
    assert sorted(shown(page)) == found


def test_retries_are_the_scheduled_jobs_that_raised_the_next_one_first(admin_client):
    now = timezone.now()
    make(state=State.SCHEDULED)
    later = make(state=State.SCHEDULED, retries=1, run_at=now + timedelta(hours=2))[0]
    sooner = make(state=State.SCHEDULED, retries=2, run_at=now + timedelta(hours=1))[0]
    page = admin_client.get(reverse("admin:jobs_job_retries"))
    assert shown(page) == [sooner.pk, later.pk]


def test_the_number_of_statements_does_not_grow_with_the_rows(admin_client):
    def statements(size):
        metrics.forget()
        with CaptureQueriesContext(connection) as asked:
            admin_client.get(address(size=size, q="ada"))
        return len(asked)

    make(120)
    statements(20)  # what is asked once in a process
    assert statements(20) == statements(100) <= 15


def test_what_a_stranger_wrote_is_only_text(admin_client):
    evil = "<script>alert(1)</script>"
    make(func=f"a.{evil}", arguments={"args": [evil, "\u202eright to left"], "kwargs": {}})
    page = admin_client.get(address(q=evil)).content.decode()
    assert evil not in page


def test_arguments_of_a_megabyte_are_cut(admin_client):
    make(20, arguments={"args": ["x" * 1_000_000], "kwargs": {}})
    assert len(admin_client.get(address()).content) < 100_000
