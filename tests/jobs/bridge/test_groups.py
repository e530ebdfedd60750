"""Groups, chains, iterations and results in the cache."""

import pytest
from django.core.cache import cache
from django_q.tasks import (
    Chain,
    Iter,
    async_chain,
    async_iter,
    async_task,
    count_group,
    delete_group,
    fetch,
    fetch_group,
    result,
    result_group,
)

from jobs import transitions
from jobs.models import Job
from jobs.runner import execute
from jobs.testing import drain

pytestmark = pytest.mark.django_db

ADD = "tests.functions.add"


@pytest.fixture(autouse=True)
def _empty_cache():
    cache.clear()
    yield
    cache.clear()


def test_a_group_is_counted_fetched_and_deleted():
    for number in range(3):
        async_task(ADD, number, group="sums")
    async_task("tests.functions.fail", group="sums")

    drain()

    assert (count_group("sums"), count_group("sums", failures=True)) == (4, 1)
    assert sorted(result_group("sums")) == [1, 2, 3]
    assert len(fetch_group("sums", failures=False)) == 3
    delete_group("sums", tasks=True)
    assert count_group("sums") == 0


def test_a_chain_runs_one_after_the_other_each_a_job():
    chain = Chain()
    chain.append(ADD, 1)
    chain.append("tests.functions.kind", (1, 2))
    chain.append(ADD, 3, b=4)
    chain.run()
    assert Job.objects.count() == 1

    drain()

    assert (chain.current(), chain.length()) == (3, 3)
    assert sorted(map(str, chain.result())) == ["2", "7", "tuple"]
    first, second, third = Job.objects.order_by("id")
    assert (second.parent_id, third.parent_id) == (first.pk, second.pk)


def test_a_chain_goes_on_when_a_step_has_failed_for_good():
    group = async_chain([("tests.functions.fail", (), {"ack_failure": True}), (ADD, (1,))])

    drain()

    assert count_group(group) == 2


def test_a_cached_chain_too():
    group = async_chain([(ADD, (1,)), (ADD, (2,))], cached=True)

    drain()

    assert result_group(group, cached=True) == [2, 3]
    assert count_group(group) == 0


def test_a_cached_result_is_in_the_cache_only():
    task_id = async_task(ADD, 1, cached=60)

    drain()

    assert (result(task_id, cached=True), fetch(task_id)) == (2, None)
    assert fetch(task_id, cached=True).args == (1,)


def test_an_iteration_puts_its_results_together():
    task_id = async_iter(ADD, [1, 2, (3, 4)])

    drain()

    assert Job.objects.count() == 3
    assert sorted(result(task_id)) == [2, 3, 7]
    assert fetch(task_id).args == [1, 2, (3, 4)]


def test_a_part_that_runs_twice_is_in_the_results_once():
    iteration = Iter(ADD, [1, 2])
    iteration.run()
    [first, _] = Job.objects.order_by("id")
    [claimed] = transitions.claim("default", 1, server="s", token="a", idle=1)
    assert claimed.id == first.pk
    execute(claimed, "w")  # and died before anybody heard of it
    transitions.give_back([(claimed.id, "a")], "its worker died", started=True)

    drain()

    assert sorted(iteration.result()) == [2, 3]
