"""Pausing and resuming queues."""

from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

import jobs
from jobs import health, transitions
from jobs.engine.queues import Queues
from jobs.models import Job, Queue
from jobs.queues import has_due
from jobs.states import State
from jobs.testing import drain
from tests import functions

pytestmark = pytest.mark.django_db


@pytest.fixture
def mail():
    return Queue.objects.create(name="mail")


def test_a_pause_says_who_and_why(mail):
    assert jobs.pause_queue("mail", by="ann", reason="mail server moves")

    mail.refresh_from_db()
    assert mail.paused_at is not None
    assert (mail.paused_by, mail.paused_reason) == ("ann", "mail server moves")


def test_a_second_pause_does_not_take_the_first_one_s_name(mail):
    jobs.pause_queue("mail", by="ann")

    assert not jobs.pause_queue("mail", by="bob")
    mail.refresh_from_db()
    assert mail.paused_by == "ann"


def test_a_resumed_queue_is_as_before_the_pause(mail):
    jobs.pause_queue("mail", by="ann", reason="why")

    assert jobs.resume_queue("mail")
    mail.refresh_from_db()
    assert (mail.paused_at, mail.paused_by, mail.paused_reason) == (None, "", "")
    assert not jobs.resume_queue("mail")


def test_the_async_twins_do_the_same(mail):
    assert async_to_sync(jobs.apause_queue)("mail", by="ann", reason="why")
    mail.refresh_from_db()
    assert (mail.paused_by, mail.paused_reason) == ("ann", "why")

    assert async_to_sync(jobs.aresume_queue)("mail")
    mail.refresh_from_db()
    assert mail.paused_at is None


@pytest.mark.parametrize("verb", [jobs.pause_queue, jobs.resume_queue])
def test_an_unknown_queue_is_refused_with_those_like_it(mail, verb):
    with pytest.raises(jobs.UnknownQueue, match=r"no queue 'male'; did you mean 'mail'\?"):
        verb("male")
    assert not Queue.objects.filter(name="male").exists()


def test_a_queue_like_no_other_gets_the_list(mail):
    with pytest.raises(jobs.UnknownQueue, match="known: default, mail"):
        jobs.pause_queue("zzz")


def test_a_queue_of_the_settings_can_be_paused_before_its_first_job(settings):
    settings.JOBS = {"QUEUES": ["nightly"]}

    assert jobs.pause_queue("nightly")


def test_a_queue_whose_row_was_lost_can_be_paused():
    jobs.using(functions.nothing, queue="lost").enqueue()
    Queue.objects.filter(name="lost").delete()

    assert jobs.pause_queue("lost")


@pytest.mark.parametrize(("field", "limit"), [("by", 150), ("reason", 255)])
def test_a_text_that_is_too_long_is_refused(mail, field, limit):
    with pytest.raises(jobs.InvalidOption, match=f"{field} has {limit + 1} characters"):
        jobs.pause_queue("mail", **{field: "x" * (limit + 1)})


def test_a_pause_is_part_of_the_caller_s_transaction(mail):
    with transaction.atomic():
        jobs.pause_queue("mail")
        transaction.set_rollback(True)

    mail.refresh_from_db()
    assert mail.paused_at is None


def test_enqueueing_to_a_paused_queue_works_and_drain_leaves_it_alone(mail):
    jobs.pause_queue("mail")
    functions.declared.enqueue(1)
    jobs.enqueue(functions.nothing)

    assert len(drain()) == 1
    assert len(drain(queues=["mail"])) == 0
    jobs.resume_queue("mail")
    assert len(drain()) == 1
    assert set(Job.objects.values_list("state", flat=True)) == {State.SUCCEEDED}


def test_a_delayed_job_of_a_paused_queue_becomes_due_and_waits(mail):
    jobs.pause_queue("mail")
    job = functions.declared.using(run_after=timedelta(hours=1)).enqueue()

    drain(as_of=job.run_at)

    job.refresh_from_db()
    assert job.state == State.ENQUEUED


# What a dispatcher knows


def test_a_server_without_queues_of_its_own_takes_all_in_turn_but_the_paused():
    Queue.objects.bulk_create(Queue(name=name) for name in "abc")
    jobs.pause_queue("b")
    queues = Queues(None)

    assert queues.read()
    assert sorted([queues.in_turn(), queues.in_turn(), queues.in_turn()])[0] == ["a", "c"]
    assert set(map(tuple, [queues.in_turn() for _ in range(3)])) == {("a", "c"), ("c", "a")}


def test_a_server_with_queues_of_its_own_keeps_their_order_and_sees_pauses():
    Queue.objects.bulk_create(Queue(name=name) for name in "abc")
    queues = Queues(["c", "b", "a"])
    queues.read()
    assert queues.in_turn() == ["c", "b", "a"]

    jobs.pause_queue("b")

    assert queues.read()
    assert queues.in_turn() == ["c", "a"]
    assert not queues.read(), "nothing new"


def test_the_list_is_read_in_one_statement_however_many_queues():
    Queue.objects.bulk_create(Queue(name=f"q{i}") for i in range(50))

    with CaptureQueriesContext(
        connection,
    ) as queries:
        Queues(None).read()

    assert len(queries) == 1


def test_a_hint_at_an_unknown_queue_makes_the_list_old_sooner(mail):
    queues = Queues(None)
    queues.read()
    queues.hint(frozenset({"mail"}))
    assert queues.hinted_at == float("inf")
    before = queues.due_at

    queues.hint(frozenset({"new"}))

    assert queues.due_at == queues.hinted_at < before


# Names that are the same for some databases

ignores_case = pytest.mark.skipif(
    connection.vendor != "mysql", reason="for this database `Mail` and `mail` are two queues"
)


@ignores_case
def test_a_pause_holds_however_server_and_job_spell_the_name():
    jobs.using(functions.nothing, queue="Mail").enqueue()
    Queue.objects.create(name="Mail")
    jobs.using(functions.nothing, queue="MAIL").enqueue()
    queues = Queues(["mail", "other"])
    queues.read()
    for queue in queues.in_turn():
        claims = transitions.claim(queue, 9, server="s", token="a" * 32, idle=9)
        queues.claimed(queue, claims)
    assert not any(map(queues.is_paused, ("Mail", "MAIL", "mail")))

    assert jobs.pause_queue("maiL")

    queues.read()
    assert queues.in_turn() == ["other"]
    assert all(map(queues.is_paused, ("Mail", "MAIL", "mail")))
    jobs.resume_queue("mail")
    queues.read()
    assert queues.in_turn() == ["mail", "other"]


@ignores_case
def test_what_waits_in_a_queue_paused_under_another_spelling_is_not_due(mail):
    jobs.using(functions.nothing, queue="Mail").enqueue()
    jobs.pause_queue("mail")

    assert not has_due(None)
    assert not has_due(["MAIL"])
    assert drain() == drain(queues=["MAIL"]) == []
    assert health.oldest_due_seconds(health.database_now() + timedelta(hours=1)) is None


@pytest.mark.skipif(connection.vendor == "mysql", reason="for it they are the same")
def test_elsewhere_a_pause_is_for_the_name_as_it_is_spelled(mail):
    jobs.using(functions.nothing, queue="Mail").enqueue()
    jobs.pause_queue("mail")
    queues = Queues(["Mail", "mail"])
    queues.read()

    assert queues.in_turn() == ["Mail"]
    assert has_due(["Mail"])
