"""Progress and log as they are shown."""

import pytest
from django.template.loader import render_to_string
from django.utils import translation

import jobs
from jobs import reports
from jobs.dashboard import progress
from jobs.outcomes import Told
from tests import functions

pytestmark = pytest.mark.django_db


@pytest.fixture
def job():
    return jobs.enqueue(functions.nothing)


def tell(job, *, attempt=1, done=None, total=None, text="", lines=(), dropped=0):
    data = [(1_790_000_000.5 + n, level, line) for n, (level, line) in enumerate(lines)]
    reports.write(
        [Told(job.pk, attempt, 1_790_000_000.0, done, total, text, data, len(data), dropped)]
    )


def shown(job, **context):
    return render_to_string("jobs/dashboard/progress_log.html", {"job": job, **context})


def bar(job):
    found = progress.of([job.pk])
    return render_to_string("jobs/dashboard/progress_bar.html", {"progress": found.get(job.pk)})


def test_the_progress_of_many_jobs_is_one_query(django_assert_num_queries):
    every = [jobs.enqueue(functions.nothing) for _ in range(20)]
    for number, job in enumerate(every[:5]):
        tell(job, done=number, total=10)
    tell(every[5], lines=[(20, "only a line")])
    with django_assert_num_queries(1):
        found = progress.of([job.pk for job in every])
    assert [found[job.pk].percent for job in every[:5]] == ["0 %", "10 %", "20 %", "30 %", "40 %"]
    assert len(found) == 5


def test_a_bar_has_its_numbers_whatever_the_language(job, settings):
    settings.USE_THOUSAND_SEPARATOR = True
    tell(job, done=1234.5, total=2000, text="half a row")
    with translation.override("de"):
        text = bar(job)
    assert 'max="2000.0" value="1234.5"' in text
    assert 'title="half a row"' in text
    assert "61 %" in text


def test_without_a_total_the_bar_has_no_end(job):
    tell(job, done=1200)
    assert "<progress aria-label" in bar(job)
    assert "1,200" in bar(job)


def test_more_than_all_is_all(job):
    tell(job, done=7, total=5)
    assert progress.of([job.pk])[job.pk].percent == "100 %"
    assert 'value="5.0"' in bar(job)


def test_a_job_that_told_nothing_has_no_bar_and_an_empty_root_element(job):
    assert bar(job).strip() == ""
    assert shown(job).strip() == '<div id="progress-log" ></div>'


def test_an_open_page_gets_it_by_its_id(job):
    tell(job, done=1, total=2)
    assert shown(job, oob=True).startswith('<div id="progress-log" hx-swap-oob="true">')


def test_lines_are_shown_newest_last_with_level_and_escaped(job):
    tell(job, lines=[(20, "first"), (30, "<b>second</b>"), (40, "third"), (10, "fourth")])
    text = shown(job)
    places = [text.index(word) for word in ("first", "&lt;b&gt;second", "third", "fourth")]
    assert places == sorted(places)
    assert 's-warning"><time' in text
    assert '<span class="lv">error</span>' in text


def test_moments_have_their_milliseconds(job):
    tell(job, lines=[(20, "first")])
    assert ">13:33:20.500</time>" in shown(job) or ":20.500</time>" in shown(job)


def test_it_says_what_was_not_kept(job):
    tell(job, lines=[(20, "x")], dropped=1200)
    assert "1,200 older lines were not kept" in shown(job)


def test_attempts_stand_apart_when_there_are_several(job):
    tell(job, lines=[(20, "x")])
    assert "Attempt 1" not in shown(job)
    tell(job, attempt=2, done=1, total=3, lines=[(20, "y")])
    text = shown(job)
    assert "Attempt 1" in text
    assert "Attempt 2" in text
    assert "Progress of attempt 2" in text


def test_a_page_costs_two_queries_whatever_was_told(job, django_assert_num_queries):
    tell(job, done=1, lines=[(20, str(n)) for n in range(100)])
    with django_assert_num_queries(2):
        progress.log(job)


def test_the_bar_has_the_colours_of_the_job_s_state(job):
    tell(job, done=3, total=5)
    job.state = "failed"
    assert 'class="bar wide s-failed run"' in shown(job)
