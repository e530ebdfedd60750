"""When a server of another host is taken for dead."""

import pytest

from jobs.engine.housekeeping import Watch


@pytest.fixture(autouse=True)
def _intervals(settings):
    settings.JOBS = {"HEARTBEAT_SECONDS": 2, "SERVER_TIMEOUT_SECONDS": 10}


def watch_for(watch, seconds, *, beat=1, age=100.0, start=0):
    """Read the database each second and judge the server; return the last judgement."""
    judged = None
    for second in range(start, start + seconds + 1):
        watch.read(float(second))
        judged = watch.dead("other", beat, age)
    return judged


def test_a_server_seen_for_the_first_time_is_not_dead():
    assert not watch_for(Watch(), 0)


def test_a_silent_server_with_an_old_heartbeat_is_dead_after_two_intervals():
    assert not watch_for(Watch(), 3)
    assert watch_for(Watch(), 4)


def test_a_silent_server_whose_heartbeat_is_young_is_not_dead():
    assert not watch_for(Watch(), 60, age=9.0)


def test_a_server_that_beats_is_not_dead_however_old_its_heartbeat_looks():
    watch = Watch()

    judged = [watch_for(watch, 1, beat=beat, age=1e6, start=2 * beat) for beat in range(1, 20)]

    assert not any(judged)


def test_a_beat_starts_the_silence_anew():
    watch = Watch()
    watch_for(watch, 3)

    assert not watch_for(watch, 3, beat=2, start=4)
    assert watch_for(watch, 1, beat=2, start=8)


def test_time_without_a_readable_database_does_not_count():
    watch = Watch()
    watch_for(watch, 1)

    watch.read(500.0)

    assert not watch.dead("other", 1, 500.0)


def test_a_forgotten_server_is_seen_for_the_first_time_again():
    watch = Watch()
    watch_for(watch, 3)

    watch.forget(set())

    assert not watch_for(watch, 1, start=4)


def test_a_server_that_is_still_there_is_not_forgotten():
    watch = Watch()
    watch_for(watch, 3)

    watch.forget({"other"})

    assert watch_for(watch, 1, start=4)
