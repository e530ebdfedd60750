"""Running a job: from a claim to its outcome."""

import signal
import sys
from datetime import timedelta

import pytest
from django.utils import timezone

import jobs
from jobs import transitions
from jobs.models import Job
from jobs.outcomes import Kind
from jobs.runner import Run, execute
from jobs.states import State
from jobs.testing import drain
from tests import functions
from tests.jobs.test_limits import Desk

pytestmark = pytest.mark.django_db


def circular():
    value = []
    value.append(value)
    return value


def huge():
    return 10**5000


async def fail_later():
    raise ValueError("later")


def behind_a_decorator(function):
    def call(*args):
        return function(*args)

    return call


undercover = behind_a_decorator(functions.later)
undercover.__qualname__ = "undercover"
undercover_busy = behind_a_decorator(functions.busy_async)
undercover_busy.__qualname__ = "undercover_busy"


class AsyncCall:
    async def __call__(self, number):
        return number + 1


async_call = AsyncCall()


def generate():
    yield 1


async def generate_later():
    yield 1


async def hand_out_generator():
    return generate_later()


@jobs.job
def hand_out(kind):
    return generate() if kind == "sync" else generate_later()


class Rotten(dict):
    def items(self):
        raise RuntimeError("rotten")


def rotten():
    return Rotten(a=1)


class RottenError(Exception):
    def __str__(self):
        raise SystemExit("rotten")


def raise_rotten():
    raise RottenError


@jobs.job(retry_delays=lambda number: "soon")
def badly_declared():
    raise ValueError("boom")


def interrupt():
    raise KeyboardInterrupt


def chain(number):
    if number:
        jobs.enqueue(chain, number - 1)


def endless():
    jobs.enqueue(endless)


def after(**time):
    return timezone.now() + timedelta(**time)


def fresh(job):
    return Job.objects.get(pk=job.pk)


def attempt_of(job):
    return job.history.filter(state=State.PROCESSING).last().data


def lose_function(job):
    """Make `job` one whose function is not there (any more)."""
    Job.objects.filter(pk=job.pk).update(func="tests.functions.gone")


# Success


def test_a_job_that_returns_has_succeeded_with_its_result():
    job = jobs.enqueue(functions.add, 1, b=2)

    [outcome] = drain()

    assert outcome.kind == Kind.SUCCEEDED
    assert (fresh(job).state, fresh(job).result) == (State.SUCCEEDED, 3)


def test_the_attempt_keeps_who_ran_it_and_when():
    job = jobs.enqueue(functions.add, 1)

    drain()

    data = attempt_of(job)
    assert (data["server"], data["worker"], data["attempt"]) == ("drain", "drain", 1)
    assert data["started"] <= data["ended"]


def test_an_async_function_is_awaited():
    job = jobs.enqueue(functions.later, 1)

    drain()

    assert fresh(job).result == 2


def test_a_decorated_function_runs():
    job = functions.declared.enqueue(4)

    drain()

    assert fresh(job).result == 4


@pytest.mark.parametrize("kind", ["object", "when", "set"])
def test_a_result_that_is_not_json_is_kept_as_text_with_a_note(kind):
    job = jobs.enqueue(functions.answer, kind)

    drain()

    entry = attempt_of(job)["result"]
    assert fresh(job).state == State.SUCCEEDED
    assert fresh(job).result == entry["text"]
    assert entry["note"].startswith("Kept as text")


@pytest.mark.parametrize("func", [circular, huge])
def test_a_result_that_json_can_not_write_does_not_undo_the_success(func):
    job = jobs.enqueue(func)

    drain()

    assert fresh(job).state == State.SUCCEEDED


def test_a_succeeded_job_is_kept_for_as_long_as_it_was_told():
    job = jobs.using(functions.nothing, expires_after=timedelta(hours=2)).enqueue()

    drain()

    job = fresh(job)
    assert job.expires_at - job.finished_at == timedelta(hours=2)


# Failure


def test_a_job_that_raises_is_scheduled_for_a_retry():
    job = jobs.enqueue(functions.fail, "boom")

    [outcome] = drain()

    job = fresh(job)
    assert outcome.kind == Kind.RETRY
    assert (job.state, job.retries, job.error_type) == (State.SCHEDULED, 1, "ValueError")
    assert job.reason == "retry 1 of 10 after ValueError: boom"
    delay = (job.run_at - job.state_changed_at).total_seconds()  # by two clocks
    assert 14.9 <= delay <= 15 + 29 + 0.1


def test_the_traceback_begins_at_the_users_function():
    job = jobs.enqueue(functions.fail, "boom")

    drain()

    error = attempt_of(job)["error"]
    first = error["traceback"].splitlines()[1]
    assert (error["type"], error["message"]) == ("ValueError", "boom")
    assert "functions.py" in first
    assert first.endswith("in fail")


def test_an_async_function_that_raises_fails_its_job():
    job = jobs.using(fail_later, max_retries=0).enqueue()

    drain()

    assert fresh(job).state == State.FAILED
    assert "in fail_later" in attempt_of(job)["error"]["traceback"]


@pytest.mark.parametrize("path", ["undercover", "async_call"])
def test_an_async_function_that_does_not_look_like_one_is_awaited(path):
    job = jobs.enqueue(f"{__name__}.{path}", 1)

    drain()

    assert (fresh(job).state, fresh(job).result) == (State.SUCCEEDED, 2)


@pytest.mark.django_db(transaction=True)  # an interruption costs the connection
def test_an_async_function_that_does_not_look_like_one_has_its_time_limit():
    job = jobs.using(undercover_busy, timeout=0.05, max_retries=0).enqueue(5)
    [claimed] = transitions.claim("default", 1, server="s", token="f" * 32, idle=1)

    outcome = execute(claimed, "w", Desk())

    assert (outcome.id, outcome.kind) == (job.id, Kind.FAILED)
    assert outcome.reason == "JobTimeout: it ran longer than its 0.05 s"


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_generator_that_is_returned_fails_the_job(kind):
    job = jobs.using(hand_out, max_retries=0).enqueue(kind)

    drain()

    assert fresh(job).state == State.FAILED
    assert fresh(job).reason == (
        "TypeError: it returned a generator, of which nothing ran; "
        "make the job a function that loops over it."
    )


def test_a_generator_from_an_async_function_fails_the_job():
    job = jobs.using(hand_out_generator, max_retries=0).enqueue()

    drain()

    assert fresh(job).state == State.FAILED


@pytest.mark.parametrize("function", [generate, generate_later, f"{__name__}.generate"])
def test_a_generator_function_is_refused(function):
    with pytest.raises(jobs.InvalidFunction, match="is a generator: .* loops over it"):
        jobs.enqueue(function)


def test_a_job_fails_when_its_retries_are_used_up():
    job = jobs.using(functions.fail, max_retries=1, retry_delays=[60]).enqueue()

    drain()
    drain(as_of=after(minutes=2))

    job = fresh(job)
    assert (job.state, job.attempt, job.reason) == (State.FAILED, 2, "ValueError: boom")


def test_retries_of_the_future_stay_there():
    jobs.enqueue(functions.fail)

    assert len(drain()) == 1
    assert drain() == []


def test_an_error_that_is_given_up_on_deletes_the_job_that_wants_it_so():
    job = functions.picky.enqueue("key")

    [outcome] = drain()

    assert outcome.kind == Kind.DELETED
    assert fresh(job).state == State.DELETED


def test_a_system_exit_is_a_failure_of_the_job():
    job = jobs.using(functions.leave, max_retries=0).enqueue()
    other = jobs.enqueue(functions.add, 1)

    drain()

    assert (fresh(job).state, fresh(job).error_type) == (State.FAILED, "SystemExit")
    assert fresh(other).state == State.SUCCEEDED


def test_a_retry_policy_that_fails_fails_its_job():
    job = badly_declared.enqueue()

    drain()

    assert fresh(job).state == State.FAILED
    assert "its retry policy raised ValueError" in fresh(job).reason


def test_an_option_of_a_newer_version_is_ignored_with_a_warning(caplog):
    job = jobs.using(functions.fail, max_retries=0).enqueue()
    Job.objects.update(options={"max_retries": 0, "colour": "red", "timeout": "never"})

    drain()

    assert (fresh(job).state, fresh(job).error_type) == (State.FAILED, "ValueError")
    for name in ("colour", "timeout"):
        assert f"#{job.id}: its option '{name}' means nothing to this version" in caplog.text


@pytest.mark.parametrize("options", ["{", "[]", "7"])
def test_options_that_can_t_be_read_fail_the_job(options):
    job = jobs.using(functions.nothing).enqueue()
    [claimed] = transitions.claim("default", 1, server="s", token="f" * 32, idle=1)

    outcome = execute(claimed._replace(options=options), "w")

    assert (outcome.id, outcome.kind) == (job.id, Kind.RETRY)


def test_a_result_that_raises_when_it_is_looked_at_is_kept_as_text():
    job = jobs.enqueue(rotten)

    drain()

    assert (fresh(job).state, fresh(job).result) == (State.SUCCEEDED, "{'a': 1}")


def test_an_error_that_raises_when_it_is_described_fails_the_job():
    job = jobs.using(raise_rotten, max_retries=0).enqueue()

    drain()

    assert (fresh(job).state, fresh(job).attempt) == (State.FAILED, 1)


def test_nothing_gets_out_of_a_run(monkeypatch, caplog):
    jobs.enqueue(functions.fail)
    monkeypatch.setattr(Run, "failed", lambda *_: functions.leave())

    [outcome] = drain()

    assert (outcome.kind, outcome.error_type) == (Kind.FAILED, "WorkerError")
    assert "could not be run" in caplog.text


def test_the_same_failure_has_the_same_key():
    first, second = jobs.enqueue(functions.fail, "a"), jobs.enqueue(functions.fail, "b")

    drain()

    assert fresh(first).error_key == fresh(second).error_key != ""


def test_an_error_with_bad_text_is_kept():
    job = jobs.using(functions.fail, max_retries=0).enqueue("a\x00b")

    drain()

    assert fresh(job).reason == "ValueError: a\\x00b"


def test_arguments_that_fit_no_more_fail_the_job():
    job = jobs.using(functions.add, max_retries=0).enqueue(1)
    Job.objects.update(func="tests.functions.leave")

    drain()

    assert (fresh(job).state, fresh(job).error_type) == (State.FAILED, "TypeError")


# Missing functions


def test_a_missing_function_puts_its_job_off_uncounted():
    job = jobs.enqueue(functions.nothing)
    lose_function(job)

    [outcome] = drain()

    job = fresh(job)
    assert outcome.kind == Kind.MISSING
    assert (job.state, job.attempt, job.retries) == (State.SCHEDULED, 0, 0)
    assert (job.run_at - job.state_changed_at).total_seconds() == pytest.approx(30, abs=0.1)
    assert "tests.functions.gone can't be imported" in job.reason


def test_a_missing_function_fails_its_job_after_a_while(settings):
    settings.JOBS = {"MISSING_FUNCTION_FAIL_SECONDS": 60}
    job = jobs.enqueue(functions.nothing)
    lose_function(job)
    drain()
    Job.objects.update(missing_since=timezone.now() - timedelta(seconds=61))

    drain(as_of=after(minutes=1))

    assert fresh(job).state == State.FAILED
    assert fresh(job).reason.endswith("for 1 minutes")


def test_a_missing_function_is_remembered_from_the_first_time():
    job = jobs.enqueue(functions.nothing)
    lose_function(job)
    drain()
    since = fresh(job).missing_since

    drain(as_of=after(seconds=31))

    assert abs(fresh(job).missing_since - since) < timedelta(milliseconds=1)


def test_a_missing_function_does_not_hold_up_the_rest():
    lose_function(jobs.enqueue(functions.nothing))
    other = jobs.enqueue(functions.add, 1)

    drain()

    assert fresh(other).state == State.SUCCEEDED


def test_a_function_that_came_back_runs():
    job = jobs.enqueue(functions.nothing, 5)
    lose_function(job)
    drain()
    Job.objects.update(func="tests.functions.nothing")

    drain(as_of=after(minutes=1))

    job = fresh(job)
    assert (job.result, job.attempt, job.missing_since) == (5, 1, None)


def test_a_module_that_exits_at_import_is_a_missing_function(tmp_path, monkeypatch):
    tmp_path.joinpath("exits_at_import.py").write_text("raise SystemExit(3)\n")
    monkeypatch.syspath_prepend(tmp_path)
    job = jobs.enqueue(functions.nothing)
    Job.objects.update(func="exits_at_import.work")

    [outcome] = drain()

    assert outcome.kind == Kind.MISSING
    assert fresh(job).state == State.SCHEDULED
    assert "exits_at_import" not in sys.modules


# Draining


def test_drain_runs_what_the_jobs_enqueue():
    jobs.enqueue(chain, 3)

    assert len(drain()) == 4


def test_drain_ends_a_job_that_enqueues_itself_for_ever():
    jobs.enqueue(endless)

    with pytest.raises(RuntimeError, match="drain\\(\\) ran 5 jobs"):
        drain(limit=5)


def test_drain_runs_only_the_queues_it_is_told_to():
    other = jobs.using(functions.nothing, queue="other").enqueue()
    mine = jobs.enqueue(functions.nothing)

    drain(queues=["default"])

    assert (fresh(mine).state, fresh(other).state) == (State.SUCCEEDED, State.ENQUEUED)


def test_drain_leaves_what_is_not_due():
    job = jobs.schedule(functions.nothing, run_after=timedelta(hours=1))

    assert drain() == []
    assert fresh(job).state == State.SCHEDULED


def test_drain_as_of_runs_what_is_due_by_then():
    job = jobs.schedule(functions.nothing, run_after=timedelta(hours=1))

    drain(as_of=after(hours=2))

    assert fresh(job).state == State.SUCCEEDED


def test_drain_as_of_leaves_retries_that_its_own_runs_put_into_the_future():
    job = jobs.using(functions.fail, max_retries=20, retry_delays=[60]).enqueue()

    outcomes = drain(as_of=after(hours=1))

    assert [outcome.kind for outcome in outcomes] == [Kind.RETRY]
    assert fresh(job).state == State.SCHEDULED


def test_a_keyboard_interrupt_at_a_terminal_gets_through(request):
    # Who is started in the background ignores it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    jobs.enqueue(interrupt)

    with pytest.raises(KeyboardInterrupt):
        drain()
