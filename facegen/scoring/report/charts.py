"""The two charts of the report, drawn as SVG by hand.

They use the colours of the page and need neither scripts nor other files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from facegen.metrics.extrapolation import Extrapolation
from facegen.pictures.svg import Axis, Canvas, nice_ticks

_WIDTH = 760


@dataclass(frozen=True)
class Mark:
    """A row of the scale chart.

    Attributes:
        label: What the value belongs to.
        value: Position of the point.
        bar: The ends of the uncertainty bar; None if the uncertainty is unknown.
        text: The value in words, to the right of the row.
        kind: The CSS class: ``"floor"``, ``"value"`` or ``"limit"``.
    """

    label: str
    value: float
    bar: tuple[float, float] | None
    text: str
    kind: str


def scale_chart(marks: Sequence[Mark], target: float | None) -> Markup:
    """Draw all marks below one another on one axis, with a line at ``target`` if there is one."""
    row, top, left, right = 40, 34, 150, 510
    bottom = top + row * len(marks)
    readings = [f"{mark.label}: {mark.text}" for mark in marks]
    readings += [] if target is None else [f"target: {target:g}"]
    canvas = Canvas(_WIDTH, bottom + 30, "; ".join(readings))
    ends = [mark.value for mark in marks] + [end for mark in marks for end in mark.bar or ()]
    ticks = nice_ticks(min(0.0, *ends), max([*ends, target or 0.0]))
    axis = Axis(ticks[0], ticks[-1], left, right)
    for tick in ticks:
        canvas.line(axis(tick), top, axis(tick), bottom, "grid")
        canvas.text(axis(tick), bottom + 20, f"{tick:g}", "tick", "middle")
    if target is not None:
        canvas.line(axis(target), top - 8, axis(target), bottom, "target")
        canvas.text(axis(target), top - 14, f"target {target:g}", "target", "middle")
    for index, mark in enumerate(marks):
        middle = top + row * (index + 0.5)
        canvas.text(0, middle + 5, mark.label, "name")
        if mark.bar is not None:
            canvas.error_bar(axis(mark.bar[0]), middle, axis(mark.bar[1]), middle, mark.kind)
        canvas.circle(axis(mark.value), middle, 6, mark.kind)
        canvas.text(right + 20, middle + 5, mark.text, mark.kind)
    return canvas.markup()


def curve_chart(found: Extrapolation, interval: tuple[float, float] | None, target: float | None, label: str) -> Markup:
    """Draw the distances of subsets over 1/N, the line through them, and where it meets N = ∞.

    Args:
        found: The subsets' distances and the line through them.
        interval: Confidence interval of the distance of all images; None if it was not measured.
        target: The value to stay below; None if there is no target.
        label: Name of the distance.
    """
    left, right, top, bottom = 70, 740, 40, 300
    n = found.sizes[-1]
    canvas = Canvas(
        _WIDTH,
        bottom + 54,
        f"{label} against the number of images: from {found.values[0]:.2f} at {found.sizes[0]:,} to "
        f"{found.values[-1]:.2f} at {n:,}, and {found.value:.2f} extrapolated to infinitely many",
    )
    canvas.text(0, 16, label, "name")
    ends = [*found.values, found.value, *(interval or ())]
    low, high = min(ends), max(ends)
    if target is not None and low - (high - low) <= target <= high + (
        high - low
    ):  # otherwise it would flatten the curve
        low, high = min(low, target), max(high, target)
    ticks = nice_ticks(low, high)
    y = Axis(ticks[0], ticks[-1], bottom, top)
    x = Axis(0.0, 1.04 / found.sizes[0], left, right)
    for tick in ticks:
        canvas.line(left, y(tick), right, y(tick), "grid")
        canvas.text(left - 10, y(tick) + 5, f"{tick:g}", "tick", "end")
    if target is not None and ticks[0] <= target <= ticks[-1]:
        canvas.line(left, y(target), right, y(target), "target")
        canvas.text(right, y(target) - 6, f"target {target:g}", "target", "end")
    for size in {found.sizes[0], found.sizes[len(found.sizes) // 3], n}:
        canvas.line(x(1 / size), bottom, x(1 / size), bottom + 6, "axis")
        canvas.text(x(1 / size), bottom + 22, f"{size:,}", "tick", "middle")
    canvas.text(x(0), bottom + 22, "∞", "tick", "middle")
    canvas.line(left, bottom, right, bottom, "axis")
    canvas.text((left + right) / 2, bottom + 46, "number of images N, spaced as 1/N", "name", "middle")
    canvas.line(x(0), y(found.value), x(1 / found.sizes[0]), y(found.value + found.slope / found.sizes[0]), "fit")
    if interval is not None:
        canvas.error_bar(x(1 / n), y(interval[0]), x(1 / n), y(interval[1]), "value")
    for size, value in zip(found.sizes, found.values, strict=True):
        canvas.circle(x(1 / size), y(value), 6 if size == n else 4, "value", f"N = {size:,}: {value:.2f}")
    canvas.circle(x(0), y(found.value), 6, "limit", f"N = ∞: {found.value:.2f}")
    canvas.text(x(0) + 14, y(found.value) + 5, f"{found.value:.2f} at N = ∞", "limit")
    return canvas.markup()
