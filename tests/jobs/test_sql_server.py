"""SQL Server's rules, on every query of the hot paths. There is no server: see tests/sql_server.py.

`pytest -m unit --as-sql-server` judges the queries of all other tests in the same way.
"""

import ast
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.apps import apps
from django.db import (
    DEFAULT_DB_ALIAS,
    Error,
    ProgrammingError,
    connection,
    connections,
    models,
)
from django.db.migrations.loader import MigrationLoader
from django.urls import reverse
from django.utils import timezone

import jobs
from jobs import bulk, continuations, health, occurrences, pruning, queues, transitions
from jobs.engine.database import Outage
from jobs.engine.recorder import Minutes
from jobs.models import Counter, HistoryEntry, Job, RecurringJob, Server
from jobs.models.ids import AmongIds
from jobs.outcomes import Kind, Outcome
from jobs.statistics import count
from jobs.testing import drain
from tests import functions, sql_server
from tests.cluster import until

pytestmark = pytest.mark.django_db

TOKEN = "a" * 32
#: Bytes of an index's key: of the table's own order, of any other index.
CLUSTERED_KEY, KEY = 900, 1_700
#: The same of MySQL and MariaDB, where a character has up to four.
MYSQL_KEY = 3_072


@pytest.fixture
def asked():
    """What SQL Server would have been asked in this test; nothing of it may break a rule."""
    with sql_server.judging(connection) as statements:
        yield statements


def claim(limit=500, token=TOKEN):
    return transitions.claim("default", limit, server="s", token=token, idle=limit)


def test_a_claim_locks_rows_and_passes_over_locked_ones(asked):
    jobs.enqueue_many(functions.add, [(1, n) for n in range(600)])
    asked.clear()

    assert len(claim()) == 500

    [candidates, *_] = asked
    assert candidates.sql.startswith("SELECT TOP 500 ")
    assert "FROM [jobs_job] WITH (ROWLOCK, UPDLOCK, READPAST)" in candidates.sql
    assert candidates.sql.endswith(
        "ORDER BY [jobs_job].[priority] DESC, 13 ASC, 1 ASC"  # run_at, id
    )


def test_a_retry_is_put_off_by_the_server_s_clock_with_its_offset(asked):
    jobs.using(functions.fail, retry_delays=[86_490.5]).enqueue()
    drain()

    [put_off] = [s for s in asked if "[retries] + " in s.sql]
    later = "DATEADD(microsecond, %s, DATEADD(second, %s, DATEADD(day, %s, SYSDATETIMEOFFSET())))"
    assert f"[run_at] = {later}, " in put_off.sql
    first = put_off.sql.partition(later)[0].count("%s")
    assert put_off.params[first : first + 3] == (500_000, 90, 1)


def done(job, kind=Kind.SUCCEEDED, **more):
    return Outcome(job.id, TOKEN, kind, "", "{}", 0.0, **more)


def test_a_thousand_jobs_are_written_claimed_and_recorded_within_what_one_query_may_hold(
    asked, monkeypatch
):
    monkeypatch.setattr(bulk, "_WRITERS", {})  # PostgreSQL's own way is not SQL Server's
    inserted = []

    def note(execute, sql, params, many, context):
        if sql.startswith("INSERT INTO"):
            inserted.append(len(params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        jobs.enqueue_many(functions.add, [(1, n) for n in range(1_000)])
    assert len(inserted) > 2, "not 500 rows of all columns at once"
    assert max(inserted) <= sql_server.PARAMETERS

    claimed = [*claim(), *claim()]
    refused = transitions.record([done(job) for job in claimed])

    assert (len(claimed), refused) == (1_000, [])
    assert Job.objects.filter(state="succeeded").count() == 1_000
    assert HistoryEntry.objects.count() == 2_000
    assert max(len(s.params) for s in asked) <= sql_server.PARAMETERS


def test_counters_are_written_without_an_upsert(asked):
    minute, outcomes = timezone.now(), [Outcome(1, "", Kind.SUCCEEDED, "", "{}", 0.1, waited=0.2)]
    for _ in range(2):
        minutes = Minutes("s")
        minutes.write(minute, count(outcomes))

    assert set(Counter.objects.values_list("name", "value")) == {
        ("succeeded", 2),
        ("wait<=0.2", 2),
        ("run<=0.1", 2),
    }


def test_a_life_in_all_its_turns_breaks_no_rule(asked):
    """Each thing the engine does to rows, in turn, with the outcome it has on any database."""
    parent = jobs.enqueue(functions.add, 1)
    children = [
        jobs.continue_with(parent, functions.add, n, on=on)
        for n, on in enumerate(("succeeded", "failed", "finished"))
    ]
    kinds = [Kind.RETRY, Kind.FAILED, Kind.DELETED, Kind.MISSING]
    others = [jobs.enqueue(functions.add, n) for n in range(9)]
    transitions.record([done(job) for job in claim(1)])
    continuations.settle([parent.pk])
    assert [Job.objects.get(pk=child.pk).state for child in children] == [
        "enqueued",
        "deleted",
        "enqueued",
    ]
    claimed = claim(9)
    assert [job.id for job in claimed] == [job.pk for job in others]
    transitions.record(
        [done(job, kind, delay=1.0) for job, kind in zip(claimed[:4], kinds, strict=True)]
    )
    pairs = [(job.id, TOKEN) for job in claimed[4:]]
    transitions.give_back(pairs[:2], "stopped", started=False)
    transitions.crash(pairs[2:3], "killed")
    Server.objects.create(name="s", host="h", pid=1, beat=1, heartbeat_at=timezone.now())
    assert transitions.give_up("s", 1, "died") == {"recovered": 2, "crashed": 0}
    assert transitions.claim("default", 9, server="t", token="b" * 32, idle=1).skipped == 1
    later = timezone.now() + timedelta(hours=1)
    assert transitions.promote_due(10, later) == ["default"] * 2
    jobs.reschedule(others[0], run_after=timedelta(hours=1))
    jobs.delete(others[0])
    jobs.requeue(others[1])
    continuations.sweep()
    jobs.pause_queue("default")
    assert not queues.has_due(None)
    jobs.resume_queue("default")
    queues.add_missing()
    assert health.report()["enqueued"] > 0
    jobs.recurring("each-minute", functions.add, cron="* * * * *", args=(1,), misfire="all")
    RecurringJob.objects.update(next_run=datetime(2026, 1, 1, tzinfo=UTC))
    assert occurrences.create_due(datetime(2026, 1, 1, 0, 5, tzinfo=UTC)) == 1
    assert Job.objects.filter(recurring_job__isnull=False).count() == 6
    year = timezone.now() + timedelta(days=365)
    assert pruning.prune_jobs(as_of=year).jobs > 0
    Minutes("s").write(timezone.now(), count([done(parent)]))
    assert pruning.roll_up(year)
    assert not pruning.prune_counters(year + timedelta(days=365))

    working = {s.caller.partition(".")[2].rpartition(".")[0] for s in asked}
    layers = "continuations queues health occurrences pruning engine.recorder.Minutes"
    transiting = "transitions.claiming transitions.creating transitions.crashes transitions.rows"
    assert {*layers.split(), *transiting.split()} <= working


def test_the_admin_s_pages_break_no_rule(asked, admin_client):
    jobs.recurring("report", functions.add, cron="0 5 * * *", args=(1,))
    drain()
    jobs.enqueue(functions.add, 1)
    claim()
    transitions.record([done(Job.objects.latest("id"))])
    Server.objects.create(name="s", host="h", pid=1, beat=1, heartbeat_at=timezone.now())
    asked.clear()

    for model in ("job", "server", "queue", "recurringjob"):
        url = reverse(f"admin:jobs_{model}_changelist")
        for query in ("", "?q=1", "?state=failed&q=func", "?p=1"):
            assert admin_client.get(url + query, follow=True).status_code == 200
        for row in apps.get_model("jobs", model).objects.all():
            page = reverse(f"admin:jobs_{model}_change", args=[row.pk])
            assert admin_client.get(page, follow=True).status_code == 200

    assert any("[jobs_historyentry]" in s.sql for s in asked)


# What is no query -----------------------------------------------------------------------------


def test_the_rules_find_what_breaks_them():
    def judged(query):
        with sql_server.compiling() as statements:
            list(query)
        [statement] = statements
        return " ".join(sql_server.problems(statement))

    everything = Job.objects.all()
    assert "a list of 501" in judged(everything.filter(pk__in=range(501)))
    assert "a list of 501" in judged(everything.filter(AmongIds(range(501))))
    two = everything.filter(pk__in=range(99), parent__in=range(99))
    assert "more than one long list" in judged(two)
    assert "arithmetic" in judged(
        everything.filter(run_at__gt=models.functions.Now() - timedelta(seconds=1))
    )
    assert "regular expression" in judged(everything.filter(func__regex="^a"))


@pytest.mark.parametrize("error", [Error("40001"), ProgrammingError("The cursor's connection …")])
def test_what_its_drivers_raise_for_a_deadlock_or_a_lost_connection_is_tried_again(error):
    outage, answers = Outage("test"), iter([error, None])

    def work():
        if (answer := next(answers)) is not None:
            raise answer
        return "done"

    assert outage.attempt(work) == (False, None)
    until(lambda: not outage.wait_for(work))
    assert outage.attempt(work) == (True, "done")


def test_nothing_relies_on_which_kind_of_database_error_it_is():
    """Its drivers disagree; only what means "this value can't be stored" is told apart."""
    narrow = {"OperationalError", "InterfaceError", "ProgrammingError", "InternalError"}
    narrow |= {"DatabaseError", "NotSupportedError"}
    root = Path(jobs.__file__).parent
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler) and node.type is not None:
                caught = {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)}
                assert not caught & narrow, f"{path.relative_to(root)}:{node.lineno}"


def _bytes(field, per_character):
    if isinstance(field, models.ForeignKey):
        return _bytes(field.target_field, per_character)
    # 10 is the longest of the others, a datetimeoffset.
    return field.max_length * per_character if isinstance(field, models.CharField) else 10


def _keys(model):
    meta = model._meta
    yield from ([field.name] for field in meta.local_fields if field.db_index or field.unique)
    yield from meta.unique_together
    yield from (constraint.fields for constraint in meta.constraints)
    for index in meta.indexes:
        yield [name for name, _order in index.fields_orders]


@pytest.mark.parametrize("model", list(apps.get_app_config("jobs").get_models()))
def test_no_index_has_longer_keys_than_the_databases_take(model):
    fields = {field.name: field for field in model._meta.local_fields}
    assert _bytes(model._meta.pk, 2) <= CLUSTERED_KEY
    for key in _keys(model):
        assert sum(_bytes(fields[name], 2) for name in key) <= KEY, key
        assert sum(_bytes(fields[name], 4) for name in key) <= MYSQL_KEY, key


def test_all_migrations_can_be_written_for_it(monkeypatch):
    theirs = sql_server.connection()
    monkeypatch.setattr(theirs, "alias", "default")  # of whom the router is asked
    # An altered column asks which of its constraints there are; the index by name goes with it.
    monkeypatch.setattr(theirs.SchemaEditorClass, "_constraint_names", lambda *_, **__: [])
    loader, written = MigrationLoader(None), []

    for key in sorted(key for key in loader.disk_migrations if key[0] == "jobs"):
        state = loader.project_state(key, at_end=False)
        with theirs.schema_editor(collect_sql=True, atomic=False) as editor:
            loader.disk_migrations[key].apply(state, editor, collect_sql=True)
        written += editor.collected_sql

    tables = {model._meta.db_table for model in apps.get_app_config("jobs").get_models()}
    assert {
        sql.split("[")[1].rstrip("] (") for sql in written if sql.startswith("CREATE TABLE")
    } == (tables)
    [unique] = [s for s in written if s.startswith("CREATE UNIQUE INDEX") and "[jobs_job]" in s]
    assert unique.endswith("WHERE [recurring_job_id] IS NOT NULL AND [occurrence] IS NOT NULL;"), (
        "NULLs are equal there, and many jobs have neither"
    )


def test_what_it_changes_is_undone_where_a_job_s_interruption_made_new_connections():
    """Else their features would speak for a connection that is closed."""
    before = connections[DEFAULT_DB_ALIAS]
    features, operations = before.features, dict(vars(before.ops))
    with sql_server.judging(connection):
        del connections[DEFAULT_DB_ALIAS]
        after = connections[DEFAULT_DB_ALIAS]
    try:
        assert after.features.connection is after
        assert before.features is features
        assert vars(before.ops) == operations
    finally:
        connections[DEFAULT_DB_ALIAS] = before
