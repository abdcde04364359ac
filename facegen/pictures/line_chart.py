"""Line charts as SVG. The page defines the CSS classes ``line``, ``first``, ``second``, ``grid`` and ``tick``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from facegen.pictures.svg import Axis, Canvas, nice_ticks

_WIDTH, _HEIGHT = 420, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 408, 28, 176
#: Maximum number of points of a line. A chart has no more columns, and a page receives it every second.
_MOST = 300
#: The axis is logarithmic if the largest value exceeds the smallest by this factor: a score falls fast, then slowly.
_DECADES = 4.0


@dataclass(frozen=True)
class Line:
    """Points (x, y) from left to right, and the line's name. Points that are not finite are left out."""

    name: str
    points: Sequence[tuple[float, float]]


def line_chart(title: str, lines: Sequence[Line], *, of: str, logarithmic: bool = False, mark: bool = False) -> Markup:
    """Draw one or two lines over the axis ``of``. The name of each line is above it in the line's colour.

    Args:
        title: The description for screen readers.
        lines: One or two lines. Without any finite point the chart is empty Markup.
        of: Label of the horizontal axis, such as ``"kimg"``.
        logarithmic: Use a logarithmic vertical axis if the values are positive and far apart.
        mark: Circle the lowest point of the first line and write its value.
    """
    drawn = [
        Line(line.name, _thinned([(x, y) for x, y in line.points if math.isfinite(x) and math.isfinite(y)]))
        for line in lines
    ]
    everything = [point for line in drawn for point in line.points]
    if not everything:
        return Markup()
    low, high = min(y for _, y in everything), max(y for _, y in everything)
    is_log = logarithmic and low > 0 and high >= _DECADES * low
    ticks = _log_ticks(low, high) if is_log else nice_ticks(low, high, 4)

    def height(value: float) -> float:
        return math.log10(value) if is_log else value

    y = Axis(height(ticks[0]), height(ticks[-1]), _BOTTOM, _TOP)
    end = max(x for x, _ in everything)
    x = Axis(0.0, end or 1.0, _LEFT, _RIGHT)
    canvas = Canvas(_WIDTH, _HEIGHT, title)
    for tick in ticks:
        canvas.line(_LEFT, y(height(tick)), _RIGHT, y(height(tick)), "grid")
        canvas.text(_LEFT - 6, y(height(tick)) + 4, f"{tick:g}", "tick", "end")
    for tick in (tick for tick in nice_ticks(0.0, end, 4) if 0 <= tick <= x.high):
        canvas.text(x(tick), _BOTTOM + 16, f"{tick:,g}", "tick", "middle")
    canvas.text(_RIGHT, _HEIGHT - 4, of, "tick", "end")
    for index, (line, kind) in enumerate(zip(drawn, ("first", "second"), strict=False)):
        places = [(x(at), y(height(value))) for at, value in line.points]
        if len(places) > 1:
            canvas.polyline(places, f"line {kind}")
        elif places:
            canvas.circle(*places[0], 3, kind)
        canvas.text(_LEFT + 110 * index, 14, line.name, kind)
    if mark and drawn[0].points:
        at, value = min(drawn[0].points, key=lambda point: point[1])
        canvas.circle(x(at), y(height(value)), 4, "first", f"{value:.4g} at {at:,g} {of}")
        canvas.text(_RIGHT, 14, f"lowest {value:.4g} at {at:,g} {of}", "tick", "end")
    return canvas.markup()


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Select at most about three hundred points at equal steps, including the last one."""
    step = -(-len(points) // _MOST)
    return points if step <= 1 else [*points[:-1:step], points[-1]]


def _log_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times powers of ten that enclose ``low`` and ``high``, or only powers if there are many."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    factors = (1, 2, 5) if last - first <= 2 else (1,)
    every = sorted({factor * 10.0**power for power in range(first, last + 1) for factor in factors})
    below = [index for index, tick in enumerate(every) if tick <= low]
    above = [index for index, tick in enumerate(every) if tick >= high]
    return every[below[-1] : above[0] + 1]
