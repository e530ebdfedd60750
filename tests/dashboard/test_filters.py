"""What a list shows."""

from datetime import timedelta

import pytest
from django.http import QueryDict
from django.utils import timezone

from jobs.dashboard import filters
from jobs.models import HistoryEntry, Job
from jobs.states import State

pytestmark = pytest.mark.django_db


def make(func="a.b", state=State.FAILED, args=(), **values):
    arguments = {"args": list(args), "kwargs": {}}
    return Job.objects.create(func=func, arguments=arguments, state=state, **values)


def found(query, state=State.FAILED):
    return set(filters.find(QueryDict(query), state).rows)


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("queue=mail", {"queue": "mail"}),
        ("func=billing.", {"func": "billing.functions.send"}),
        ("server=one", {"server": "one"}),
        ("recurring_job=7", {"recurring_job_id": 7}),
        ("error_type=ValueError", {"error_type": "ValueError"}),
        ("error_key=abc", {"error_key": "abc"}),
        ("retries=1", {"retries": 2}),
    ],
)
def test_a_filter_leaves_the_jobs_it_names(query, values):
    wanted = make(**values)
    make(func="other.function")
    assert found(query) == {wanted}


def test_a_prefix_is_no_pattern():
    make(func="a_b")
    assert found("func=a%25") == set()
    make(func="axb")
    assert {job.func for job in found("func=a_")} == {"a_b"}


def test_jobs_of_a_time():
    now = timezone.now()
    make(state_changed_at=now - timedelta(days=3))
    wanted = make(state_changed_at=now - timedelta(days=1))
    make(state_changed_at=now)
    local = timezone.localtime(now)
    since = (local - timedelta(days=2)).strftime("%Y-%m-%dT%H:%M")
    until = (local - timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M")
    assert found(f"since={since}&until={until}") == {wanted}


def test_an_id_leads_to_its_job_whatever_its_state():
    job = make(state=State.SUCCEEDED)
    for text in (f"%23{job.pk}", str(job.pk)):
        assert filters.find(QueryDict(f"q={text}"), State.FAILED).job == job.pk


def test_a_number_that_is_no_id_is_looked_for_in_arguments():
    wanted = make(args=[987654])
    assert found("q=987654") == {wanted}


def test_a_functions_beginning_is_found_before_texts():
    wanted = make(func="billing.send")
    make(func="other", args=["billing"])
    assert found("q=billing") == {wanted}


@pytest.mark.parametrize(
    "text", ["send_invoice", "größe", 'say "hi"', "NotEnoughMoney", "overdrawn"]
)
def test_texts_are_found_in_function_arguments_and_errors(text):
    job = make(func="billing.send_invoice", args=["größe", 'say "hi"'], error_type="NotEnoughMoney")
    now = timezone.now()
    HistoryEntry.objects.create(
        job=job,
        state=State.PROCESSING,
        data={"error": {"message": "The account is overdrawn"}},
        entered_at=now,
        left_at=now,
    )
    make(func="x.y")
    assert found(f"q={text}") == {job}


@pytest.mark.parametrize("state", [State.FAILED, None])
def test_only_the_newest_are_searched_and_further_back_leads_on(monkeypatch, state):
    monkeypatch.setattr(filters, "WINDOW", 3)
    now = timezone.now()
    jobs = [make(args=["needle"], state_changed_at=now + timedelta(seconds=n)) for n in range(7)]
    first = filters.find(QueryDict("q=needle"), state)
    assert first.windowed
    assert set(first.rows) == set(jobs[4:])
    query = QueryDict(mutable=True)
    query.update({"q": "needle", "further": first.further})
    second = filters.find(query, state)
    assert set(second.rows) == set(jobs[1:4])
    query["further"] = second.further
    last = filters.find(query, state)
    assert set(last.rows) == {jobs[0]}
    assert last.further == ""


@pytest.mark.parametrize(
    "query",
    [
        "recurring_job=x",
        "recurring_job=-1",
        f"recurring_job={'9' * 40}",
        "since=yesterday",
        "queue=%00",
        f"queue={'x' * 101}",
        "nonsense=1",
    ],
)
def test_a_wrong_value_is_named_and_ignored_but_matches_nothing_for_an_action(query):
    job = make()
    answer = filters.find(QueryDict(query), State.FAILED)
    assert len(answer.ignored) == 1
    assert set(answer.rows) == {job}
    with pytest.raises(filters.NotMatching):
        filters.jobs(query, State.FAILED)


def test_all_matching_is_what_the_list_shows_on_all_its_pages():
    wanted = make(queue="mail")
    make()
    assert set(filters.jobs("?queue=mail&size=20&sort=since&after=x", State.FAILED)) == {wanted}
