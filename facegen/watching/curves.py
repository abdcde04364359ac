"""Curves of a run's ticks, thinned to the number of points that a page can show."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from facegen.training.recipe import Recipe
from facegen.training.run_view import Rollback, elapsed, figure

#: Maximum number of points of a curve. More would be drawn on top of each other.
MOST_POINTS = 600
#: Keys of a tick that are not curves: the axes, and values that are shown elsewhere.
_NO_CURVE = frozenset({"kimg", "seconds", "aside_seconds", "score", "fid", "metric", "sec_per_kimg"})
#: The learning rate of the recipe, which ticks do not record.
RATE = "generator_lr"

Numbers = npt.NDArray[np.float64]


class Curves:
    """The curves of one growing run. Ticks that were read before are not read again."""

    def __init__(self) -> None:
        self._columns: dict[str, array[float]] = {}
        self._count = 0
        self._last: Mapping[str, Any] | None = None

    def of(
        self, ticks: Sequence[Mapping[str, Any]], recipe: Recipe | None, rollback: Rollback | None = None
    ) -> dict[str, Any]:
        """Return curves by name in ``figures``: ``mean``, and ``low`` and ``high`` if points stand for several ticks.

        ``kimg`` and ``hours`` are the positions of the points: each is at the last of its ticks. ``ticks_a_point`` is
        the number of ticks per point. Missing and non-finite values are ignored; a point without values is None.

        Args:
            ticks: The ticks of a log, oldest first.
            recipe: The recipe of the run, which gives the learning rate.
            rollback: The rollback of the run, if any. The learning rate was multiplied from its kimg on.
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
        """Add new ticks. Start again if the log was replaced, or if its last tick has received another value."""
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
    """Reduce float64 [n] to the mean of every ``each`` neighbours, with their minimum and maximum, ignoring NaN."""
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
    """Round a number to the digits that a page can show. None if it is not finite."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.{digits}g}")
