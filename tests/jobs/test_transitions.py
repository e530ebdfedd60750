"""What the engine does to jobs' rows."""

from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

import jobs
from jobs import transitions
from jobs.exceptions import IllegalTransition
from jobs.models import HistoryEntry, Job, Server
from jobs.outcomes import Kind, Outcome
from jobs.states import State
from tests import functions

pytestmark = pytest.mark.django_db

TOKEN, OTHER = "a" * 32, "b" * 32


def claim(limit=10, token=TOKEN, *, idle=10, server="s"):
    return transitions.claim("default", limit, server=server, token=token, idle=idle)


def done(job, kind=Kind.SUCCEEDED, token=TOKEN, **more):
    return Outcome(job.pk, token, kind, "", "{}", 0.0, **more)


def enqueue(number=1):
    return [jobs.enqueue(functions.nothing, n) for n in range(number)]


def fresh(job):
    return Job.objects.get(pk=job.pk)


def server(name="s", beat=1):
    return Server.objects.create(name=name, host="h", pid=1, beat=beat, heartbeat_at=timezone.now())


def assert_gapless(job):
    job = fresh(job)
    entries = list(job.history.order_by("id"))
    assert entries[0].entered_at == job.created_at
    for entry, following in pairwise(entries):
        assert entry.left_at == following.entered_at
    assert entries[-1].left_at == job.state_changed_at


# Claiming


def test_claims_go_by_priority_then_due_time_then_age():
    now = timezone.now()
    made = [
        jobs.using(functions.nothing, priority=priority).enqueue()
        for priority in (0, 0, 0, 10, -10)
    ]
    Job.objects.filter(pk__in=[job.pk for job in made]).update(run_at=now)
    Job.objects.filter(pk=made[2].pk).update(run_at=now - timedelta(hours=1))

    order = [made.index(Job.objects.get(pk=job.id)) for job in claim()]

    assert order == [3, 2, 0, 1, 4]


def test_a_claim_takes_no_more_than_its_limit():
    first, second, _third = enqueue(3)

    assert [job.id for job in claim(2)] == [first.pk, second.pk]


def test_a_claim_takes_only_its_queue():
    jobs.using(functions.nothing, queue="other").enqueue()

    assert claim() == []


def test_a_claim_says_the_queue_as_its_job_was_enqueued():
    jobs.using(functions.nothing, queue="Mail").enqueue()
    one_queue = Job.objects.filter(queue="mail").exists()  # by this database's collation

    claims = transitions.claim("mail", 10, server="s", token=TOKEN, idle=10)

    assert [job.queue for job in claims] == (["Mail"] if one_queue else [])


def test_a_claim_takes_no_scheduled_job():
    jobs.schedule(functions.nothing, run_after=timedelta(1))

    assert claim() == []


def test_a_claimed_job_is_processing_under_its_token():
    [job] = enqueue()

    [claimed] = claim()

    job = fresh(job)
    assert (job.state, job.claim_token, job.server) == (State.PROCESSING, TOKEN, "s")
    assert (job.attempt, claimed.attempt, claimed.token) == (1, 1, TOKEN)


def test_a_claimed_job_is_not_claimed_again():
    enqueue()
    claim()

    assert claim(token=OTHER) == []


def test_a_recovered_job_is_left_while_no_worker_is_idle():
    [job] = enqueue()
    Job.objects.update(recovered=True)

    assert claim(idle=0) == []
    assert [c.id for c in claim(idle=1)] == [job.pk]


def test_no_more_recovered_jobs_are_claimed_than_workers_are_idle():
    recovered, other, _ = enqueue(3)
    Job.objects.exclude(pk=other.pk).update(recovered=True)

    assert [c.id for c in claim(idle=1)] == [recovered.pk, other.pk]


def test_the_start_of_a_recovered_job_is_written_with_its_claim():
    recovered, other = enqueue(2)
    Job.objects.filter(pk=recovered.pk).update(recovered=True)

    claim()

    assert fresh(recovered).started_at == fresh(recovered).state_changed_at
    assert fresh(other).started_at is None


# Recording


def test_a_success_ends_the_job_and_lets_go_of_it():
    [job] = enqueue()
    claim()

    assert transitions.record([done(job)]) == []

    job = fresh(job)
    assert (job.state, job.claim_token, job.server) == (State.SUCCEEDED, "", "")
    assert job.finished_at == job.state_changed_at
    assert job.expires_at == job.finished_at + timedelta(days=1)


def test_an_outcome_may_say_how_long_the_job_is_kept():
    [job] = enqueue()
    claim()

    transitions.record([done(job, expires=60.0)])

    job = fresh(job)
    assert job.expires_at == job.finished_at + timedelta(seconds=60)


def test_a_retry_is_counted_and_scheduled():
    [job] = enqueue()
    claim()

    transitions.record([done(job, Kind.RETRY, delay=60.0, error_type="ValueError")])

    job = fresh(job)
    assert (job.state, job.retries, job.attempt) == (State.SCHEDULED, 1, 1)
    delay = (job.run_at - job.state_changed_at).total_seconds()  # by two clocks
    assert delay == pytest.approx(60, abs=0.1)
    assert job.error_type == "ValueError"


def test_a_missing_function_is_not_counted():
    [job] = enqueue()
    claim()

    transitions.record([done(job, Kind.MISSING, delay=30.0, missing_since=1000.0)])

    job = fresh(job)
    assert (job.state, job.retries, job.attempt) == (State.SCHEDULED, 0, 0)
    assert job.missing_since.timestamp() == 1000.0


def test_an_outcome_with_another_token_is_refused():
    [job] = enqueue()
    claim()
    late = done(job, token=OTHER)

    assert transitions.record([late]) == [late]
    assert fresh(job).state == State.PROCESSING


def test_a_late_outcome_is_refused_when_the_job_runs_again():
    [job] = enqueue()
    claim()
    transitions.crash([(job.pk, TOKEN)], "killed")
    claim(token=OTHER)
    late = done(job)

    assert transitions.record([late]) == [late]
    assert (fresh(job).state, fresh(job).claim_token) == (State.PROCESSING, OTHER)


def test_an_outcome_of_a_job_that_is_gone_is_refused():
    [job] = enqueue()
    claim()
    Job.objects.all().delete()
    late = done(job)

    assert transitions.record([late]) == [late]


def test_an_outcome_that_comes_twice_is_refused_the_second_time():
    [job] = enqueue()
    claim()
    transitions.record([done(job)])
    again = done(job)

    assert transitions.record([again]) == [again]
    assert job.history.count() == 2


def test_an_outcome_twice_in_one_batch_is_written_once():
    [job] = enqueue()
    claim()

    assert transitions.record([done(job), done(job)]) == []
    assert job.history.count() == 2


def test_a_job_deleted_while_it_runs_keeps_its_token_until_the_outcome_comes():
    [job] = enqueue()
    claim()
    transitions.delete([job.pk], "deleted")
    assert (fresh(job).state, fresh(job).claim_token) == (State.DELETED, TOKEN)

    refused = transitions.record([done(job)])

    assert refused == []
    assert (fresh(job).state, fresh(job).claim_token, fresh(job).server) == (State.DELETED, "", "")


def test_a_stopping_job_can_not_be_requeued():
    [job] = enqueue()
    claim()
    transitions.delete([job.pk], "deleted")

    moved = transitions.requeue([job.pk], "requeued")

    assert (moved.ids, moved.stopping) == ([], {job.pk})
    assert moved.skipped == {job.pk: State.DELETED}


# Giving back, crashing, giving up


def test_a_job_given_back_before_it_started_has_no_attempt():
    [job] = enqueue()
    claim()

    queues = transitions.give_back([(job.pk, TOKEN)], "stopping", started=False)

    job = fresh(job)
    assert queues == ["default"]
    assert (job.state, job.attempt, job.claim_token) == (State.ENQUEUED, 0, "")
    assert (job.crashes, job.retries) == (0, 0)


def test_a_job_given_back_after_it_started_keeps_the_attempt():
    [job] = enqueue()
    claim()

    transitions.give_back([(job.pk, TOKEN)], "stopping", started=True)

    assert (fresh(job).state, fresh(job).attempt, fresh(job).retries) == (State.ENQUEUED, 1, 0)


def test_a_job_given_back_stays_recovered():
    [job] = enqueue()
    Job.objects.update(recovered=True)
    claim()

    transitions.give_back([(job.pk, TOKEN)], "stopping", started=False)

    assert fresh(job).recovered
    assert fresh(job).started_at is None


def test_giving_back_under_another_token_changes_nothing():
    [job] = enqueue()
    claim()

    assert transitions.give_back([(job.pk, OTHER)], "stopping", started=False) == []
    assert fresh(job).state == State.PROCESSING


def test_giving_back_a_deleted_job_lets_go_of_it():
    [job] = enqueue()
    claim()
    transitions.delete([job.pk], "deleted")

    transitions.give_back([(job.pk, TOKEN)], "stopping", started=False)

    assert (fresh(job).state, fresh(job).claim_token) == (State.DELETED, "")


def test_a_crash_is_counted_and_the_job_waits_again():
    [job] = enqueue()
    claim()

    convicted = transitions.crash([(job.pk, TOKEN)], "killed by signal 9")

    job = fresh(job)
    assert convicted == [(job.pk, TOKEN)]
    assert (job.state, job.crashes, job.retries) == (State.ENQUEUED, 1, 0)
    assert job.reason == "crashed: killed by signal 9"


def test_a_job_that_crashes_too_often_is_poisoned(settings):
    settings.JOBS = {"MAX_CRASHES": 2}
    [job] = enqueue()
    for token in (TOKEN, OTHER):
        claim(token=token)
        transitions.crash([(job.pk, token)], "killed")

    job = fresh(job)
    assert (job.state, job.crashes, job.error_type) == (State.FAILED, 2, "Poisoned")
    assert job.reason.startswith("poisoned: 2 workers died")


def test_a_crash_under_another_token_convicts_nobody():
    [job] = enqueue()
    claim()

    assert transitions.crash([(job.pk, OTHER)], "killed") == []
    assert fresh(job).crashes == 0


def test_a_server_given_up_is_gone_and_its_jobs_come_back_recovered():
    server()
    [job] = enqueue()
    claim()

    freed = transitions.give_up("s", 1, "server s died")

    job = fresh(job)
    assert freed == {"recovered": 1, "crashed": 0}
    assert (job.state, job.recovered, job.crashes) == (State.ENQUEUED, True, 0)
    assert not Server.objects.exists()


def test_a_recovered_job_whose_server_dies_again_is_convicted():
    server()
    suspect, innocent = enqueue(2)
    Job.objects.filter(pk=suspect.pk).update(recovered=True)
    claim()

    freed = transitions.give_up("s", 1, "server s died")

    assert freed == {"recovered": 1, "crashed": 1}
    assert (fresh(suspect).crashes, fresh(innocent).crashes) == (1, 0)
    assert fresh(innocent).recovered


def suspects(number=2):
    """Have jobs that were all recovered when the next server died under them."""
    server()
    made = enqueue(number)
    Job.objects.update(recovered=True)
    claim()
    assert transitions.give_up("s", 1, "server s died") == {"recovered": number, "crashed": 0}
    return made


def test_of_several_recovered_jobs_nobody_is_convicted_and_they_run_one_at_a_time():
    first, second = suspects()

    assert not Job.objects.filter(crashes__gt=0).exists()
    assert [c.id for c in claim()] == [first.pk]
    assert claim(token=OTHER) == []

    transitions.record([done(first)])
    assert [c.id for c in claim(token=OTHER)] == [second.pk]


def test_fresh_jobs_do_not_wait_behind_suspects():
    first, *_ = suspects(3)
    claim(limit=1)
    [behind] = enqueue()

    assert [c.id for c in claim(limit=1, token=OTHER)] == [behind.pk]
    assert fresh(first).state == State.PROCESSING


def test_no_recovered_job_starts_beside_a_suspect_nor_the_other_way_round():
    suspect, other = suspects()
    transitions.delete([other.pk], "deleted")
    recovered, late = enqueue(2)
    Job.objects.filter(pk=recovered.pk).update(recovered=True)

    assert {c.id for c in claim()} == {recovered.pk, late.pk}
    assert claim(token=OTHER) == []
    transitions.record([done(recovered)])
    assert [c.id for c in claim(token=OTHER)] == [suspect.pk]
    [recovered] = enqueue()
    Job.objects.filter(pk=recovered.pk).update(recovered=True)
    assert claim() == []


def test_a_convict_is_convicted_again_each_time_its_server_dies():
    suspect, innocent = suspects()
    for crashes in (1, 2, 3):
        server()
        assert [c.id for c in claim()] == [suspect.pk]
        transitions.give_up("s", 1, "server s died")
        assert fresh(suspect).crashes == crashes

    assert fresh(suspect).state == State.FAILED
    assert fresh(innocent).crashes == 0
    assert_gapless(suspect)
    assert [c.id for c in claim()] == [innocent.pk]


def test_a_server_that_has_beaten_since_is_not_given_up():
    server(beat=2)
    [job] = enqueue()
    claim()

    assert transitions.give_up("s", 1, "silent") is None
    assert fresh(job).state == State.PROCESSING


def test_giving_up_lets_go_of_deleted_jobs():
    server()
    [job] = enqueue()
    claim()
    transitions.delete([job.pk], "deleted")

    transitions.give_up("s", 1, "server s died")

    assert (fresh(job).state, fresh(job).claim_token, fresh(job).server) == (State.DELETED, "", "")


def test_a_success_exonerates_a_recovered_job():
    [job] = enqueue()
    Job.objects.update(recovered=True)
    claim()

    transitions.record([done(job)])

    assert not fresh(job).recovered


# Promoting


def test_due_jobs_are_promoted_and_others_are_not():
    due = jobs.schedule(functions.nothing, run_after=timedelta(hours=1))
    later = jobs.schedule(functions.nothing, run_after=timedelta(hours=3))

    queues = transitions.promote_due(10, timezone.now() + timedelta(hours=2))

    assert queues == ["default"]
    assert (fresh(due).state, fresh(later).state) == (State.ENQUEUED, State.SCHEDULED)


def test_a_promoted_job_keeps_its_due_time_in_history():
    job = jobs.schedule(functions.nothing, run_after=timedelta(hours=1))

    transitions.promote_due(10, timezone.now() + timedelta(hours=2))

    entry = job.history.get()
    assert datetime.fromisoformat(entry.data["due"]) == fresh(job).run_at


# History, edges


def test_history_has_no_gaps():
    [job] = enqueue()
    claim()
    transitions.record([done(job, Kind.RETRY, delay=1.0)])
    transitions.promote_due(10, timezone.now() + timedelta(hours=2))
    claim(token=OTHER)
    transitions.crash([(job.pk, OTHER)], "killed")
    transitions.delete([job.pk], "deleted")
    transitions.requeue([job.pk], "requeued")

    assert_gapless(job)
    states = list(job.history.order_by("id").values_list("state", flat=True))
    assert states == [
        "enqueued",
        "processing",
        "scheduled",
        "enqueued",
        "processing",
        "enqueued",
        "deleted",
    ]


def test_a_job_is_not_created_in_the_middle_of_its_life():
    job = Job(func="f", arguments={"args": [], "kwargs": {}}, queue="q", state=State.SUCCEEDED)

    with pytest.raises(IllegalTransition, match="can't be created in state succeeded"):
        transitions.create(job)


# Statements


def statements(act):
    with CaptureQueriesContext(connection) as captured:
        act()
    return len(captured)


def test_claiming_100_jobs_takes_as_many_statements_as_claiming_one():
    enqueue(101)

    one = statements(lambda: claim(1))
    hundred = statements(lambda: claim(100, OTHER))

    assert Job.objects.filter(claim_token=OTHER).count() == 100
    assert hundred == one


def test_recording_100_successes_takes_as_many_statements_as_recording_one():
    made = enqueue(101)
    claim(101)

    one = statements(lambda: transitions.record([done(made[0])]))
    hundred = statements(lambda: transitions.record([done(job) for job in made[1:]]))

    assert Job.objects.filter(state=State.SUCCEEDED).count() == 101
    assert hundred == one


def test_giving_back_100_jobs_takes_as_many_statements_as_giving_back_one():
    made = enqueue(101)
    claim(101)
    pairs = [(job.pk, TOKEN) for job in made]

    one = statements(lambda: transitions.give_back(pairs[:1], "stop", started=False))
    hundred = statements(lambda: transitions.give_back(pairs[1:], "stop", started=False))

    assert hundred == one


@pytest.mark.skipif(
    connection.vendor not in ("sqlite", "postgresql"), reason="its EXPLAIN has another form"
)
def test_the_claim_reads_its_candidates_from_the_claim_index():
    now = timezone.now()
    Job.objects.bulk_create(
        Job(
            func="f",
            arguments={"args": [], "kwargs": {}},
            queue="default",
            state=State.ENQUEUED if number >= 5000 else State.SUCCEEDED,
            run_at=now - timedelta(seconds=number),
        )
        for number in range(5200)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE jobs_job")

    plan = Job.objects.claimable("default")[:50].explain()

    assert "jobs_job_claim_idx" in plan
    assert "SORT" not in plan.upper().replace("SORT KEY", "")
    assert "TEMP B-TREE" not in plan


def test_deleting_a_job_takes_its_history_with_it():
    [job] = enqueue()
    claim()

    Job.objects.get(pk=job.pk).delete()

    assert not HistoryEntry.objects.exists()


def suspect(count=1):
    for number in range(count):
        jobs.enqueue(functions.add, 1, number)
    Job.objects.update(recovered=True, started_at=timezone.now() - timedelta(seconds=9))


def test_suspects_that_wait_for_another_are_told_of():
    suspect(3)
    claims = transitions.claim("default", 3, server="s", token="a" * 32, idle=3)
    assert (len(claims), claims.skipped, claims.apart) == (1, 0, 2)


def test_a_suspect_that_is_given_back_stays_one():
    suspect()
    [claimed] = transitions.claim("default", 1, server="s", token="a" * 32, idle=1)
    before = Job.objects.get().started_at

    transitions.give_back([(claimed.id, claimed.token)], "its server was stopped", started=False)

    job = Job.objects.get()
    assert (job.state, job.recovered, job.started_at) == ("enqueued", True, before)
