"""Near-duplicates within one set of features.

Two generated images are near-duplicates if they are closer together than real images almost ever are.
"""

from __future__ import annotations

import numpy as np

from facegen.metrics.neighbours import Features, Rows, nearest
from facegen.metrics.pairs import Floats, feature_rows, row_blocks, squared_distances

#: Fraction of the rows of a real set that have a near-duplicate by this measure.
BY_CHANCE = 0.005


def near_duplicates(features: Features, real: Features) -> Rows:
    """Find the pairs of rows in ``features`` that are near-duplicates.

    The threshold comes from the pairs of ``real``. It is the distance at which only the fraction ``BY_CHANCE`` of n
    real rows would have a near-duplicate. Exact copies within ``real`` are not counted. Distances are divided by the
    spread of their set, the root mean square distance of its pairs, because generated features lie closer together
    than real ones. If a set has no spread at all, all its rows are copies of each other.

    Args:
        features: Generated features [n, D].
        real: Real features [m, D].

    Returns:
        Int64 [p, 2]: each pair is a row and its nearest other row, the lower row number first. Every pair occurs once,
        nearest pair first, so p ≤ n even if all rows are equal.

    Raises:
        ValueError: There are fewer than two rows, the widths differ, or the features are not finite.
    """
    features, real = feature_rows(features, "generated", 2), feature_rows(real, "real", 2)
    threshold = _rare_distance(real, BY_CHANCE / (len(features) - 1)) * _spread(features)
    distances, rows = nearest(features, features, 2)
    own = np.arange(len(features))
    # The nearest row of a row is the row itself. Among exact copies, either of them may come first.
    other = np.where(rows[:, 0] == own, rows[:, 1], rows[:, 0])
    found = (distances[:, 1] < threshold) | (distances[:, 1] == 0)
    pairs = np.stack([np.minimum(own, other), np.maximum(own, other)], axis=1)[found]
    pairs, first = np.unique(pairs, axis=0, return_index=True)
    return pairs[np.argsort(distances[found, 1][first], kind="stable")]


def _spread(features: Floats) -> float:
    """Return the root mean square distance between two different rows: √(2 Tr Σ)."""
    return float(np.sqrt(2 * features.var(axis=0, ddof=1).sum()))


def _rare_distance(real: Floats, share: float) -> float:
    """Return the distance, divided by the spread, that only this share of the pairs stays within.

    At least one pair stays within it.
    """
    count = max(round(share * len(real) * (len(real) - 1) / 2), 1)
    least = np.empty(0)
    for rows in row_blocks(len(real), len(real)):
        squares = squared_distances(real[rows], real[rows.start :])
        above = squares[np.triu_indices_from(squares, 1)]
        least = np.concatenate([least, above[above > 0]])
        if len(least) > count:
            least = np.partition(least, count - 1)[:count]
    return float(np.sqrt(least.max())) / _spread(real) if len(least) else 0.0
