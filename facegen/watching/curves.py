"""Curves of a run's ticks, with as many points as a page can show."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from facegen.training.recipe import Recipe
from facegen.training.run_view import Rollback, elapsed, figure

#: Points of a curve: more are drawn over each other.
MOST_POINTS = 600
#: Of a tick, what is no curve of its own: the axes, and what is shown otherwise.
_NO_CURVE = frozenset({"kimg", "seconds", "aside_seconds", "score", "fid", "metric", "sec_per_kimg"})
#: The learning rate as the recipe has it, which no tick says.
RATE = "generator_lr"

Numbers = npt.NDArray[np.float64]


class Curves:
    """The curves of one run, whose ticks become more: those that were seen are not looked through again."""

    def __init__(self) -> None:
        self._columns: dict[str, array[float]] = {}
        self._count = 0
        self._last: Mapping[str, Any] | None = None

    def of(
        self, ticks: Sequence[Mapping[str, Any]], recipe: Recipe | None, rollback: Rollback | None = None
    ) -> dict[str, Any]:
        """Curves by name in ``figures``: ``mean``, and ``low`` and ``high`` where points stand for several ticks.

        ``kimg`` and ``hours`` say where the points are: at the last tick of each. ``ticks_a_point`` says how many a
        point stands for. What a tick has not, or is not finite, counts for nothing; a point of none is None.

        Args:
            ticks: of a log, oldest first.
            recipe: of the run: it says the learning rate.
            rollback: from its kimg on the rate was multiplied.
        """
        self._take(ticks)
        each = max(1, math.ceil(len(ticks) / MOST_POINTS))
        ends = [min(start + each, len(ticks)) - 1 for start in range(0, len(ticks), each)]
        figures: dict[str, Any] = {}
        for name, values in self._columns.items():
            column = np.array(values)
            if np.isfinite(column).any():
                figures[name] = _thinned(column, each)
        kimgs = [float(ticks[end]["kimg"]) for end in ends]
        if recipe is not None and ticks and RATE not in figures:
            figures[RATE] = {"mean": [_short(_rate(recipe, kimg, rollback)) for kimg in kimgs]}
        return {
            "kimg": [_short(kimg, 9) for kimg in kimgs],
            "hours": [_short(elapsed(ticks[end]) / 3600) for end in ends],
            "ticks_a_point": each,
            "figures": figures,
        }

    def _take(self, ticks: Sequence[Mapping[str, Any]]) -> None:
        """Add what is new; all anew where it is another log, or its last tick has had a figure added."""
        if self._count > len(ticks) or (self._count and ticks[self._count - 1] is not self._last):
            self._columns, self._count = {}, 0
        for place in range(self._count, len(ticks)):
            for name in ticks[place]:
                if name in _NO_CURVE or (value := figure(ticks[place], name)) is None:
                    continue
                column = self._columns.setdefault(name, array("d"))
                column.extend([math.nan] * (place - len(column)))
                column.append(value)
        for column in self._columns.values():
            column.extend([math.nan] * (len(ticks) - len(column)))
        self._count = len(ticks)
        self._last = ticks[-1] if ticks else None


def _rate(recipe: Recipe, kimg: float, rollback: Rollback | None) -> float:
    rate = recipe.at(RATE, round(kimg * 1000))
    if rollback is not None and rollback.rate_factor is not None and kimg > rollback.to_kimg:
        rate *= rollback.rate_factor
    return rate


def _thinned(column: Numbers, each: int) -> dict[str, list[float | None]]:
    """Float64 [n] → the mean of each ``each`` neighbours, of several the lowest and highest too; NaN is left out."""
    if each == 1:
        return {"mean": _listed(column)}
    padded = np.full(-(-len(column) // each) * each, np.nan)
    padded[: len(column)] = column
    rows = padded.reshape(-1, each)
    there = np.isfinite(rows)
    counts = there.sum(1)
    mean = np.where(there, rows, 0.0).sum(1) / np.where(counts, counts, np.nan)
    low = np.where(counts, np.where(there, rows, np.inf).min(1), np.nan)
    high = np.where(counts, np.where(there, rows, -np.inf).max(1), np.nan)
    return {"mean": _listed(mean), "low": _listed(low), "high": _listed(high)}


def _listed(values: Numbers) -> list[float | None]:
    return [_short(value) for value in values.tolist()]


def _short(value: float | None, digits: int = 5) -> float | None:
    """A number to so many significant digits: a page's pixels are coarser. None for what is not finite."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.{digits}g}")
