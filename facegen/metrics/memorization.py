"""Whether generated features are copies of training features: nearest neighbours, beside those of held-out reals.

A distance alone tells little: a JPEG copy can be further from its original than two photographs are from each other.
What betrays a copy is that one training image is much nearer than all others. So an image's *ratio* is its distance to
the nearest training image over that to the tenth nearest, and which ratio is small is learnt from real images that are
not in the training set, or from training images of which each is compared with the others. No number tells memorising
from underfitting for certain: this informs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from facegen.metrics.data_copying import data_copying
from facegen.metrics.duplicates import near_duplicates
from facegen.metrics.neighbours import Features, Rows, nearest
from facegen.metrics.pairs import Floats, feature_rows

#: Which neighbour the ratio is over: a photograph that is in the training set a few times does not change it.
FAR = 10
#: The share of real images that are flagged.
BY_CHANCE = 0.005
#: Red takes more flagged images than chance gives one real set in 1,000, and 2% of the set more than are expected.
RED_P, RED_SHARE = 0.001, 0.02
#: Fewer real images tell too little of what is rare.
LEAST_HELDOUT = 100

_SAMPLE = 2_000  # held-out rows that calibrate, or n if that is more: all would take long and tell little else


@dataclass(frozen=True)
class Memorization:
    """What the neighbours of n generated rows tell.

    Attributes:
        nearest: for each generated row the nearest training row, [n].
        distances: the distance to it, [n].
        ratios: that over the distance to the tenth nearest, [n]: 0 for a copy, 1 where ten are equally far.
        authenticity: the share of rows that are further from their nearest training row than that is from another.
        duplicates: pairs of rows that are near-duplicates of each other, the nearest first, [p, 2].
        duplicate_share: the share of rows in such a pair; 0.005 by chance.
        uncalibrated: why all of the following are None, empty or False; None where they are not.
        threshold: rows with a smaller ratio are flagged.
        flagged: those rows, the smallest ratio first.
        expected: how many of n real images would be flagged.
        p_value: the chance that as many of n real images, or more, are flagged.
        red: flagged rows are too many, by ``RED_P`` and ``RED_SHARE``.
        c_t: :func:`~facegen.metrics.data_copying.data_copying`'s: a second opinion, from all distances. Copies among
            images that are further from the training set than real ones are do not show in it.
        heldout_authenticity: what authenticity is for the rows that calibrate.
    """

    nearest: Rows
    distances: Floats
    ratios: Floats
    authenticity: float
    duplicates: Rows
    duplicate_share: float
    uncalibrated: str | None = None
    threshold: float | None = None
    flagged: Rows = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    expected: float | None = None
    p_value: float | None = None
    red: bool = False
    c_t: float | None = None
    heldout_authenticity: float | None = None


def memorization(generated: Features, training: Features, heldout: Features | None, *, seed: int = 0) -> Memorization:
    """Look for copies of ``training`` [m, D] among ``generated`` [n, D], with n and m at least 2.

    ``heldout`` [h, D] are features of real images from where the training set comes, but not in it; rows that are in it
    all the same are left out. With None, or fewer than 100, training rows take their place, each with its neighbours
    among the others: as a set often has several photographs of a person, they find less unusual. With fewer than 100
    left of either, nothing is flagged. At most 2,000 calibrate, or n if that is more. ``seed`` draws them and C_T's
    cells.

    The threshold is the j-th smallest held-out ratio, with j the nearest to 0.005 h. If generated rows were drawn as
    held-out ones are, the number below it would be beta-binomial with n, j and h + 1 − j, whatever the ratios'
    distribution: hence ``expected`` and ``p_value``, exact for any n and h.

    What it cannot see: copies that are less than ``RED_SHARE`` of the set, or changed so much that features no longer
    know them; parts of images put together anew; copies of images that are not in ``training``.

    Raises:
        ValueError: too few rows, different widths, or features that are not finite.
    """
    generated = feature_rows(generated, "generated", 2)
    if len(training) < 2:
        raise ValueError(f"expected at least 2 training features, got {len(training)}")
    own = heldout is None or len(heldout) < LEAST_HELDOUT
    real = training if heldout is None or own else heldout
    chosen = np.random.default_rng(seed).permutation(len(real))[: max(len(generated), _SAMPLE)]
    real = real[np.sort(chosen)]
    duplicates = near_duplicates(generated, real)
    distances, rows = _neighbours(generated, training)
    panel = Memorization(
        nearest=rows,
        distances=distances[:, 0],
        ratios=_ratios(distances),
        authenticity=authenticity(distances[:, 0], rows, training),
        duplicates=duplicates,
        duplicate_share=len(np.unique(duplicates)) / len(generated),
    )
    heldout_distances, heldout_rows = _neighbours(real, training, skip=int(own))
    new = heldout_distances[:, 0] > 0  # neither in the training set nor, of its own rows, in it twice
    if new.sum() < LEAST_HELDOUT:
        return replace(
            panel,
            uncalibrated=f"it takes {LEAST_HELDOUT} real images that are not searched for, and there are {new.sum()}",
        )
    real, heldout_distances, heldout_rows = real[new], heldout_distances[new], heldout_rows[new]

    n, h = len(generated), len(real)
    rank = max(round(BY_CHANCE * h), 1)
    threshold = float(np.sort(_ratios(heldout_distances))[rank - 1])
    order = np.argsort(panel.ratios, kind="stable")
    flagged = order[panel.ratios[order] < threshold]
    expected = n * rank / (h + 1)
    from scipy.stats import betabinom  # importing it takes most of a second: not at every start

    # Not by sf, which is 1 − cdf: of a small chance it keeps no digit.
    p_value = min(float(betabinom.pmf(np.arange(len(flagged), n + 1), n, rank, h + 1 - rank).sum()), 1.0)
    return replace(
        panel,
        threshold=threshold,
        flagged=flagged,
        expected=expected,
        p_value=p_value,
        red=p_value < RED_P and len(flagged) - expected > RED_SHARE * n,
        c_t=data_copying(generated, training, real, panel.distances, heldout_distances[:, 0], seed=seed),
        heldout_authenticity=authenticity(heldout_distances[:, 0], heldout_rows, training),
    )


def authenticity(distances: Floats, rows: Rows, training: Features) -> float:
    """Alaa et al. (arXiv:2102.08921): the share of rows further from a training row than another is.

    ``rows`` [n] are the nearest training rows and ``distances`` [n] those to them. A training row's copies in
    ``training`` [m, D] are passed over: it may hold an image twice. Copies lower it; what real images have depends on
    the features and m (held-out CelebA faces 0.88), so compare.
    """
    known, where = np.unique(rows, return_inverse=True)
    others, _ = nearest(training[known], training, min(FAR, len(training)))
    apart = np.where(others > 0, others, np.inf).min(axis=1)
    return float((distances > apart[where]).mean())


def _neighbours(features: Features, training: Features, *, skip: int = 0) -> tuple[Floats, Rows]:
    """The distances to the ``FAR`` nearest training rows, [n, FAR], and the nearest, [n], after ``skip`` nearer ones.

    Training rows skip one: themselves, at a distance of 0.
    """
    distances, rows = nearest(features, training, min(FAR + skip, len(training)))
    return distances[:, skip:], rows[:, skip]


def _ratios(distances: Floats) -> Floats:
    """The first over the last of each row; 0 for a copy, even of an image that is ten times in the training set."""
    first, last = distances[:, 0], distances[:, -1]
    return np.divide(first, last, out=np.zeros_like(first), where=last > 0)
