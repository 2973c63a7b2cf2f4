"""Charts: where the marks stand, and that they are drawn there."""

import re

import pytest

from catalog.web.charts import Plot, curves, scatter
from catalog.web.pages import TEMPLATES


def drawn(plot: Plot, y_label: str = "y") -> str:
    return str(TEMPLATES.get_template("charts.html").module.draw(plot, "x", y_label))


def test_points_lie_on_equal_logarithmic_axes():
    plot = scatter([(1.0, 10.0), (100.0, 100.0), (0.0, 1.0), (10.0, 1.0)])
    first, second, least, fourth = plot.points
    assert plot.right - plot.left == plot.bottom - plot.top
    assert [tick.label for tick in plot.x_ticks] == [tick.label for tick in plot.y_ticks]
    # A decade to the right is as far as a decade up; on the line y = x both are the same.
    decade = (plot.right - plot.left) / 5
    assert fourth.x - first.x == pytest.approx(decade, abs=0.2)
    assert fourth.y - first.y == pytest.approx(decade, abs=0.2)
    assert second.x - plot.left == pytest.approx(plot.bottom - second.y, abs=0.2)
    assert least.x == plot.left  # as a thousandth, the lowest decade
    svg = drawn(plot, "a<b")
    assert svg.count("<circle") == 4
    assert f'cx="{first.x}" cy="{first.y}"' in svg
    assert "a&lt;b" in svg
    assert "<b" not in svg


def test_no_points_are_an_empty_chart():
    svg = drawn(scatter([]))
    assert svg.count("<circle") == 0
    assert "nan" not in svg


def test_a_curve_falls_where_its_losses_fall():
    plot = curves([("N = 200", [(1, 4000.0), (2, 2000.0), (3, 1000.0)]), ("<N>", [(1, 500.0)])])
    first, second, third = plot.lines[0].points
    assert first.x < second.x < third.x
    assert first.y < second.y < third.y  # downwards
    # A half each time: a logarithmic axis.
    assert third.y - second.y == pytest.approx(second.y - first.y, abs=0.2)
    assert plot.lines[1].points[0].y > third.y
    svg = drawn(plot)
    falling = f"{first.x},{first.y} {second.x},{second.y} {third.x},{third.y}"
    assert re.findall('points="([^"]*)"', svg)[0] == falling
    assert "&lt;N&gt;" in svg
    assert all(line.colour in svg for line in plot.lines)


@pytest.mark.parametrize("points", [[], [(1, 5.0)], [(1, 5.0), (2, 5.0)], [(1, 0.0)]])
def test_short_and_flat_curves_are_drawn(points):
    plot = curves([("c", points)])
    assert "nan" not in drawn(plot)
    assert len(plot.lines[0].points) == sum(loss > 0 for _epoch, loss in points)


def test_names_of_many_curves_stand_above_the_chart():
    named = [(str(number), [(1, 1.0), (2, 0.5)]) for number in range(6)]
    plot = curves(named)
    heights = [int(y) for y in re.findall(r'y="(\d+)" fill', drawn(plot))]
    assert len(heights) == 6
    assert max(heights) < plot.top
