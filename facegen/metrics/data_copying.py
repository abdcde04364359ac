"""C_T: whether generated features lie nearer to the training features than held-out ones do, region by region.

Meehan, Chaudhuri and Dasgupta, "A Non-Parametric Test to Detect Data-Copying in Generative Models" (arXiv:2004.05675).
"""

from __future__ import annotations

import numpy as np

from facegen.metrics.neighbours import Features, Rows, nearest
from facegen.metrics.pairs import Floats, feature_rows

_ROWS, _CELLS = 100, 10  # rows a cell has on average, and the most cells
_LEAST = 20  # rows of either set in a cell that counts
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
    """C_T of generated [n, D], training [m, D] and held-out features [h, D].

    A cell's z is that of Mann and Whitney's U between the two sets' distances to their nearest training rows, [n] and
    [h], and C_T the cells' mean weighted by their held-out rows. Below 0 the generated rows are the nearer ones, as
    copies are; below −3 hardly ever by chance. A generator that falls short of the data is above 0, even if it copies.

    The cells are k-means' on the training rows: one for every 100 generated (or held-out, if they are fewer) rows, at
    most 10; so ten at n = 1,000 and a single one below 200. Cells with fewer than 20 rows of either set are left out,
    and if all are, everything is one cell. Unlike in the paper the nearest training row may lie in another cell.
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
    """How many standard errors more pairs than half have the value of ``first`` [n] above that of ``second`` [m].

    Ties count half; the error is that without ties, so that they make it smaller.
    """
    from scipy.stats import rankdata  # importing it takes most of a second: not at every start

    n, m = len(first), len(second)
    u = rankdata(np.concatenate([first, second]))[:n].sum() - n * (n + 1) / 2
    return float((u - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12))


def _centres(training: Features, count: int, random: np.random.Generator) -> Floats:
    """The centres [count, D] of k-means by Lloyd's rounds on a sample of the rows."""
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
