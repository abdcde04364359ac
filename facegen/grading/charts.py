"""Positions of values on a scale and in a histogram, in percent of the drawing's width. The templates draw them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: Percent of the width that stays free at either end so that a mark there is whole, and percent for values beyond the
#: end if there are any.
_MARGIN, _BEYOND = 2.0, 7.0
#: Allowed ends and steps of an axis, times a power of ten.
_NICE = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_BINS = 24


@dataclass(frozen=True)
class Axis:
    """A linear axis from 0 to ``end``, drawn from 2 to 98 percent of the width.

    If some value lies ``beyond`` the end, the end is drawn at 93 percent and such values at 96.5.
    """

    end: float
    beyond: bool = False

    @property
    def last(self) -> float:
        """The position of the end."""
        return 100 - (_BEYOND if self.beyond else _MARGIN)

    def at(self, value: float) -> float:
        """Return the position of a value."""
        if not self.holds(value):
            return 100 - _BEYOND / 2
        return round(_MARGIN + (self.last - _MARGIN) * max(value / self.end, 0.0), 2)

    def holds(self, value: float) -> bool:
        return value <= self.end

    @property
    def step(self) -> float:
        """The distance between two numbers along the axis. An axis has 4 to 8 numbers."""
        return _nice(self.end / 7, _STEPS)

    @property
    def ticks(self) -> tuple[float, ...]:
        return tuple(self.step * i for i in range(int(self.end / self.step + 1e-9) + 1))


def axis_of(values: Sequence[float], marks: Iterable[float]) -> Axis:
    """Return an axis for values ≥ 0 that includes all ``marks``.

    A few values may be far above the others: a generator that failed scores ten times the median of the class. Such
    values are placed beyond the end of the axis, so that they do not squeeze the others together.
    """
    ordered = sorted(values)
    marked = max(marks, default=0.0)
    usual = 1.5 * ordered[int(0.9 * (len(ordered) - 1))] if ordered else 0.0
    most = max([*ordered, marked], default=0.0)
    end = _nice(max(min(most, max(usual, 1.25 * marked)), 1e-6), _NICE)
    return Axis(end, most > end)


@dataclass(frozen=True)
class Scale:
    """The position of a value and its marks on the axis of the class, in percent.

    Attributes:
        value, low, high: The value and the ends of its interval; the ends are None if there is no interval.
        floor, target: The floor and the target of the score; None if there is none.
        end: The end of the axis.
        beyond: Whether the value lies beyond the end.
    """

    value: float
    low: float | None
    high: float | None
    floor: float | None
    target: float | None
    end: float
    beyond: bool

    @property
    def span(self) -> float | None:
        """The width of the interval; None if there is no interval."""
        return None if self.low is None or self.high is None else round(self.high - self.low, 2)


def scale_of(
    axis: Axis,
    value: float,
    interval: tuple[float, float] | None = None,
    floor: float | None = None,
    target: float | None = None,
) -> Scale:
    """Return the marks of a value ≥ 0 on ``axis``."""
    low, high = (None, None) if interval is None else (axis.at(interval[0]), axis.at(interval[1]))
    floor_at, target_at = (None if mark is None else axis.at(mark) for mark in (floor, target))
    return Scale(axis.at(value), low, high, floor_at, target_at, axis.last, not axis.holds(value))


@dataclass(frozen=True)
class Bar:
    """A bar of the histogram: ``left``, ``width`` and ``height`` in percent; ``words`` say what it counts.

    ``below`` is True if every value that the bar can count is below the target, and None if there is no target.
    """

    left: float
    width: float
    height: float
    words: str
    below: bool | None


@dataclass(frozen=True)
class Histogram:
    """The histogram of a class's values.

    Attributes:
        axis: The axis below the bars.
        bars: The bars that count at least one value.
        ticks: The positions and the numbers along the axis.
        most: The count of the highest bar.
        beyond: The number of values beyond the end of the axis. The last bar shows them.
    """

    axis: Axis
    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, str], ...]
    most: int
    beyond: int


def histogram_of(axis: Axis, values: Sequence[float], target: float | None = None) -> Histogram | None:
    """Return the histogram of values ≥ 0 along ``axis``; None if there are fewer than two values.

    The width of a bin is a round number, so that a round target falls on the edge of a bin.
    """
    if len(values) < 2:
        return None
    width = _nice(axis.end / _BINS, _STEPS)
    counts: dict[int, int] = {}
    for value in values:
        place = int(value / width) if axis.holds(value) else -1
        counts[place] = counts.get(place, 0) + 1
    beyond = counts.pop(-1, 0)
    most = max([*counts.values(), beyond])
    bars = []
    for place, count in sorted(counts.items()):
        low, high = place * width, min((place + 1) * width, axis.end)
        words = f"{count:,} from {low:g} to {(place + 1) * width:g}"
        below = None if target is None else high <= target * (1 + 1e-9)
        left = axis.at(low)
        bars.append(Bar(left, max(round(axis.at(high) - left, 2), 0.4), _height(count, most), words, below))
    if beyond:
        words = f"{beyond:,} above {axis.end:g}"
        below = None if target is None else False
        bars.append(Bar(axis.last + 2, _BEYOND - 3, _height(beyond, most), words, below))
    return Histogram(axis, tuple(bars), tuple((axis.at(tick), f"{tick:g}") for tick in axis.ticks), most, beyond)


def _height(count: int, most: int) -> float:
    return round(100 * count / most, 1)


def _nice(value: float, steps: Sequence[float]) -> float:
    """Return the smallest of ``steps``, times a power of ten, that is at least ``value``."""
    power = 10.0 ** math.floor(math.log10(value))
    for step in steps:
        if value <= step * power * (1 + 1e-9):
            return float(f"{step * power:.12g}")
    return float(f"{10 * power:.12g}")
