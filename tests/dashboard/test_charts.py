"""The geometry of graphs."""

import pytest

from jobs.dashboard import charts


@pytest.mark.parametrize(
    ("largest", "top"),
    [(0, 1), (1, 1), (3.2, 4), (4.1, 8), (84.2, 100), (101, 200), (29_412, 40_000), (0.02, 1)],
)
def test_an_axis_holds_the_largest_value_and_is_round(largest, top):
    assert charts.axis(largest).top == pytest.approx(top)


def test_the_ticks_go_from_the_top_to_nothing():
    assert charts.axis(7).ticks == (8, 6, 4, 2, 0)


def test_layers_stand_on_each_other():
    lower, upper = charts.stack([0, 1], [[1, 1], [2, 3]], top=4, height=100)
    assert lower.edge == "M0.0 75.0 600.0 75.0"
    assert upper.edge == "M0.0 25.0 600.0 0.0"
    assert upper.area == "M0.0 25.0 600.0 0.0 600.0 75.0 0.0 75.0z"


def test_without_any_time_there_is_nothing_to_draw():
    assert charts.stack([], [[], []], top=1) == [charts.Band("", "")] * 2


def test_a_bar_is_as_tall_as_its_value_and_none_is_drawn_for_nothing():
    ((first, second),) = charts.columns([[0, 50]], top=100, height=200)
    assert first is None
    assert second == charts.Bar("302.0", "100.0", "296.0", "100.0")


def test_one_event_among_many_is_still_seen():
    ((bar,),) = charts.columns([[1]], top=1_000_000)
    assert float(bar.height) == charts.LEAST_HEIGHT


def test_no_coordinate_depends_on_the_language(settings):
    from django.utils import translation

    with translation.override("de"):
        assert "," not in charts.stack([0, 1], [[1.5, 2.5]], top=4)[0].area
