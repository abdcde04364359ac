from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegen.pictures.line_chart import Line, line_chart


def points_of(svg: str) -> list[list[tuple[float, float]]]:
    lines = [element.get("points", "") for element in ElementTree.fromstring(svg).iter("polyline")]
    return [[(float(x), float(y)) for x, y in (pair.split(",") for pair in line.split())] for line in lines]


def test_a_line_goes_through_its_points_in_proportion() -> None:
    (line,) = points_of(line_chart("a", [Line("a", [(0, 0), (5, 50), (10, 100)])], of="kimg"))
    (x0, y0), (x1, y1), (x2, y2) = line
    assert x1 == pytest.approx((x0 + x2) / 2, abs=0.1) and y1 == pytest.approx((y0 + y2) / 2, abs=0.1) and y2 < y0


def test_far_apart_values_are_drawn_by_their_logarithms() -> None:
    (line,) = points_of(line_chart("a", [Line("a", [(0, 10), (5, 100), (10, 1000)])], of="kimg", logarithmic=True))
    assert line[1][1] == pytest.approx((line[0][1] + line[2][1]) / 2, abs=0.1)


def test_the_lowest_point_of_the_first_line_is_marked() -> None:
    svg = line_chart("a", [Line("a", [(1, 9), (2, 4), (3, 5)])], of="kimg", mark=True)
    assert "lowest 4 at 2 kimg" in svg and svg.count("<circle") == 1


def test_one_point_is_a_dot_and_none_is_nothing() -> None:
    assert "<circle" in line_chart("a", [Line("a", [(1, 2)])], of="kimg")
    assert line_chart("a", [Line("a", [(1, math.nan)])], of="kimg") == ""


def test_names_are_escaped() -> None:
    assert "<b>" not in line_chart("<b>", [Line("<b>", [(1, 2), (2, 3)])], of="<b>")


@given(
    points=st.lists(st.tuples(st.floats(0, 1e9), st.floats(-1e12, 1e12)), min_size=1, max_size=700),
    logarithmic=st.booleans(),
)
def test_whatever_the_values_they_are_drawn_within_the_picture(
    points: list[tuple[float, float]], logarithmic: bool
) -> None:
    svg = line_chart("a", [Line("a", sorted(points))], of="kimg", logarithmic=logarithmic, mark=True)
    width, height = map(float, re.findall(r'viewBox="0 0 (\d+) (\d+)"', svg)[0])
    for line in points_of(svg):
        assert len(line) <= 302
        assert all(-1 <= x <= width + 1 and -1 <= y <= height + 1 for x, y in line)
