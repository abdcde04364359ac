"""C_T, a test for generators that copy their training data.

C_T compares, region by region, whether generated features lie nearer to the training features than held-out features
do. It is from Meehan, Chaudhuri and Dasgupta, "A Non-Parametric Test to Detect Data-Copying in Generative Models"
(arXiv:2004.05675).
"""

from __future__ import annotations

import numpy as np

from facegen.metrics.neighbours import Features, Rows, nearest
from facegen.metrics.pairs import Floats, feature_rows

_ROWS, _CELLS = 100, 10  # average number of rows per cell, and the largest number of cells
_LEAST = 20  # rows of either set that a cell needs to count
_ROUNDS = 10  # of k-means
_SAMPLE = 5_000  # training rows for k-means


def data_copying(
    generated: Features,
    training: Features,
    heldout: Features,
    generated_distances: Floats,
    heldout_distances: Floats,
    *,
    seed: int = 0,
) -> float:
    """Compute C_T of generated features.

    Each cell has a z value: that of Mann and Whitney's U between the two sets' distances to their nearest training
    rows. C_T is the mean of the cells' z values, weighted by the number of held-out rows. Below 0 the generated rows
    are nearer to the training rows than the held-out rows are, as copies would be. Below −3 this almost never happens
    by chance. A generator that falls short of the data has a C_T above 0, even if it copies.

    The cells are those of k-means on the training rows. There is one cell for every 100 generated rows (or held-out
    rows, if there are fewer of them), and at most 10. So there are ten cells at n = 1,000, and a single one below
    200. Cells with fewer than 20 rows of either set are left out. If this removes all cells, everything is one cell.
    Unlike in the paper, the nearest training row may lie in another cell.

    Args:
        generated: Generated features [n, D].
        training: Training features [m, D].
        heldout: Features of real images that are not in the training set, [h, D].
        generated_distances: Distance of each generated row to its nearest training row, [n].
        heldout_distances: Distance of each held-out row to its nearest training row, [h].
        seed: Seed of the k-means.
    """
    count = int(np.clip(min(len(generated), len(heldout)) // _ROWS, 1, _CELLS))
    centres = _centres(training, min(count, len(training)), np.random.default_rng(seed))
    of_generated, of_heldout = _cells(generated, centres), _cells(heldout, centres)
    values, weights = [], []
    for cell in range(len(centres)):
        inside, beside = generated_distances[of_generated == cell], heldout_distances[of_heldout == cell]
        if min(len(inside), len(beside)) >= _LEAST:
            values.append(mann_whitney_z(inside, beside))
            weights.append(len(beside))
    return (
        float(np.average(values, weights=weights)) if values else mann_whitney_z(generated_distances, heldout_distances)
    )


def mann_whitney_z(first: Floats, second: Floats) -> float:
    """Return the z value of Mann and Whitney's U: how clearly the values of ``first`` are above those of ``second``.

    It is the number of standard errors by which the pairs in which ``first`` [n] has the larger value exceed half of
    all pairs with ``second`` [m]. Ties count half. The standard error is the one without ties, so ties make z
    smaller.
    """
    from scipy.stats import rankdata  # imported here because the import takes most of a second

    n, m = len(first), len(second)
    u = rankdata(np.concatenate([first, second]))[:n].sum() - n * (n + 1) / 2
    return float((u - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12))


def _centres(training: Features, count: int, random: np.random.Generator) -> Floats:
    """Return the centres [count, D] of k-means, from Lloyd's algorithm on a sample of the rows."""
    rows = np.sort(random.permutation(len(training))[:_SAMPLE])
    sample = feature_rows(training[rows], "training", 1)
    centres = sample[random.permutation(len(sample))[:count]]
    for _ in range(_ROUNDS if count > 1 else 0):
        cells = _cells(sample, centres)
        for cell in np.unique(cells):
            centres[cell] = sample[cells == cell].mean(axis=0)
    return centres


def _cells(features: Features, centres: Floats) -> Rows:
    return nearest(features, centres, 1)[1][:, 0]
