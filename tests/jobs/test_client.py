"""Creating jobs and steering them through the public API."""

import io
import re
from datetime import UTC, date, datetime, timedelta
from datetime import timezone as tz
from decimal import Decimal
from importlib import resources
from pathlib import Path
from zoneinfo import TZPATH, ZoneInfo

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

import jobs
from jobs import conf, transitions, wakeup
from jobs.models import Job, Queue
from jobs.outcomes import Kind, Outcome
from jobs.states import State
from jobs.testing import drain
from tests import functions

TOKEN = "a" * 32


def takes_func(func):
    return func


class Callable:
    def method(self):
        return None

    __hash__ = None

    def __call__(self):
        return None


def run_of(job):
    """Claim `job` and return its outcome as a success."""
    [claimed] = transitions.claim(job.queue, 1, server="s", token=TOKEN, idle=1)
    assert claimed.id == job.pk
    return Outcome(job.pk, TOKEN, Kind.SUCCEEDED, "", "{}", 0.0)


# Enqueueing


@pytest.mark.django_db
def test_an_enqueued_job_holds_its_call_and_waits():
    job = jobs.enqueue(functions.add, 1, b=2, c=3)

    job = Job.objects.get(pk=job.pk)
    assert (job.func, job.args, job.kwargs) == ("tests.functions.add", [1], {"b": 2, "c": 3})
    assert (job.state, job.queue, job.priority) == (State.ENQUEUED, "default", 0)


@pytest.mark.django_db
def test_the_returned_job_already_has_args_and_kwargs():
    job = jobs.enqueue(functions.add, 1, b=2)

    assert (job.args, job.kwargs) == ([1], {"b": 2})


@pytest.mark.django_db
def test_a_function_may_be_given_by_its_dotted_path():
    jobs.enqueue("tests.functions.add", 1)

    [outcome] = drain()
    assert outcome.kind == Kind.SUCCEEDED


@pytest.mark.django_db
def test_the_decorators_options_are_used():
    job = functions.declared.enqueue(1)

    assert (job.queue, job.priority, job.options) == ("mail", 5, {})


@pytest.mark.django_db
def test_options_of_the_call_win_over_the_decorators():
    job = functions.declared.using(queue="urgent", max_retries=9).enqueue(1)

    assert (job.queue, job.priority, job.options) == ("urgent", 5, {"max_retries": 9})


@pytest.mark.django_db
def test_using_twice_keeps_what_the_second_does_not_say():
    job = jobs.using(functions.add, queue="a", priority=1).using(queue="b").enqueue(1)

    assert (job.queue, job.priority) == ("b", 1)


@pytest.mark.django_db
def test_schedule_with_a_timedelta_counts_from_now():
    before = timezone.now()

    job = jobs.schedule(functions.add, 1, run_after=timedelta(hours=1))

    assert job.state == State.SCHEDULED
    assert before <= job.run_at - timedelta(hours=1) <= timezone.now()


@pytest.mark.django_db
def test_schedule_with_a_datetime_is_due_then():
    at = datetime(2050, 1, 1, tzinfo=UTC)

    job = jobs.schedule(functions.add, 1, run_after=at)

    assert (Job.objects.get(pk=job.pk).run_at, job.state) == (at, State.SCHEDULED)


@pytest.mark.django_db
def test_schedule_for_the_past_is_enqueued_at_once():
    job = jobs.schedule(functions.add, 1, run_after=timedelta(seconds=-1))

    assert job.state == State.ENQUEUED


@pytest.mark.django_db
def test_enqueue_many_takes_tuples_and_dicts():
    count = jobs.enqueue_many(functions.add, [(1,), {"a": 2}])

    found = [(job.args, job.kwargs) for job in Job.objects.order_by("id")]
    assert (count, found) == (2, [([1], {}), ([], {"a": 2})])


@pytest.mark.django_db
def test_enqueue_many_reads_a_generator_of_more_than_one_chunk():
    count = jobs.enqueue_many(functions.nothing, ((n,) for n in range(1001)))

    assert (count, Job.objects.count()) == (1001, 1001)


@pytest.mark.django_db
def test_enqueue_many_sends_no_more_text_at_once_than_a_database_takes():
    """400 times 45 kB are more than MySQL's max_allowed_packet of 16 MB."""
    with CaptureQueriesContext(connection) as captured:
        count = jobs.enqueue_many(functions.nothing, (("x" * 45_000,) for _ in range(400)))

    assert count == Job.objects.count() == 400
    assert max(len(query["sql"]) for query in captured) < 1_100_000


@pytest.mark.django_db
def test_enqueue_many_of_nothing_is_nothing():
    assert (jobs.enqueue_many(functions.nothing, []), Job.objects.count()) == (0, 0)


@pytest.mark.django_db(transaction=True)
def test_enqueue_many_is_all_or_none():
    calls = [*((n,) for n in range(600)), (object(),)]

    with pytest.raises(jobs.InvalidArguments):
        jobs.enqueue_many(functions.nothing, calls)

    assert Job.objects.count() == 0


@pytest.mark.django_db
@pytest.mark.parametrize("call", [1, "ab", None])
def test_enqueue_many_refuses_what_is_no_call(call):
    with pytest.raises(jobs.InvalidArguments, match=r"tests\.functions\.nothing.*is no call"):
        jobs.enqueue_many(functions.nothing, [(1,), call])

    assert Job.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_aenqueue_enqueues_from_async_code():
    job = async_to_sync(jobs.aenqueue)(functions.add, 1, b=2)

    assert Job.objects.get(pk=job.pk).kwargs == {"b": 2}


@pytest.mark.django_db(transaction=True)
def test_a_decorated_function_is_enqueued_from_async_code():
    job = async_to_sync(functions.declared.aenqueue)(1)

    assert Job.objects.get(pk=job.pk).queue == "mail"


@pytest.mark.django_db
def test_a_job_may_have_an_argument_named_func():
    job = jobs.enqueue(takes_func, func=1)

    assert job.kwargs == {"func": 1}


# Transactions


@pytest.mark.django_db(transaction=True)
def test_a_rolled_back_transaction_has_no_job():
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        jobs.enqueue(functions.add, 1)
        raise ZeroDivisionError

    assert (Job.objects.count(), Queue.objects.count()) == (0, 0)


@pytest.mark.django_db(transaction=True)
def test_a_committed_transaction_has_its_job():
    with transaction.atomic():
        jobs.enqueue(functions.add, 1)

    assert Job.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_first_use_of_a_queue_makes_its_row():
    jobs.using(functions.add, queue="fresh").enqueue(1)

    assert list(Queue.objects.values_list("name", flat=True)) == ["fresh"]


@pytest.mark.django_db(transaction=True)
def test_many_jobs_on_a_new_queue_look_for_its_row_once():
    with CaptureQueriesContext(connection) as captured, transaction.atomic():
        for number in range(5):
            jobs.enqueue(functions.nothing, number)

    looks = [q for q in captured if "SELECT" in q["sql"] and "jobs_queue" in q["sql"]]
    assert len(looks) == 1


@pytest.mark.django_db
def test_enqueue_in_a_transaction_is_one_statement(django_assert_num_queries):
    jobs.enqueue(functions.add, 1)
    wakeup._known_queues.add(("default", "default"))

    with django_assert_num_queries(1):
        jobs.enqueue(functions.add, 1)


@pytest.mark.django_db(transaction=True)
def test_after_the_commit_there_is_at_most_one_notify():
    jobs.enqueue(functions.add, 1)
    wakeup._last_notify.clear()

    with CaptureQueriesContext(connection) as captured, transaction.atomic():
        jobs.enqueue(functions.add, 1)

    statements = [q["sql"] for q in captured if q["sql"].split()[0] in ("INSERT", "SELECT")]
    kinds = [sql.split()[0] for sql in statements]
    assert kinds == (["INSERT", "SELECT"] if connection.vendor == "postgresql" else ["INSERT"])
    assert all("pg_notify" in sql for sql in statements[1:])


@pytest.mark.django_db(transaction=True)
def test_notify_can_be_switched_off(settings):
    settings.JOBS = {"NOTIFY": False}
    jobs.enqueue(functions.add, 1)

    with CaptureQueriesContext(connection) as captured:
        jobs.enqueue(functions.add, 1)

    assert not any("pg_notify" in query["sql"] for query in captured)


# Refusals: nothing is written


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path", ["tests.functions.gone", "no.such.module", "", "tests.functions.__name__", "x" * 300]
)
def test_a_path_that_leads_to_no_function_is_refused(path):
    with pytest.raises(jobs.InvalidFunction) as caught:
        jobs.enqueue(path)

    assert path[:50] in str(caught.value)
    assert Job.objects.count() == 0


@pytest.mark.django_db
def test_a_lambda_is_refused():
    with pytest.raises(jobs.InvalidFunction, match="<lambda>.*top level"):
        jobs.enqueue(lambda: None)

    assert Job.objects.count() == 0


@pytest.mark.django_db
def test_a_nested_function_is_refused():
    def nested():
        return None

    with pytest.raises(jobs.InvalidFunction, match="nested.*top level"):
        jobs.enqueue(nested)

    assert Job.objects.count() == 0


@pytest.mark.django_db
def test_a_bound_method_is_refused():
    with pytest.raises(jobs.InvalidFunction, match="method"):
        jobs.enqueue(Callable().method)

    assert Job.objects.count() == 0


@pytest.mark.django_db
def test_an_object_that_can_be_called_but_not_imported_is_refused():
    with pytest.raises(jobs.InvalidFunction):
        jobs.enqueue(Callable())

    assert Job.objects.count() == 0


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("args", "kwargs", "named"),
    [
        ((), {}, "'a'"),
        ((1, 2, 3), {}, "too many"),
        ((1,), {"d": 1}, "'d'"),
        ((1,), {"a": 1}, "'a'"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(args, kwargs, named):
    with pytest.raises(jobs.InvalidArguments) as caught:
        jobs.enqueue(functions.add, *args, **kwargs)

    assert "tests.functions.add" in str(caught.value)
    assert named in str(caught.value)
    assert Job.objects.count() == 0


def circular():
    value = []
    value.append(value)
    return value


NOT_JSON = {
    "object": (object(), "'b' is a builtins.object"),
    "datetime": (datetime(2026, 1, 1, tzinfo=UTC), r".isoformat()"),
    "date": (date(2026, 1, 1), r".isoformat()"),
    "timedelta": (timedelta(1), ".total_seconds()"),
    "decimal": (Decimal(1), "str(value)"),
    "NaN": (float("nan"), "nan"),
    "infinity": (float("inf"), "inf"),
    "int keys": ({1: 2}, "str(key)"),
    "model instance": (Queue(name="q"), "primary key"),
    "set": ({1}, "pass a list"),
    "bytes": (b"x", "base64"),
    "half surrogate": ("\ud800", "not Unicode"),
    "nested": ([{"x": {1}}], "b[0]['x']"),
    "circular": (circular(), "'b"),
    "huge int": (10**5000, "'b'"),
}


@pytest.mark.django_db
@pytest.mark.parametrize(("value", "named"), NOT_JSON.values(), ids=NOT_JSON)
def test_an_argument_that_is_not_json_is_refused_by_name(value, named):
    with pytest.raises(jobs.InvalidArguments) as caught:
        jobs.enqueue(functions.add, 1, value)

    message = str(caught.value)
    assert "tests.functions.add: argument" in message
    assert "'b" in message or named.startswith("b[")
    assert named in message
    assert Job.objects.count() == 0


@pytest.mark.django_db
def test_a_keyword_argument_that_is_not_json_is_refused_by_name():
    with pytest.raises(jobs.InvalidArguments, match=r"tests\.functions\.add: argument 'c' is"):
        jobs.enqueue(functions.add, 1, c={1})

    assert Job.objects.count() == 0


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"que": "x"}, "unknown option 'que'; known: queue"),
        ({"queue": ""}, "queue=''"),
        ({"queue": "a,b"}, "comma"),
        ({"queue": "x" * 101}, "100 characters"),
        ({"priority": 101}, "priority=101"),
        ({"priority": True}, "priority=True"),
        ({"run_after": datetime(2050, 1, 1)}, "must be aware"),
        ({"run_after": 5}, "run_after=5"),
        ({"max_retries": -1}, "max_retries=-1"),
        ({"retry_delays": []}, "retry_delays=[]"),
        ({"retry_delays": [-1]}, "-1"),
        ({"retry_delays": lambda n: n}, "belongs to the decorator"),
        ({"retry_on": ValueError}, "belongs to the decorator"),
        ({"when_exhausted": "explode"}, "when_exhausted='explode'"),
        ({"expires_after": -1}, "expires_after=-1"),
        ({"expires_after": float("nan")}, "expires_after=nan"),
        ({"expires_after": float("inf")}, "expires_after=inf"),
        ({"expires_after": timedelta.max}, "expires_after="),
        ({"run_after": timedelta.max}, "run_after="),
        ({"run_after": timedelta.min}, "run_after="),
        (
            {"run_after": datetime.max.replace(tzinfo=tz(timedelta(hours=-5)))},
            "must be at most 10000000000 seconds away",
        ),
        ({"queue": "a\x00b"}, "queue='a\\x00b' must not hold control characters"),
        ({"queue": "a\nb"}, "control characters"),
        ({"queue": "a\ud800"}, "half surrogates"),
        ({"retry_delays": [10**400]}, "must hold at most 10000000000 seconds each"),
        ({"retry_delays": [10**5000]}, "must hold at most 10000000000 seconds each"),
        ({"retry_delays": [-(10**5000)]}, "must hold seconds from 0 up"),
        ({"queue": "x" * 10_000}, "x… must have at most 100 characters"),
    ],
    # Without addresses, or two processes would not collect the same tests.
    ids=lambda value: (
        re.sub(" at 0x.*", "", conf.shown(value)[:60]).encode("ascii", "replace").decode()
    ),
)
def test_a_bad_option_is_refused_by_name(options, named):
    with pytest.raises(jobs.InvalidOption) as caught:
        jobs.using(functions.add, **options)

    assert named in str(caught.value)


@pytest.mark.django_db
def test_a_naive_datetime_is_refused_by_schedule():
    with pytest.raises(jobs.InvalidOption, match="must be aware"):
        jobs.schedule(functions.add, 1, run_after=datetime(2050, 1, 1))

    assert Job.objects.count() == 0


@pytest.mark.django_db
def test_schedule_without_a_moment_is_refused():
    with pytest.raises(jobs.InvalidOption, match="run_after"):
        jobs.schedule(functions.add, 1, run_after=None)

    assert Job.objects.count() == 0


def test_run_after_is_refused_at_the_decorator():
    with pytest.raises(jobs.InvalidOption, match="not for the decorator"):
        jobs.job(run_after=timedelta(1))


# Surroundings


@pytest.mark.django_db
def test_a_moment_before_all_times_is_due_at_once():
    past = datetime.min.replace(tzinfo=tz(timedelta(hours=5)))

    assert jobs.schedule(functions.nothing, run_after=past).state == State.ENQUEUED


@pytest.mark.django_db
def test_a_time_zone_without_a_name_is_not_kept():
    with timezone.override(ZoneInfo.from_file(io.BytesIO(tz_data("Europe/Berlin")))):
        job = jobs.enqueue(functions.nothing)

    assert job.time_zone == ""


def tz_data(name):
    for folder in TZPATH:
        if (file := Path(folder, name)).exists():
            return file.read_bytes()
    return resources.files("tzdata.zoneinfo").joinpath(*name.split("/")).read_bytes()


@pytest.mark.django_db(transaction=True)
def test_who_commits_by_hand_can_enqueue_and_steer():
    transaction.set_autocommit(False)
    try:
        job = jobs.enqueue(functions.nothing)
        child = jobs.continue_with(job, functions.nothing)
        jobs.enqueue_many(functions.nothing, [(1,)])
        assert jobs.delete(child)
        transaction.rollback()
        assert not Job.objects.exists()
        job = jobs.enqueue(functions.nothing)
        transaction.commit()
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)

    assert Job.objects.get() == job


@pytest.mark.django_db
def test_language_and_time_zone_are_those_of_the_enqueue():
    with translation.override("de"), timezone.override(ZoneInfo("Asia/Tokyo")):
        job = jobs.enqueue(functions.surroundings)

    drain()

    job.refresh_from_db()
    assert job.result == [job.pk, 1, "default", "de", "Asia/Tokyo"]


@pytest.mark.django_db
def test_draining_leaves_language_and_time_zone_as_they_were():
    jobs.enqueue(functions.surroundings)

    with translation.override("de"), timezone.override(ZoneInfo("Asia/Tokyo")):
        drain()
        after = translation.get_language(), timezone.get_current_timezone_name()

    assert after == ("de", "Asia/Tokyo")
    assert jobs.current() is None


# Steering


@pytest.mark.django_db
def test_delete_moves_a_waiting_job_to_deleted():
    job = jobs.enqueue(functions.add, 1)

    assert jobs.delete(job)

    assert job.state == State.DELETED
    assert job.expires_at > job.finished_at
    assert drain() == []


@pytest.mark.django_db
def test_delete_takes_an_id():
    job = jobs.enqueue(functions.add, 1)

    assert jobs.delete(job.pk)

    assert Job.objects.get(pk=job.pk).state == State.DELETED


@pytest.mark.django_db
def test_delete_of_a_deleted_job_is_illegal():
    job = jobs.enqueue(functions.add, 1)
    jobs.delete(job)

    with pytest.raises(jobs.IllegalTransition, match=f"#{job.pk} is deleted"):
        jobs.delete(job)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "move",
    [jobs.requeue, jobs.delete, lambda pk: jobs.reschedule(pk, run_after=timedelta(1))],
    ids=["requeue", "delete", "reschedule"],
)
def test_steering_a_job_that_does_not_exist_is_illegal(move):
    with pytest.raises(jobs.IllegalTransition, match="#12345: there is no such job"):
        move(12345)


@pytest.mark.django_db
def test_requeue_gives_a_failed_job_all_its_retries_again():
    job = functions.picky.enqueue("value")
    later = timezone.now()
    for _ in range(4):
        later += timedelta(days=1)
        drain(as_of=later)
    Job.objects.filter(pk=job.pk).update(crashes=2, recovered=True)

    assert jobs.requeue(job)

    assert (job.state, job.retries, job.crashes, job.recovered) == (State.ENQUEUED, 0, 0, False)
    assert (job.finished_at, job.expires_at) == (None, None)


@pytest.mark.django_db
def test_requeue_of_a_waiting_job_is_illegal():
    job = jobs.enqueue(functions.add, 1)

    with pytest.raises(jobs.IllegalTransition, match=f"#{job.pk} is enqueued"):
        jobs.requeue(job)


@pytest.mark.django_db
def test_requeue_of_a_running_job_is_illegal():
    job = jobs.enqueue(functions.add, 1)
    run_of(job)

    with pytest.raises(jobs.IllegalTransition, match=f"#{job.pk} is processing"):
        jobs.requeue(job)


@pytest.mark.django_db
def test_reschedule_of_a_running_job_is_illegal():
    job = jobs.enqueue(functions.add, 1)
    run_of(job)

    with pytest.raises(jobs.IllegalTransition, match=f"#{job.pk} is processing"):
        jobs.reschedule(job, run_after=timedelta(1))


@pytest.mark.django_db
def test_reschedule_puts_a_job_off():
    job = jobs.enqueue(functions.add, 1)
    at = datetime(2050, 1, 1, tzinfo=UTC)

    assert jobs.reschedule(job, run_after=at)

    assert (job.state, job.run_at) == (State.SCHEDULED, at)


@pytest.mark.django_db
def test_a_scheduled_job_can_be_rescheduled():
    job = jobs.schedule(functions.add, 1, run_after=timedelta(1))
    at = datetime(2050, 1, 1, tzinfo=UTC)

    assert jobs.reschedule(job, run_after=at)

    assert job.run_at == at


@pytest.mark.django_db
def test_reschedule_without_a_moment_is_refused():
    job = jobs.enqueue(functions.add, 1)

    with pytest.raises(jobs.InvalidOption, match="run_after=None"):
        jobs.reschedule(job, run_after=None)


@pytest.mark.django_db
def test_a_job_deleted_while_it_runs_is_still_stopping_until_its_outcome_comes():
    job = jobs.enqueue(functions.add, 1)
    outcome = run_of(job)
    jobs.delete(job)
    assert job.is_stopping
    with pytest.raises(jobs.StillStopping, match=f"#{job.pk}"):
        jobs.requeue(job)

    transitions.record([outcome])

    assert jobs.requeue(job)
    assert job.state == State.ENQUEUED
