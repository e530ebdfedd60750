"""What the processes of a cluster see of each other's work."""

import pytest

from jobs.engine.arena import MESSAGE_JOBS, MESSAGES, Arena


def pair(number):
    return number, f"{number:032x}"


def pairs(*numbers):
    return [pair(number) for number in numbers]


@pytest.fixture
def slot():
    return Arena(2).slots[1]


def test_a_blank_slot_runs_and_holds_nothing(slot):
    assert (slot.running(), slot.held(), slot.behind()) == (None, set(), [])
    assert (slot.revoked, slot.last_message) == (0, 0)


def test_a_begun_job_is_running(slot):
    slot.begin(pair(7), 3, 2)

    running = slot.running()
    assert (running.pair, running.message, running.position) == (pair(7), 3, 2)
    assert running.started > 0


def test_an_ended_job_runs_no_more(slot):
    slot.begin(pair(7), 1, 0)

    slot.end()

    assert slot.running() is None


def test_a_slot_holds_the_jobs_of_its_last_messages(slot):
    slot.hold(1, pairs(1, 2))
    for number in range(2, MESSAGES + 2):
        slot.hold(number, pairs(10 * number))

    assert slot.held() == {pair(10 * n) for n in range(2, MESSAGES + 2)}
    assert slot.last_message == MESSAGES + 1


def test_a_full_message_is_held(slot):
    full = pairs(*range(1, MESSAGE_JOBS + 1))

    slot.hold(1, full)

    assert slot.held() == set(full)


def test_behind_is_what_waits_after_the_running_job(slot):
    slot.hold(1, pairs(1, 2, 3))
    slot.hold(2, pairs(4))
    slot.begin(pair(2), 1, 1)

    assert slot.behind() == [(1, pair(3)), (2, pair(4))]


def test_behind_is_in_order_when_the_newer_message_stands_first(slot):
    slot.hold(3, pairs(1, 2))
    slot.hold(4, pairs(3))
    slot.begin(pair(1), 3, 0)

    assert slot.behind() == [(3, pair(2)), (4, pair(3))]


def test_nothing_is_behind_while_no_job_runs(slot):
    slot.hold(1, pairs(1, 2))

    assert slot.behind() == []


def test_the_worker_sees_what_is_revoked(slot):
    slot.revoke(5)

    assert slot.revoked == 5


def test_a_revocation_leaves_what_the_worker_shows(slot):
    slot.hold(1, pairs(1))
    slot.begin(pair(1), 1, 0)

    slot.revoke(1)

    assert (slot.running().pair, slot.held()) == (pair(1), set(pairs(1)))


def test_a_reset_slot_is_blank(slot):
    slot.hold(1, pairs(1))
    slot.begin(pair(1), 1, 0)
    slot.revoke(1)

    slot.reset()

    assert (slot.running(), slot.held(), slot.revoked) == (None, set(), 0)


def test_slots_do_not_touch_each_other():
    first, second = Arena(2).slots
    first.hold(1, pairs(*range(1, MESSAGE_JOBS + 1)))
    first.hold(2, pairs(*range(1, MESSAGE_JOBS + 1)))
    first.begin(pair(1), 1, 0)

    assert (second.running(), second.held(), second.revoked) == (None, set(), 0)


def test_a_writer_killed_while_writing_blocks_nobody(slot):
    slot.begin(pair(7), 1, 0)
    slot._memory[slot._running : slot._running + 8] = (3).to_bytes(8, "little")

    assert slot.running().pair == pair(7)


def test_a_cell_never_touched_is_infinitely_old():
    arena = Arena(1)

    assert (arena.confirmed.get(), arena.confirmed.age) == (0.0, float("inf"))


def test_a_touched_cell_has_an_age():
    arena = Arena(1)

    arena.confirmed.touch()

    assert 0 <= arena.confirmed.age < 60
    assert arena.sentinel_pulse.get() == arena.dispatcher_pulse.get() == 0.0
