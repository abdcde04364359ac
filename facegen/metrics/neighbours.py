"""Exact nearest neighbours among features, by brute force.

In 2,048 dimensions no search index is faster.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from facegen.metrics.pairs import Floats, feature_rows, require_same_width, row_blocks, squared_distances

Features = npt.NDArray[np.floating]
Rows = npt.NDArray[np.int64]

_POINTS = 4_096  # rows per block


def nearest(queries: Features, points: Features, k: int) -> tuple[Floats, Rows]:
    """Find the ``k`` nearest rows of ``points`` for each row of ``queries``.

    Only a few blocks of rows are in float64 at a time, so float32 features may stay in a memory-mapped file.

    Args:
        queries: Features [n, D].
        points: Features [m, D].
        k: Number of neighbours per query, 1 to m.

    Returns:
        The Euclidean distances, float64 [n, k], in ascending order and exactly 0 for copies; and the row numbers in
        ``points``, int64 [n, k].

    Raises:
        ValueError: ``k`` is not 1 to m, the widths differ, or the features are not finite.
    """
    if not 1 <= k <= len(points):
        raise ValueError(f"there are {len(points)} features, so k must be 1 to {len(points)}, got {k}")
    distances, neighbours = np.empty((len(queries), k)), np.empty((len(queries), k), dtype=np.int64)
    for block in row_blocks(len(queries), _POINTS):
        rows = feature_rows(queries[block], "query", 1)
        squares, known = np.empty((len(rows), 0)), np.empty((len(rows), 0), dtype=np.int64)
        for start in range(0, len(points), _POINTS):
            some = feature_rows(points[start : start + _POINTS], "point", 1)
            require_same_width(rows, some)
            found, where = _least(squared_distances(rows, some), k)
            squares, known = np.hstack([squares, found]), np.hstack([known, where + start])
            squares, best = _least(squares, k)
            known = np.take_along_axis(known, best, axis=1)
        distances[block], neighbours[block] = np.sqrt(squares), known
    return distances, neighbours


def _least(squares: Floats, k: int) -> tuple[Floats, Rows]:
    """Return the k least values of each row (all if there are fewer) in ascending order, and their columns."""
    if squares.shape[1] > k:
        columns = np.argpartition(squares, k - 1, axis=1)[:, :k]
        squares = np.take_along_axis(squares, columns, axis=1)
        order = np.argsort(squares, axis=1)
        return np.take_along_axis(squares, order, axis=1), np.take_along_axis(columns, order, axis=1)
    order = np.argsort(squares, axis=1)
    return np.take_along_axis(squares, order, axis=1), order
