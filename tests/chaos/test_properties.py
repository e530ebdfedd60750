"""The property tests again, with more examples and two connections."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from django.db import connection, connections
from hypothesis import HealthCheck, settings
from hypothesis.stateful import initialize, rule, run_state_machine_as_test

from tests.jobs import test_recurrence, test_retry, test_serialization, test_statistics
from tests.jobs.test_state_machine import Jobs

from .figures import Record, shown

Scale = Callable[[Any, Any], Any]
pytestmark = pytest.mark.timeout(900)

ABOUT = {
    test_recurrence: "next occurrences: after the time asked for, matching, none left out",
    test_retry: "delays of retries: within their bounds",
    test_serialization: "arguments: come back as they were",
    test_statistics: "histograms: quantiles within their bounds",
}


def properties(module: ModuleType) -> list[Callable[[], None]]:
    return [value for value in vars(module).values() if hasattr(value, "hypothesis")]


@pytest.mark.skipif(
    connection.vendor != "sqlite", reason="they use no database: to run them with one is enough"
)
@pytest.mark.parametrize("module", ABOUT, ids=lambda module: module.__name__.split("_")[-1])
def test_properties_hold_for_more_examples(
    module: ModuleType, figure: Record, scale: Scale, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = 0

    def counting(inner: Callable[..., Any]) -> Callable[..., Any]:
        def test(*args: Any, **kwargs: Any) -> Any:
            nonlocal examples
            examples += 1
            return inner(*args, **kwargs)

        return test

    for test in properties(module):
        handle = test.hypothesis  # type: ignore[attr-defined]
        monkeypatch.setattr(handle, "inner_test", counting(handle.inner_test))
        for _ in range(scale(1, 20)):  # each time others
            test()
    figure(10, ABOUT[module], "examples without a counter-example", examples, "", shown)
    assert examples > 50


class JobsFromTwoConnections(Jobs):
    """Each operation comes from one connection or the other, in turn at random."""

    connections: list[Any]
    examples = 0
    operations = 0

    @initialize()
    def count(self) -> None:
        type(self).examples += 1

    @rule()
    def change_connection(self) -> None:
        type(self).operations += 1
        self.connections.reverse()
        connections["default"] = self.connections[0]


def test_jobs_stay_in_order_from_two_connections(
    transactional_db: None, figure: Record, scale: Scale
) -> None:
    ours = connections["default"]
    JobsFromTwoConnections.connections = [ours, ours.copy()]
    try:
        run_state_machine_as_test(
            JobsFromTwoConnections,
            settings=settings(
                max_examples=scale(8, 150),
                stateful_step_count=30,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                database=None,
            ),
        )
    finally:
        connections["default"] = ours
        for each in JobsFromTwoConnections.connections:
            each.close()
    what = "jobs under random operations from two connections: legal states, history without gaps"
    examples = JobsFromTwoConnections.examples
    figure(10, what, "sequences without a counter-example", examples, "", shown)
    assert JobsFromTwoConnections.operations > 0
