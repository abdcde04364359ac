"""Near-duplicates within one set of features: what is nearer together than real images hardly ever are."""

from __future__ import annotations

import numpy as np

from facegen.metrics.neighbours import Features, Rows, nearest
from facegen.metrics.pairs import Floats, feature_rows, row_blocks, squared_distances

#: The share of a real set's rows that have a near-duplicate by this measure.
BY_CHANCE = 0.005


def near_duplicates(features: Features, real: Features) -> Rows:
    """Pairs [p, 2] of rows of ``features`` [n, D] that are near-duplicates, each of a row and its nearest other row.

    Nearest first, every pair once, the lower row before the higher, so p ≤ n even when all rows are alike.

    Which distance is small is learnt from the pairs of ``real`` [m, D]: it is one that few enough of them have for only
    ``BY_CHANCE`` of n such rows to have a near-duplicate. Copies within ``real`` are not counted. Distances are taken
    over the set's own spread, the root mean square distance of its pairs: generated features lie closer together than
    real ones. The rows of a set without any spread are copies of each other.

    Raises:
        ValueError: fewer than two rows, different widths, or features that are not finite.
    """
    features, real = feature_rows(features, "generated", 2), feature_rows(real, "real", 2)
    threshold = _rare_distance(real, BY_CHANCE / (len(features) - 1)) * _spread(features)
    distances, rows = nearest(features, features, 2)
    own = np.arange(len(features))
    # A row is its own nearest, but for copies, of which either may come first.
    other = np.where(rows[:, 0] == own, rows[:, 1], rows[:, 0])
    found = (distances[:, 1] < threshold) | (distances[:, 1] == 0)
    pairs = np.stack([np.minimum(own, other), np.maximum(own, other)], axis=1)[found]
    pairs, first = np.unique(pairs, axis=0, return_index=True)
    return pairs[np.argsort(distances[found, 1][first], kind="stable")]


def _spread(features: Floats) -> float:
    """The root mean square distance between two different rows: √(2 Tr Σ)."""
    return float(np.sqrt(2 * features.var(axis=0, ddof=1).sum()))


def _rare_distance(real: Floats, share: float) -> float:
    """The distance over the spread that this share of the pairs of different rows, or one, do not exceed."""
    count = max(round(share * len(real) * (len(real) - 1) / 2), 1)
    least = np.empty(0)
    for rows in row_blocks(len(real), len(real)):
        squares = squared_distances(real[rows], real[rows.start :])
        above = squares[np.triu_indices_from(squares, 1)]
        least = np.concatenate([least, above[above > 0]])
        if len(least) > count:
            least = np.partition(least, count - 1)[:count]
    return float(np.sqrt(least.max())) / _spread(real) if len(least) else 0.0
