"""Wrong settings are named, with their remedy."""

import gc
import json
import os
import resource
import signal
import subprocess
import sys

import pytest
from django.apps import apps
from django.conf import settings as project_settings
from django.core.management import CommandError, call_command
from django.db import connection

import jobs
from jobs.checks import check_settings
from jobs.engine.cluster import OTHER_FDS, WORKER_FDS, too_many_workers
from jobs.models import Job
from tests.cluster import ROOT, database_url, until


def errors(*ignored):
    return [m for m in check_settings() if m.id not in ("jobs.W001", *ignored)]


def test_good_settings_are_silent():
    assert errors() == []


def test_an_unknown_key_of_jobs_is_named_with_the_one_meant(settings):
    settings.JOBS = {"HEARTBEAT_SECOND": 1}

    [message] = errors()

    assert message.id == "jobs.E001"
    assert message.msg == "JOBS has the unknown key 'HEARTBEAT_SECOND'."
    assert message.hint == "Did you mean 'HEARTBEAT_SECONDS'?"


def test_a_key_like_no_other_gets_the_list(settings):
    settings.JOBS = {"ZZZ": 1}

    [message] = errors()

    assert message.hint.startswith(
        "Known: AROUND, COUNTERS_EXPIRE_SECONDS, DASHBOARD_FUNCTIONS, DATABASE"
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("WORKERS", 0),
        ("WORKERS", "2"),
        ("QUEUES", "mail"),
        ("QUEUES", []),
        ("QUEUES", ["a,b"]),
        ("DEFAULT_QUEUE", ""),
        ("RETRY_DELAYS", [-1]),
        ("WHEN_EXHAUSTED", "explode"),
        ("MAX_RETRIES", True),
        ("POLL_SECONDS", 6),
        ("NOTIFY", 1),
        ("SUCCEEDED_EXPIRES_SECONDS", -1),
        ("SUCCEEDED_EXPIRES_SECONDS", float("inf")),
        ("SUCCEEDED_EXPIRES_SECONDS", float("nan")),
        ("FAILED_EXPIRES_SECONDS", 1e300),
        ("MISSING_FUNCTION_RETRY_SECONDS", float("inf")),
        ("COUNTERS_EXPIRE_SECONDS", 86_400),
    ],
)
def test_a_wrong_value_of_jobs_is_named(settings, key, value):
    settings.JOBS = {key: value}

    [message] = errors()

    assert message.id == "jobs.E001"
    assert f"JOBS[{key!r}] is {value!r}, but it" in message.msg
    assert message.hint.startswith("Correct it or leave it out")


@pytest.mark.parametrize("key", ["MAX_CRASHES", "HEARTBEAT_SECONDS", "DATABASE", "NOTIFY"])
def test_none_is_no_value_where_the_default_is_another(settings, key):
    settings.JOBS = {key: None}

    assert [message.id for message in errors()] == ["jobs.E001"]


def test_a_timeout_shorter_than_two_heartbeats_is_refused(settings):
    settings.JOBS = {"HEARTBEAT_SECONDS": 10, "SERVER_TIMEOUT_SECONDS": 15}

    [message] = errors()

    assert (message.id, "SERVER_TIMEOUT_SECONDS" in message.msg) == ("jobs.E001", True)
    assert "twice JOBS['HEARTBEAT_SECONDS']" in message.hint


def test_jobs_that_is_no_dict_is_refused(settings):
    settings.JOBS = ["WORKERS"]

    [message] = errors()

    assert (message.id, message.msg) == ("jobs.E001", "JOBS must be a dict.")


def test_an_unknown_key_of_q_cluster_is_named_with_the_one_meant(settings):
    settings.Q_CLUSTER = {"recycl": 5}

    [message] = errors()

    assert message.id == "jobs.E002"
    assert "'recycl'" in message.msg
    assert message.hint == "Did you mean 'recycle'?"


@pytest.mark.parametrize(
    ("key", "value"), [("workers", "4"), ("name", ""), ("retry", None), ("log_level", "LOUD")]
)
def test_a_wrong_value_of_q_cluster_is_named(settings, key, value):
    settings.Q_CLUSTER = {key: value}

    [message] = errors()

    assert message.id == "jobs.E002"
    assert f"Q_CLUSTER[{key!r}] is {value!r}" in message.msg
    assert message.hint == "Correct it or leave it out."


def test_django_q_before_jobs_is_refused(monkeypatch):
    configs = sorted(apps.get_app_configs(), key=lambda config: config.name != "django_q")
    monkeypatch.setattr(apps, "get_app_configs", lambda: configs)

    [message] = errors()

    assert message.id == "jobs.E003"
    assert "'django_q' stands before 'jobs'" in message.msg
    assert message.hint == "Put 'jobs' before 'django_q'."


def test_a_project_without_django_q_is_refused(monkeypatch):
    configs = [config for config in apps.get_app_configs() if config.name != "django_q"]
    monkeypatch.setattr(apps, "get_app_configs", lambda: configs)

    [message] = errors()

    assert (message.id, message.hint) == ("jobs.E003", "Add 'django_q' after 'jobs'.")


def test_naive_datetimes_are_refused(monkeypatch):
    monkeypatch.setattr(project_settings, "USE_TZ", False)

    [message] = errors()

    assert (message.id, message.hint) == ("jobs.E004", "Set USE_TZ = True.")


def test_an_unknown_database_is_refused(settings):
    settings.JOBS = {"DATABASE": "nowhere"}

    [message] = errors()

    assert message.id == "jobs.E005"
    assert "JOBS['DATABASE'] is 'nowhere'" in message.msg
    assert "default" in message.hint


@pytest.mark.skipif(connection.features.supports_timezones, reason="it stores moments, not texts")
def test_a_database_that_stores_another_time_zone_is_refused(monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "TIME_ZONE", "Europe/Berlin")

    [message] = errors()

    assert message.id == "jobs.E005"
    assert "['TIME_ZONE'] is 'Europe/Berlin'" in message.msg


@pytest.mark.skipif(connection.vendor != "sqlite", reason="a setting of SQLite")
def test_deferred_transactions_on_sqlite_are_warned_about(monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {"timeout": 20})

    [message] = check_settings()

    assert message.id == "jobs.W001"
    assert '"transaction_mode": "IMMEDIATE"' in message.hint


@pytest.mark.parametrize(
    ("limit", "workers", "remedy"),
    [
        (256, 100, r"Raise the limit \(ulimit -n 364\), or have at most 64\."),
        (10, 1, r"or have at most 0\."),
    ],
)
def test_qcluster_does_not_start_with_more_workers_than_files_can_be_open(
    monkeypatch, limit, workers, remedy
):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limit, limit))

    with pytest.raises(CommandError, match=f"{workers} workers need about .* {remedy}"):
        call_command("qcluster", workers=workers, skip_checks=True)


@pytest.mark.parametrize(
    ("limit", "workers"), [(256, 64), (1024, 320), (resource.RLIM_INFINITY, 1000)]
)
def test_as_many_workers_as_files_can_be_open_are_fine(monkeypatch, limit, workers):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limit, limit))

    assert too_many_workers(workers) is None


@pytest.mark.alone
@pytest.mark.django_db(transaction=True)
def test_a_server_holds_as_many_files_as_foreseen(cluster):
    def most(workers):
        server = cluster("--workers", str(workers))
        until(lambda: len(server.workers) == workers)
        server.dispatcher.kill()  # the next one inherits what the sentinel holds
        until(lambda: "starting another" in server.text and len(server.helpers) == 2)
        job = jobs.enqueue("math.sqrt", 4)  # who runs it has its lines and its connection
        until(lambda: Job.objects.filter(pk=job.pk, state="succeeded").exists())
        return max(process.num_fds() for process in [server.sentinel, *server.helpers])

    few, many = most(2), most(8)

    assert many - few <= 6 * WORKER_FDS
    assert few <= OTHER_FDS + 2 * WORKER_FDS


@pytest.mark.django_db(transaction=True)
def test_qcluster_does_not_start_with_a_wrong_key():
    process = subprocess.Popen(
        [sys.executable, "manage.py", "qcluster"],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": project_settings.SETTINGS_MODULE,
            "TEST_CLUSTER_DATABASE_URL": database_url(),
            "TEST_JOBS": json.dumps({"HEARTBEAT_SECOND": 1}),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise

    assert process.returncode != 0
    assert "JOBS has the unknown key 'HEARTBEAT_SECOND'" in output
    assert "Did you mean 'HEARTBEAT_SECONDS'?" in output
    assert "started" not in output


def test_an_atomic_job_without_a_short_timeout_is_refused_on_a_database_with_one_writer():
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite has one writer")

    @jobs.job(atomic=True)
    def endless():
        """Declared here, so that it goes with this test."""

    [message] = errors()
    assert message.id == "jobs.E006"
    assert "endless" in message.msg
    assert "at most 10 s" in message.hint
    del endless
    gc.collect()
    assert errors() == []


def test_a_context_manager_that_can_t_be_imported_is_named(settings):
    settings.JOBS = {"AROUND": ["tests.functions.no_such"]}
    [message] = errors()
    assert message.id == "jobs.E007"
    assert "tests.functions.no_such" in message.msg
