"""Charts as SVG. They use the page's colours and need neither scripts nor other files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from markupsafe import Markup

from facegen.printable import printable


def nice_ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Return about ``about`` round numbers that enclose ``low`` and ``high``. Their spacing is 1, 2 or 5 · 10ᵏ."""
    raw = max(high - low, abs(high) * 1e-3, 1e-9) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    digits = max(0, -math.floor(math.log10(step)))
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(index * step, digits) for index in range(first, max(last, first + 1) + 1)]


@dataclass(frozen=True)
class Axis:
    """Maps values from ``low`` to ``high`` to positions from ``start`` to ``end`` in the picture."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


class Canvas:
    """An SVG picture. The XML writer escapes all text.

    A ``kind`` is one or more CSS classes. The page's style sheet defines how they look.
    """

    def __init__(self, width: float, height: float, title: str) -> None:
        self._root = ElementTree.Element(
            "svg", {"viewBox": f"0 0 {width:g} {height:g}", "role": "img", "aria-label": printable(title)}
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        self._add("line", kind, x1=x1, y1=y1, x2=x2, y2=y2)

    def polyline(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """Draw a line through all points."""
        self._add("polyline", kind).set("points", " ".join(f"{x:.1f},{y:.1f}" for x, y in points))

    def error_bar(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """Draw a bar with a cap at each end."""
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
