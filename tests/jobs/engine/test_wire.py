"""Messages between the processes of a cluster."""

import socket
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.engine import wire

plain = st.recursive(
    st.one_of(st.integers(), st.text(), st.floats(allow_nan=False), st.booleans(), st.binary()),
    lambda inner: st.one_of(st.lists(inner), st.lists(inner).map(tuple)),
    max_leaves=10,
)


@pytest.fixture
def ends():
    left, right = socket.socketpair()
    with left, right:
        yield left, right


@given(st.lists(plain, max_size=5), st.lists(st.integers(0, 500)))
def test_messages_split_anywhere_arrive_whole(messages, cuts):
    data = b"".join(wire.frame(message) for message in messages)
    at = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    inbox, found = wire.Inbox(), []

    for start, end in pairwise(at):
        inbox.feed(data[start:end])
        found += inbox

    assert found == messages


def test_half_a_message_is_none():
    inbox = wire.Inbox()

    inbox.feed(wire.frame(("ack", 1))[:-1])

    assert inbox.pop() is None


def test_a_cleared_inbox_forgets_half_a_message():
    inbox = wire.Inbox()
    inbox.feed(wire.frame(1)[:-1])

    inbox.clear()
    inbox.feed(wire.frame(2))

    assert inbox.pop() == 2


def test_drain_reads_all_that_is_there_and_does_not_wait(ends):
    left, right = ends
    inbox = wire.Inbox()
    left.sendall(wire.frame(1) + wire.frame(2))

    assert wire.drain(right, inbox)
    assert list(inbox) == [1, 2]


def test_drain_tells_that_the_other_end_is_closed_and_keeps_what_came_before(ends):
    left, right = ends
    inbox = wire.Inbox()
    left.sendall(wire.frame(1))
    left.close()

    assert not wire.drain(right, inbox)
    assert list(inbox) == [1]


def test_an_outbox_never_waits_and_loses_nothing(ends):
    left, right = ends
    outbox, inbox = wire.Outbox(left), wire.Inbox()
    messages = [("x" * 100_000, number) for number in range(20)]
    for message in messages:
        outbox.put(message)
    found = []

    while len(found) < len(messages):
        wire.drain(right, inbox)
        found += inbox
        outbox.flush()

    assert found == messages
    assert outbox.flush()


def test_an_outbox_to_a_closed_end_throws_away(ends):
    left, right = ends
    right.close()
    outbox = wire.Outbox(left)

    outbox.put(1)

    assert outbox.flush()
