"""Where the marks of a chart stand, in pixels; templates/charts.html draws them as inline SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

SIDE_PX = 460
WIDTH_PX, HEIGHT_PX = 528, 208
LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 84, 32, 16, 56
LEGEND_PX = 15
COLOURS = ("#2763c4", "#c4472b", "#2f8f5b", "#7a4fb5")
DIAGONAL = "#8a94a3"


class Point(NamedTuple):
    """A place in the drawing, from its upper left corner."""

    x: float
    y: float


class Tick(NamedTuple):
    """A line of the grid across one axis, and the number beside it."""

    at: float
    label: str


class Line(NamedTuple):
    """A line through points; label: "" where the legend leaves it out."""

    label: str
    colour: str
    points: list[Point]


@dataclass(frozen=True)
class Plot:
    """A chart of (width, height), its axes between the four edges."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: list[Line]
    points: list[Point]


def scatter(pairs: Sequence[tuple[float, float]]) -> Plot:
    """Return the points (x, y) on two equal logarithmic axes, with the line y = x.

    Values are >= 0; below a thousandth they are drawn at a thousandth.
    """
    logs = [(_log(x), _log(y)) for x, y in pairs]
    every = [value for pair in logs for value in pair]
    low = math.floor(min(every, default=0.0))
    high = max(math.ceil(max(every, default=1.0)), low + 1)
    bottom = TOP_PX + SIDE_PX

    def place(x: float, y: float) -> Point:
        share_x, share_y = ((value - low) / (high - low) for value in (x, y))
        return Point(round(LEFT_PX + share_x * SIDE_PX, 1), round(bottom - share_y * SIDE_PX, 1))

    ticks = [(place(at, at), f"{10.0**at:,g}") for at in range(low, high + 1)]
    return Plot(
        width=LEFT_PX + SIDE_PX + RIGHT_PX,
        height=bottom + BOTTOM_PX,
        left=LEFT_PX,
        right=LEFT_PX + SIDE_PX,
        top=TOP_PX,
        bottom=bottom,
        x_ticks=[Tick(point.x, label) for point, label in ticks],
        y_ticks=[Tick(point.y, label) for point, label in ticks],
        lines=[Line("", DIAGONAL, [place(low, low), place(high, high)])],
        points=[place(x, y) for x, y in logs],
    )


def curves(named: Sequence[tuple[str, Sequence[tuple[int, float]]]]) -> Plot:
    """Return a line for each (label, (epoch, loss) points), the losses on a logarithmic axis.

    A loss of 0 has no place there and is left out.
    """
    points = [point for _label, of_one in named for point in of_one]
    last = max((epoch for epoch, _loss in points), default=1)
    logs = [math.log10(loss) for _epoch, loss in points if loss > 0]
    low, high = min(logs, default=0.0), max(logs, default=1.0)
    spare = 0.05 * (high - low) or 0.1
    low, high = low - spare, high + spare
    top = TOP_PX + LEGEND_PX * len(named)
    bottom = top + HEIGHT_PX

    def across(epoch: int) -> float:
        return round(LEFT_PX + (epoch - 1) / max(1, last - 1) * WIDTH_PX, 1)

    def down(log: float) -> float:
        return round(top + (high - log) / (high - low) * HEIGHT_PX, 1)

    levels = [low + i * (high - low) / 4 for i in range(5)]
    return Plot(
        width=LEFT_PX + WIDTH_PX + RIGHT_PX,
        height=bottom + BOTTOM_PX,
        left=LEFT_PX,
        right=LEFT_PX + WIDTH_PX,
        top=top,
        bottom=bottom,
        x_ticks=[Tick(across(epoch), str(epoch)) for epoch in sorted({1, (1 + last) // 2, last})],
        y_ticks=[Tick(down(level), f"{10**level:,.4g}") for level in levels],
        lines=[
            Line(
                label,
                COLOURS[number % len(COLOURS)],
                [
                    Point(across(epoch), down(math.log10(loss)))
                    for epoch, loss in of_one
                    if loss > 0
                ],
            )
            for number, (label, of_one) in enumerate(named)
        ],
        points=[],
    )


def _log(value: float) -> float:
    return math.log10(max(value, 1e-3))
