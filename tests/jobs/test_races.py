"""Transactions that lose to another are made again."""

import logging
import threading
from collections.abc import Callable

import pytest
from django.db import Error, OperationalError, connection, transaction

import jobs
from jobs import transitions
from jobs.models import Job
from jobs.races import ATTEMPTS, Raced, is_deadlock, repeat_when_raced
from tests import functions

MYSQL = OperationalError(1213, "Deadlock found when trying to get lock")
SQL_SERVER = Error("40001", "chosen as the deadlock victim")
GONE = OperationalError(2013, "Lost connection to server during query")


def failing(*errors: Exception) -> Callable[[], int]:
    """Return a transaction that meets these errors, one a try, then tells its tries."""
    left, tries = list(errors), []

    @repeat_when_raced
    def transact() -> int:
        tries.append(1)
        if left:
            raise left.pop(0)
        return len(tries)

    return transact


@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_lost_is_made_again() -> None:
    assert failing(Raced(), MYSQL, SQL_SERVER)() == 4


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("error", [Raced(), MYSQL])
def test_it_gives_up_in_the_end(error: Exception) -> None:
    with pytest.raises(type(error)):
        failing(*[error] * ATTEMPTS)()


@pytest.mark.django_db(transaction=True)
def test_other_errors_of_the_database_are_not_repeated() -> None:
    with pytest.raises(OperationalError, match="Lost connection"):
        failing(GONE)()


@pytest.mark.django_db
def test_within_the_callers_transaction_a_deadlock_is_the_callers() -> None:
    with pytest.raises(OperationalError):
        failing(MYSQL)()
    assert failing(Raced())() == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer: no deadlock")
def test_a_real_deadlock_reaches_no_caller(caplog: pytest.LogCaptureFixture) -> None:
    """Somebody locks two jobs in the other order; who of the two is the victim is the server's."""
    jobs.enqueue_many(functions.nothing, [(n,) for n in range(2)])
    first, second = Job.objects.order_by("id").values_list("pk", flat=True)
    Job.objects.update(state="succeeded")
    caplog.set_level(logging.DEBUG, "jobs.races")
    done, moved = threading.Event(), []

    def requeue() -> None:
        try:
            moved.append(transitions.requeue([first, second], "by hand"))
        finally:
            connection.close()
            done.set()

    def waits_for_us() -> bool:
        with connection.copy().temporary_connection() as cursor:
            cursor.execute(WAITING[connection.vendor])
            return bool(cursor.fetchone()[0])

    other = threading.Thread(target=requeue)
    met: list[Error] = []
    try:
        with transaction.atomic():
            # Much is written here, so MariaDB rolls back the other one.
            Job.objects.filter(pk=second).update(reason="held")
            other.start()
            while not waits_for_us() and not done.wait(0.15):
                pass  # MariaDB shows nothing new to who asks more often than each 0.1 s
            Job.objects.filter(pk=first).update(reason="held")
    except Error as error:
        met.append(error)
    assert done.wait(20)
    other.join()
    assert [m.ids for m in moved] == [[first, second]], "whoever was the victim"
    assert all(is_deadlock(error) for error in met)
    assert met or "again after a deadlock" in caplog.text


WAITING = {
    "postgresql": "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'",
    "mysql": "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'",
}


@pytest.mark.django_db(transaction=True)
def test_what_a_caller_who_commits_by_hand_has_written_is_not_lost() -> None:
    transaction.set_autocommit(False)
    try:
        with pytest.raises(OperationalError):
            failing(MYSQL)()
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
