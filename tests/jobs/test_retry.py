"""When a failed job runs again."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.retry import LONGEST_DELAY_SECONDS, RetryPolicy, check_delays, default_delay


@given(st.integers(1, 1000), st.integers())
def test_the_default_delay_stays_on_its_curve(retry, seed):
    least = (retry - 1) ** 4 + 15

    assert least <= default_delay(retry, random.Random(seed)) <= least + 29 * retry


@given(st.integers(0, 999))
def test_a_policy_without_delays_uses_the_default_curve(retries):
    least = min(retries**4 + 15, LONGEST_DELAY_SECONDS)

    delay = RetryPolicy(max_retries=1000).delay(ValueError(), retries)

    assert least <= delay <= min(retries**4 + 15 + 29 * (retries + 1), LONGEST_DELAY_SECONDS)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=10), st.integers(0, 30))
def test_a_list_of_delays_repeats_its_last(delays, retries):
    delay = RetryPolicy(max_retries=1000, delays=delays).delay(ValueError(), retries)

    assert delay == (delays[retries] if retries < len(delays) else delays[-1])


def test_a_function_gets_the_number_of_the_retry():
    policy = RetryPolicy(delays=lambda number: number * 10)

    assert [policy.delay(ValueError(), retries) for retries in (0, 1, 2)] == [10, 20, 30]


def test_what_a_delay_function_raises_gets_through():
    def broken(number):
        raise LookupError(number)

    with pytest.raises(LookupError):
        RetryPolicy(delays=broken).delay(ValueError(), 0)


@given(st.integers(0, 20), st.integers(0, 20))
def test_there_are_as_many_retries_as_allowed(allowed, used):
    delay = RetryPolicy(max_retries=allowed, delays=[1]).delay(ValueError(), used)

    assert (delay is None) == (used >= allowed)


def test_only_errors_of_retry_on_are_retried():
    policy = RetryPolicy(delays=[1], retry_on=(LookupError,))

    assert policy.delay(KeyError(), 0) == 1
    assert policy.delay(ValueError(), 0) is None


def test_errors_of_give_up_on_are_never_retried():
    policy = RetryPolicy(delays=[1], give_up_on=(KeyError,))

    assert policy.delay(KeyError(), 0) is None
    assert policy.delay(IndexError(), 0) == 1


def test_give_up_on_wins_over_retry_on():
    policy = RetryPolicy(delays=[1], retry_on=(LookupError,), give_up_on=(KeyError,))

    assert policy.delay(KeyError(), 0) is None


@pytest.mark.parametrize("seconds", [1e9, 1e300, 10**400])
def test_a_longer_delay_is_cut(seconds):
    policy = RetryPolicy(delays=lambda number: seconds)

    assert policy.delay(ValueError(), 0) == LONGEST_DELAY_SECONDS


@pytest.mark.parametrize("value", [None, "5", -1, float("nan"), float("inf"), [1], True])
def test_a_delay_function_that_returns_no_seconds_is_refused(value):
    with pytest.raises(ValueError, match="the delay before retry 1"):
        RetryPolicy(delays=lambda number: value).delay(ValueError(), 0)


@pytest.mark.parametrize(
    "delays",
    [[], (), "12", 5, None, {1: 2}, [True], ["1"], [-1], [float("nan")], [float("inf")], [10**400]],
)
def test_bad_lists_of_delays_are_refused(delays):
    assert check_delays(delays).startswith("must")


@given(st.lists(st.one_of(st.integers(0, 10**9), st.floats(0, 1e9)), min_size=1))
def test_good_lists_of_delays_are_accepted(delays):
    assert check_delays(delays) is None
    assert check_delays(tuple(delays)) is None
