"""The geometry of graphs: numbers in, SVG attributes out. No database, no texts, no colours.

Every coordinate is text already, so that no language writes it with a comma.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

#: The drawing's own units; the page stretches it.
WIDTH, HEIGHT, LANE_HEIGHT = 600.0, 208.0, 44.0
#: Parts of the vertical axis.
PARTS = 4
#: Something that happened is seen, however small beside the rest.
LEAST_HEIGHT = 1.2
_GAP = 2.0
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


class Axis(NamedTuple):
    """A vertical axis from 0 to `top`."""

    top: float
    #: From the top down, the last one 0.
    ticks: tuple[float, ...]


class Band(NamedTuple):
    """One layer of a stack: its filled area and its upper edge, as paths."""

    area: str
    edge: str


class Bar(NamedTuple):
    """One rectangle."""

    x: str
    y: str
    width: str
    height: str


def axis(largest: float, least: float = 1.0) -> Axis:
    """Return an axis with round ticks that holds `largest`, reaching at least to `least`."""
    step = max(largest, least) / PARTS
    power = 10.0 ** math.floor(math.log10(step))
    step = next(n * power for n in _STEPS if n * power >= step * (1 - 1e-9))
    return Axis(step * PARTS, tuple(step * part for part in range(PARTS, -1, -1)))


def grid(height: float = HEIGHT) -> list[str]:
    """Return the horizontal lines above the base, as paths."""
    return [f"M0 {height * part / PARTS:g}H{WIDTH:g}" for part in range(PARTS)]


def stack(
    times: Sequence[float], layers: Sequence[Sequence[float]], top: float, height: float = HEIGHT
) -> list[Band]:
    """Return layers on top of each other, the first at the bottom.

    `times`: from 0 (left) to 1 (right), ascending; each layer has a value for each of them.
    """
    if not times:
        return [Band("", "") for _ in layers]
    floor, bands = [0.0] * len(times), []
    for layer in layers:
        ceiling = [low + max(0.0, value) for low, value in zip(floor, layer, strict=True)]
        upper = _points(times, ceiling, top, height)
        lower = _points(times, floor, top, height)
        bands.append(Band(f"M{' '.join(upper + lower[::-1])}z", f"M{' '.join(upper)}"))
        floor = ceiling
    return bands


def _points(
    times: Sequence[float], values: Sequence[float], top: float, height: float
) -> list[str]:
    return [
        f"{time * WIDTH:.1f} {height - min(value / top, 1.0) * height:.1f}"
        for time, value in zip(times, values, strict=True)
    ]


def columns(
    layers: Sequence[Sequence[float]], top: float, height: float = HEIGHT
) -> list[list[Bar | None]]:
    """Return for each layer one bar per value, stacked; None where nothing happened."""
    if not layers or not layers[0]:
        return [[] for _ in layers]
    cell = WIDTH / len(layers[0])
    gap = min(_GAP, cell / 4)
    floor = [height] * len(layers[0])
    drawn = []
    for layer in layers:
        bars: list[Bar | None] = []
        for number, value in enumerate(layer):
            if value <= 0:
                bars.append(None)
                continue
            tall = max(min(value / top, 1.0) * height, LEAST_HEIGHT)
            floor[number] -= tall
            left = number * cell + gap
            bars.append(
                Bar(
                    f"{left:.1f}",
                    f"{max(floor[number], 0.0):.1f}",
                    f"{cell - 2 * gap:.1f}",
                    f"{tall:.1f}",
                )
            )
        drawn.append(bars)
    return drawn
