"""The dispatcher's end of the line to a worker."""

import socket
import time

import pytest

from jobs.engine import wire
from jobs.engine.arena import MESSAGE_JOBS, MESSAGES, Arena
from jobs.engine.crew import message_size
from jobs.engine.line import RECALL_PAUSE_SECONDS, Line
from jobs.outcomes import Claimed, Outcome


def claimed(number):
    call = '{"args":[],"kwargs":{}}'
    return Claimed(
        number, f"{number:032x}", "s", "f", call, "{}", "q", 1, 0, "", "", None, False, 0.0
    )


def pair(number):
    return number, f"{number:032x}"


class Worker:
    """The other end, by hand."""

    def __init__(self, sock, slot):
        self.sock, self.slot, self.inbox = sock, slot, wire.Inbox()

    def say(self, *message):
        self.sock.sendall(wire.frame(message))

    def hello(self, message=0, foreign=0, acknowledged=0, replayed_through=0):
        self.say("hello", message, foreign, acknowledged, replayed_through)

    def outcome(self, number, job):
        self.say("outcome", number, (*pair(job), "succeeded", "", "{}", 0.0))

    def hears(self):
        wire.drain(self.sock, self.inbox)
        return list(self.inbox)


@pytest.fixture
def both():
    ours, theirs = socket.socketpair()
    slot = Arena(1).slots[0]
    with ours, theirs:
        yield Line(0, 1, ours, slot), Worker(theirs, slot)


@pytest.fixture
def line(both):
    """A line whose worker has said hello."""
    line, worker = both
    worker.hello()
    line.read()
    return line


@pytest.fixture
def worker(both):
    return both[1]


def test_there_is_no_window_before_the_worker_says_hello(both):
    line, worker = both
    assert not line.window

    worker.hello()
    line.read()

    assert line.window
    assert line.idle


def test_a_message_of_jobs_arrives(line, worker):
    line.send([claimed(1), claimed(2)])

    [(kind, said, message, sent)] = worker.hears()
    assert (kind, said, message) == ("jobs", 0, 1)
    assert [Claimed(*values) for values in sent] == [claimed(1), claimed(2)]
    assert line.outstanding == 2
    assert not line.idle


def test_the_numbers_of_messages_go_on_where_the_last_dispatcher_stopped(both):
    line, worker = both
    worker.hello(message=7)
    line.read()

    line.send([claimed(1)])

    assert worker.hears()[0][2] == 8


def test_an_outcome_ends_its_job(line, worker):
    line.send([claimed(1)])
    worker.outcome(1, 1)

    [(number, outcome)] = line.read()

    assert (number, outcome) == (1, Outcome(*pair(1), "succeeded", "", "{}", 0.0))
    assert line.outstanding == 0


def test_uncommitted_messages_close_the_window(line):
    for number in range(MESSAGES):
        assert line.window
        line.send([claimed(number + 1)])

    assert not line.window


def test_a_worker_starves_when_its_last_job_runs_and_the_window_is_closed(line, worker):
    for number in range(MESSAGES):
        line.send([claimed(number + 1)])
    assert not line.starving
    for number in range(1, MESSAGES):
        worker.outcome(number, number)
    line.read()
    assert line.starving

    line.committed(1, pair(1))

    assert not line.starving


def test_the_window_opens_when_all_of_a_message_is_committed(line):
    line.send([claimed(1), claimed(2)])
    for number in range(1, MESSAGES):
        line.send([claimed(2 + number)])
    line.committed(1, pair(1))
    assert not line.window

    line.committed(2, pair(2))

    assert line.window


def test_the_window_stays_closed_until_replayed_outcomes_are_committed(both):
    line, worker = both
    worker.hello(acknowledged=3, replayed_through=5)
    line.read()
    line.committed(4, pair(4))
    assert not line.window

    line.committed(5, pair(5))

    assert line.window


def test_foreign_jobs_are_outstanding_until_their_outcomes_come(both):
    line, worker = both
    worker.hello(message=3, foreign=2)
    line.read()
    assert (line.outstanding, line.idle) == (2, False)

    worker.outcome(1, 9)
    line.read()

    assert line.outstanding == 1


def test_replayed_outcomes_are_of_no_outstanding_job(both):
    line, worker = both
    worker.hello(foreign=1, replayed_through=1)
    worker.outcome(1, 9)

    line.read()

    assert line.outstanding == 1


def test_commits_are_acknowledged_once(line, worker):
    line.send([claimed(1)])
    worker.hears()
    line.committed(1, pair(1))

    line.acknowledge()
    line.acknowledge()

    assert worker.hears() == [("ack", 1)]


def test_a_message_carries_the_acknowledgement(line, worker):
    line.send([claimed(1)])
    line.committed(1, pair(1))
    worker.hears()

    line.send([claimed(2)])
    line.acknowledge()

    [(kind, said, *_)] = worker.hears()
    assert (kind, said) == ("jobs", 1)


def test_stop_arrives(line, worker):
    line.stop()

    assert worker.hears() == [("stop",)]


def test_a_worker_that_is_gone_closes_the_line(line, worker):
    worker.sock.close()

    line.read()

    assert line.closed
    assert not line.window


def test_outcomes_sent_before_the_end_are_still_read(line, worker):
    line.send([claimed(1)])
    worker.outcome(1, 1)
    worker.sock.close()

    assert len(line.read()) == 1


def test_jobs_behind_a_long_one_are_recalled(line, worker):
    line.send([claimed(1), claimed(2)])
    worker.slot.hold(1, [pair(1), pair(2)])
    worker.slot.begin(pair(1), 1, 0)

    now = time.monotonic()

    assert not line.must_recall(now)
    assert line.must_recall(now + 1)


def test_a_long_job_alone_is_not_recalled(line, worker):
    line.send([claimed(1)])
    worker.slot.hold(1, [pair(1)])
    worker.slot.begin(pair(1), 1, 0)

    assert not line.must_recall(time.monotonic() + 1)


def test_a_worker_that_runs_nothing_is_not_recalled_from(line, worker):
    line.send([claimed(1), claimed(2)])

    assert not line.must_recall(time.monotonic() + 1)


def test_a_revocation_reaches_the_worker_and_closes_the_window(line, worker):
    line.send([claimed(1), claimed(2)])

    line.revoke()

    assert worker.slot.revoked == 1
    assert line.recalling
    assert not line.window


def test_nothing_is_taken_back_before_the_worker_can_have_seen_it(line):
    line.send([claimed(1), claimed(2)])
    now = time.monotonic()
    assert not line.may_take_back(now + 1)

    line.revoke()

    assert not line.may_take_back(now)
    assert line.may_take_back(time.monotonic() + RECALL_PAUSE_SECONDS)


def test_what_is_taken_back_is_all_but_the_running_job(line, worker):
    line.send([claimed(1), claimed(2)])
    line.send([claimed(3)])
    worker.slot.hold(1, [pair(1), pair(2)])
    worker.slot.hold(2, [pair(3)])
    worker.slot.begin(pair(1), 1, 0)
    line.revoke()

    recalled = line.take_back(line.read)

    assert (recalled.own, recalled.foreign) == ([claimed(2), claimed(3)], [])
    assert list(line.sent) == [pair(1)]
    assert not line.recalling


def test_taking_back_counts_as_settled(line, worker):
    line.send([claimed(1), claimed(2)])
    for number in range(1, MESSAGES):
        line.send([claimed(2 + number)])
    worker.slot.begin(pair(1), 1, 0)
    line.revoke()
    line.take_back(line.read)

    # The slot still shows the first message, with the running job.
    assert not line.window
    assert line.outstanding == 1

    line.committed(1, pair(1))

    assert line.window


def test_a_job_that_only_seemed_to_run_is_taken_back_the_second_time(line, worker):
    line.send([claimed(1), claimed(2)])
    worker.slot.hold(1, [pair(1), pair(2)])
    worker.slot.begin(pair(2), 1, 1)  # the worker shows it, then sees the revocation
    line.revoke()
    first = line.take_back(line.read)
    worker.slot.end()

    assert line.must_recall(time.monotonic())
    line.revoke()
    second = line.take_back(line.read)

    assert (first.own, second.own) == ([claimed(1)], [claimed(2)])


def test_foreign_jobs_behind_a_foreign_one_are_taken_back_by_pair(both):
    line, worker = both
    worker.slot.hold(1, [pair(1), pair(2)])
    worker.slot.begin(pair(1), 1, 0)
    worker.hello(message=1, foreign=2)
    line.read()
    assert line.must_recall(time.monotonic() + 1)
    line.revoke()

    recalled = line.take_back(line.read)

    assert (recalled.own, recalled.foreign) == ([], [pair(2)])
    assert line.outstanding == 1


def test_own_jobs_behind_a_foreign_one_are_taken_back_as_own(both):
    line, worker = both
    worker.slot.hold(1, [pair(1)])
    worker.slot.begin(pair(1), 1, 0)
    worker.hello(message=1, foreign=1)
    line.read()
    line.send([claimed(2)])
    worker.slot.hold(2, [pair(2)])
    line.revoke()

    recalled = line.take_back(line.read)

    assert (recalled.own, recalled.foreign) == ([claimed(2)], [])


@pytest.mark.parametrize(
    ("mean", "waiting", "lines", "size"),
    [
        (1.0, 1000, 4, 1),
        (0.0, 1000, 4, MESSAGE_JOBS),
        (0.001, 1000, 4, 20),
        (0.001, 8, 4, 2),
        (0.001, 0, 4, 1),
        (0.001, 5, 0, 5),
    ],
)
def test_a_message_carries_about_20_ms_of_work_shared_fairly(mean, waiting, lines, size):
    assert message_size(mean, waiting, lines) == size


def test_jobs_are_not_taken_for_revoked_ones_that_an_earlier_dispatcher_had_sent_in_vain(both):
    """That one recalled message 2 and died; the worker never received it, and says so."""
    line, worker = both
    worker.slot.revoke(2)
    worker.hello(message=1)
    line.read()
    line.send([claimed(7)])
    [(_, _, number, _)] = worker.hears()
    assert number > worker.slot.revoked, "else the worker would drop its jobs, and nobody miss them"


def hangs(line, *, after, step=1.0):
    """Ask every `step` seconds for `after` seconds whether the worker hangs; the limit is 15 s."""
    now = time.monotonic()
    asked = [line.hangs(now + step * n, 15) for n in range(int(after / step) + 1)]
    return asked[-1]


def test_a_worker_that_does_not_begin_what_it_was_sent_hangs(line):
    line.send([claimed(1)])

    assert not hangs(line, after=14)
    assert hangs(line, after=17)


def test_a_worker_that_never_says_hello_hangs(both):
    assert hangs(both[0], after=17)


def test_neither_an_idle_worker_nor_one_in_a_job_hangs(line, worker):
    assert not hangs(line, after=60)

    line.send([claimed(1)])
    worker.slot.begin(pair(1), 1, 0)
    assert not hangs(line, after=60)


def test_a_worker_is_not_judged_by_time_in_which_nobody_looked(line):
    line.send([claimed(1)])

    assert not hangs(line, after=60, step=20)


def test_what_an_earlier_dispatcher_took_back_is_not_taken_back_again(both):
    line, worker = both
    slot = worker.slot
    slot.hold(1, [pair(1), pair(2)])
    slot.begin(pair(1), 1, 0)
    slot.revoke(1)  # 2 may run elsewhere by now
    worker.hello(message=1)
    line.read()
    line.revoke()

    assert line.take_back(line.read).foreign == []
