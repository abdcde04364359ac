"""The report's two charts, drawn by hand as SVG: they take the page's colours and need neither script nor file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from markupsafe import Markup

from facegen.metrics.extrapolation import Extrapolation
from facegen.printable import printable

_WIDTH = 760


@dataclass(frozen=True)
class Mark:
    """A row of the scale.

    Attributes:
        label: what the value is of.
        value: where its point stands.
        bar: from where to where its uncertainty reaches; None where that is unknown.
        text: the value in words, to the right of the row.
        kind: its CSS class: ``"floor"``, ``"value"`` or ``"limit"``.
    """

    label: str
    value: float
    bar: tuple[float, float] | None
    text: str
    kind: str


def scale_chart(marks: Sequence[Mark], target: float | None) -> Markup:
    """All marks below one another on one axis, with a line at ``target`` where there is one."""
    row, top, left, right = 40, 34, 150, 510
    bottom = top + row * len(marks)
    readings = [f"{mark.label}: {mark.text}" for mark in marks]
    readings += [] if target is None else [f"target: {target:g}"]
    canvas = _Canvas(bottom + 30, "; ".join(readings))
    ends = [mark.value for mark in marks] + [end for mark in marks for end in mark.bar or ()]
    ticks = nice_ticks(min(0.0, *ends), max([*ends, target or 0.0]))
    axis = _Axis(ticks[0], ticks[-1], left, right)
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
    """The distance of subsets over 1/N, the line through them, and where it meets N = ∞.

    ``interval`` is that of the distance of all images; ``label`` is what the distance is called.
    """
    left, right, top, bottom = 70, 740, 40, 300
    n = found.sizes[-1]
    canvas = _Canvas(
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
    y = _Axis(ticks[0], ticks[-1], bottom, top)
    x = _Axis(0.0, 1.04 / found.sizes[0], left, right)
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


def nice_ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Round numbers 1, 2 or 5 · 10ᵏ apart that enclose ``low`` and ``high``, some ``about`` of them."""
    raw = max(high - low, abs(high) * 1e-3, 1e-9) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    digits = max(0, -math.floor(math.log10(step)))
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(index * step, digits) for index in range(first, max(last, first + 1) + 1)]


@dataclass(frozen=True)
class _Axis:
    """Maps values from ``low`` to ``high`` onto the picture's ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


class _Canvas:
    """An SVG picture; every text is escaped by the XML writer."""

    def __init__(self, height: float, title: str) -> None:
        self._root = ElementTree.Element(
            "svg", {"viewBox": f"0 0 {_WIDTH} {height:g}", "role": "img", "aria-label": printable(title)}
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        self._add("line", kind, x1=x1, y1=y1, x2=x2, y2=y2)

    def error_bar(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """A bar with a cap across each end."""
        self.line(x1, y1, x2, y2, f"bar {kind}")
        dx, dy = (0, 6) if y1 == y2 else (6, 0)
        for x, y in ((x1, y1), (x2, y2)):
            self.line(x - dx, y - dy, x + dx, y + dy, f"bar {kind}")

    def circle(self, x: float, y: float, radius: float, kind: str, tip: str | None = None) -> None:
        circle = self._add("circle", kind, cx=x, cy=y, r=radius)
        if tip is not None:
            ElementTree.SubElement(circle, "title").text = printable(tip)

    def text(self, x: float, y: float, text: str, kind: str, anchor: str = "start") -> None:
        element = self._add("text", kind, x=x, y=y)
        element.set("text-anchor", anchor)
        element.text = printable(text)

    def _add(self, tag: str, kind: str, **places: float) -> ElementTree.Element:
        attributes = {name: f"{place:.2f}" for name, place in places.items()}
        return ElementTree.SubElement(self._root, tag, {"class": kind, **attributes})

    def markup(self) -> Markup:
        return Markup(ElementTree.tostring(self._root, encoding="unicode"))
