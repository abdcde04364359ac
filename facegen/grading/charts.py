"""Where values stand on a scale and in a histogram, in per cent of a drawing's width: the templates draw them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: Per cent of the width: at either end, so that a mark there is whole; and for values beyond the end, where some are.
_MARGIN, _BEYOND = 2.0, 7.0
#: Ends and steps of axes, of every power of ten.
_NICE = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_BINS = 24


@dataclass(frozen=True)
class Axis:
    """A linear axis from 0 to ``end``, 2 to 98 per cent of the width.

    Where some value lies ``beyond`` the end, that is at 93 per cent, and such values are at 96.5.
    """

    end: float
    beyond: bool = False

    @property
    def last(self) -> float:
        """The place of the end."""
        return 100 - (_BEYOND if self.beyond else _MARGIN)

    def at(self, value: float) -> float:
        """The place of a value."""
        if not self.holds(value):
            return 100 - _BEYOND / 2
        return round(_MARGIN + (self.last - _MARGIN) * max(value / self.end, 0.0), 2)

    def holds(self, value: float) -> bool:
        return value <= self.end

    @property
    def step(self) -> float:
        """Between the numbers along the axis: there are 4 to 8 of them."""
        return _nice(self.end / 7, _STEPS)

    @property
    def ticks(self) -> tuple[float, ...]:
        return tuple(self.step * i for i in range(int(self.end / self.step + 1e-9) + 1))


def axis_of(values: Sequence[float], marks: Iterable[float]) -> Axis:
    """An axis for values ≥ 0 that has all ``marks`` on it.

    A few values far above the others (a generator that failed has ten times the class's median) do not press the others
    together: they stand beyond its end.
    """
    ordered = sorted(values)
    marked = max(marks, default=0.0)
    usual = 1.5 * ordered[int(0.9 * (len(ordered) - 1))] if ordered else 0.0
    most = max([*ordered, marked], default=0.0)
    end = _nice(max(min(most, max(usual, 1.25 * marked)), 1e-6), _NICE)
    return Axis(end, most > end)


@dataclass(frozen=True)
class Scale:
    """A value on the class's axis, each mark by its place in per cent.

    Attributes:
        value, low, high: the value and its interval; None where there is none.
        floor, target: as the score has them; None where there is none.
        end: the axis's end.
        beyond: whether the value lies beyond it.
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
        """The width of the interval; None where there is none."""
        return None if self.low is None or self.high is None else round(self.high - self.low, 2)


def scale_of(
    axis: Axis,
    value: float,
    interval: tuple[float, float] | None = None,
    floor: float | None = None,
    target: float | None = None,
) -> Scale:
    """The marks of a value ≥ 0 on ``axis``."""
    low, high = (None, None) if interval is None else (axis.at(interval[0]), axis.at(interval[1]))
    floor_at, target_at = (None if mark is None else axis.at(mark) for mark in (floor, target))
    return Scale(axis.at(value), low, high, floor_at, target_at, axis.last, not axis.holds(value))


@dataclass(frozen=True)
class Bar:
    """A bar of the histogram: ``left``, ``width`` and ``height`` in per cent; ``words`` say what it counts.

    ``below`` tells whether all in it is below the target; None without a target.
    """

    left: float
    width: float
    height: float
    words: str
    below: bool | None


@dataclass(frozen=True)
class Histogram:
    """A class's values.

    Attributes:
        axis: below the bars.
        bars: those that count something.
        ticks: places and numbers along the axis.
        most: the highest bar's count.
        beyond: how many values lie beyond the axis's end; they are the last bar.
    """

    axis: Axis
    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, str], ...]
    most: int
    beyond: int


def histogram_of(axis: Axis, values: Sequence[float], target: float | None = None) -> Histogram | None:
    """The histogram of values ≥ 0 along ``axis``; None where there are fewer than two.

    A bin has a round width, so that a round target is its edge.
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
    """The smallest of ``steps``, times a power of ten, that is not below ``value``."""
    power = 10.0 ** math.floor(math.log10(value))
    for step in steps:
        if value <= step * power * (1 + 1e-9):
            return float(f"{step * power:.12g}")
    return float(f"{10 * power:.12g}")
