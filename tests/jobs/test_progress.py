"""What a running job tells of itself."""

import logging
import threading

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext

import jobs
from jobs import progress, pruning, reports
from jobs.models import Job, JobProgress, LogLine
from jobs.outcomes import Told
from jobs.testing import drain

pytestmark = pytest.mark.django_db

logger = logging.getLogger("tests.progress")
logger.setLevel(logging.INFO)


def here():
    job = jobs.current()
    assert job is not None
    return job


def told(pk=None):
    row = JobProgress.objects.get()
    return row.done, row.total, row.text


def lines():
    return list(LogLine.objects.values_list("level", "text"))


def step():
    here().progress(3, 5, "third step")


def steps():
    here().progress(1, 5)
    here().progress(2, text="second")


def odd():
    here().progress(float("nan"), float("inf"), "a\x00b\ud800")
    here().progress("many", -1)


def say():
    here().log("plain")
    here().log(42, "warning")
    here().log("loud", logging.ERROR)


def say_much(count):
    for number in range(count):
        here().log(number)


def say_at_length():
    here().log("x" * 5000)


@jobs.job(max_retries=1, retry_delays=[0])
def say_and_fail():
    here().progress(1, 2)
    here().log(f"attempt {here().attempt}")
    raise ValueError("boom")


@jobs.job(atomic=True, timeout=2)
def say_and_take_back():
    Group.objects.create(name="never")
    here().progress(1, 2)
    here().log("seen all the same")
    raise ValueError("boom")


def log_by_logger():
    logger.info("kept %d", 1)
    try:
        raise KeyError("gone")
    except KeyError:
        logger.exception("trouble")
    logger.debug("below the logger's level")


def from_thread():
    job = here()
    thread = threading.Thread(target=lambda: job.log("from a thread"))
    thread.start()
    thread.join()


async def from_async():
    here().log("from a coroutine")
    await sync_to_async(lambda: here().log("from its thread"))()
    async for _ in jobs.track([1, 2], text="parts"):
        pass


def loop(kind):
    def generate():
        yield from "abc"

    every = {"list": ["a", "b", "c"], "rows": Group.objects.all(), "generator": generate()}[kind]
    return len(list(jobs.track(every, text="letters")))


async def loop_over_rows():
    return [group.name async for group in jobs.track(Group.objects.order_by("name"))]


def test_progress_is_kept_with_its_text():
    jobs.enqueue(step)
    drain()
    assert told() == (3, 5, "third step")


def test_the_last_progress_counts_and_a_total_said_once_stays():
    jobs.enqueue(steps)
    drain()
    assert told() == (2, 5, "second")


def test_odd_numbers_and_texts_fail_nothing():
    job = jobs.enqueue(odd)
    drain()
    job.refresh_from_db()
    assert (job.state, told()) == ("succeeded", (0, None, ""))


def test_lines_are_kept_with_their_levels():
    jobs.enqueue(say)
    drain()
    assert lines() == [(20, "plain"), (30, "42"), (40, "loud")]


def test_of_too_many_lines_the_newest_are_kept_and_the_others_counted(settings):
    settings.JOBS = {"LOG_LINES": 10}
    jobs.enqueue(say_much, 25)
    drain()
    assert [text for _, text in lines()] == [str(n) for n in range(15, 25)]
    assert JobProgress.objects.get().dropped == 15


def test_the_limit_is_the_job_s_and_not_the_attempt_s(settings):
    settings.JOBS = {"LOG_LINES": 3}
    job = jobs.enqueue(say_much, 2)
    for attempt in (1, 2):
        data = [(0.0, 20, f"{attempt}.{n}") for n in range(2)]
        reports.write([Told(job.pk, attempt, 0.0, None, None, "", data, 2, 0)])
    assert [text for _, text in lines()] == ["1.1", "2.0", "2.1"]
    assert JobProgress.objects.get().dropped == 1


def test_what_is_told_in_pieces_adds_up(settings):
    settings.JOBS = {"LOG_LINES": 4}
    job = jobs.enqueue(say)
    report = progress.Report(job.pk, 1, "t")
    for start in range(0, 12, 6):  # each piece loses two lines before it is taken
        for number in range(start, start + 6):
            report.log(number, 20)
        told = report.take()
        assert told is not None
        reports.write([told])
    assert [text for _, text in lines()] == ["8", "9", "10", "11"]
    assert JobProgress.objects.get().dropped == 8


def test_a_long_line_is_cut():
    jobs.enqueue(say_at_length)
    drain()
    [(_, text)] = lines()
    assert (len(text), text[-2:]) == (1000, "x…")


def test_what_a_failed_attempt_told_stays_and_the_next_adds_to_it():
    jobs.enqueue(say_and_fail)
    drain()
    drain()
    assert [text for _, text in lines()] == ["attempt 1", "attempt 2"]
    assert JobProgress.objects.get().attempt == 2


def test_a_rollback_of_the_job_takes_nothing_back():
    jobs.enqueue(say_and_take_back)
    drain()
    assert not Group.objects.exists()
    assert told() == (1, 2, "")
    assert [text for _, text in lines()] == ["seen all the same"]


def test_with_keep_log_all_that_is_logged_is_kept():
    jobs.using(log_by_logger, keep_log=True).enqueue()
    drain()
    assert lines() == [(20, "kept 1"), (40, "trouble (KeyError: 'gone')")]


def test_the_setting_keeps_the_logs_of_all_jobs_but_those_that_say_no(settings):
    settings.JOBS = {"KEEP_LOG": True}
    jobs.enqueue(log_by_logger)
    jobs.using(log_by_logger, keep_log=False).enqueue()
    drain()
    assert len(lines()) == 2


def test_without_it_nothing_is_kept():
    jobs.using(log_by_logger, keep_log=True).enqueue()
    jobs.enqueue(log_by_logger)
    drain()
    assert set(LogLine.objects.values_list("job", flat=True)) == {Job.objects.earliest("id").pk}


def test_a_handler_in_logging_keeps_it_too_and_only_once():
    handler = progress.JobLogHandler(level=logging.WARNING)
    logger.addHandler(handler)
    try:
        jobs.enqueue(log_by_logger)
        jobs.using(log_by_logger, keep_log=True).enqueue()
        drain()
        logger.error("outside of any job")
    finally:
        logger.removeHandler(handler)
    assert [level for level, _ in lines()] == [40, 20, 40]


def test_threads_and_coroutines_tell_too():
    jobs.enqueue(from_thread)
    jobs.enqueue(from_async)
    drain()
    assert [text for _, text in lines()] == [
        "from a thread",
        "from a coroutine",
        "from its thread",
    ]
    assert told() == (2, 2, "parts")


@pytest.mark.parametrize(("kind", "total"), [("list", 3), ("rows", 3), ("generator", None)])
def test_track_tells_how_far_a_loop_is(kind, total):
    for name in "abc":
        Group.objects.create(name=name)
    job = jobs.enqueue(loop, kind)
    drain()
    job.refresh_from_db()
    assert job.result == 3
    assert told() == (3, total, "letters")


@pytest.mark.django_db(transaction=True)
def test_track_loops_over_rows_in_async_code():
    for name in "abc":
        Group.objects.create(name=name)
    job = jobs.enqueue(loop_over_rows)
    drain()
    job.refresh_from_db()
    assert job.result == ["a", "b", "c"]
    assert told() == (3, 3, "")


def test_outside_of_a_job_track_is_a_loop():
    assert list(jobs.track(range(3))) == [0, 1, 2]


def test_a_job_that_tells_nothing_costs_nothing():
    jobs.enqueue(len, "abc")
    with CaptureQueriesContext(connection) as queries:
        drain()
    assert not [q for q in queries if "progress" in q["sql"] or "logline" in q["sql"]]


def test_the_number_of_statements_does_not_grow_with_the_reports():
    def statements(count):
        ids = [jobs.enqueue(len, "").pk for _ in range(count)]
        data = [(0.0, 20, "line")]
        every = [Told(pk, 1, 0.0, 1.0, 2.0, "", data, 1, 0) for pk in ids]
        with CaptureQueriesContext(connection) as queries:
            reports.write(every)
        return len([q for q in queries if "SAVEPOINT" not in q["sql"]])

    if connection.features.supports_update_conflicts:
        assert statements(2) == statements(100)


def test_a_run_that_was_given_up_does_not_change_the_progress_of_the_next():
    job = jobs.enqueue(step)
    for attempt, done in ((2, 1.0), (1, 4.0)):
        reports.write([Told(job.pk, attempt, 0.0, done, 5.0, "", [], 0, 0)])
    assert JobProgress.objects.get().done == 1


def test_what_a_job_told_that_is_gone_is_not_written():
    reports.write([Told(4711, 1, 0.0, 1.0, 5.0, "", [(0.0, 20, "x")], 1, 0)])
    assert not JobProgress.objects.exists()
    assert not LogLine.objects.exists()


def test_it_goes_with_its_job():
    jobs.using(say_and_fail, max_retries=0, expires_after=0).enqueue()
    kept = jobs.enqueue(step)
    drain()
    pruning.prune_jobs()
    assert not LogLine.objects.exists()
    assert JobProgress.objects.get().job_id == kept.pk


def test_the_option_is_checked():
    with pytest.raises(jobs.InvalidOption, match="keep_log"):
        jobs.using(step, keep_log="yes")
