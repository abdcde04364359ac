"""A check for generated images that are copies of training images.

The check works on features, and compares the nearest neighbours of generated images with those of held-out real images.

A distance alone says little: a JPEG copy can be further from its original than two photographs are from each other.
What betrays a copy is that one training image is much nearer than all others. The *ratio* of an image is its distance
to the nearest training image divided by its distance to the tenth nearest. Which ratio is small is learnt from real
images that are not in the training set. Without such images, it is learnt from training images, each compared with the
other training images. No number tells memorisation from underfitting for certain: the check only informs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from facegen.metrics.data_copying import data_copying
from facegen.metrics.duplicates import near_duplicates
from facegen.metrics.neighbours import Features, Rows, nearest
from facegen.metrics.pairs import Floats, feature_rows

#: The neighbour whose distance is the ratio's denominator. A photograph that is in the training set a few times does
#: not change it.
FAR = 10
#: Fraction of real images that are flagged.
BY_CHANCE = 0.005
#: Limits for red: a p-value that chance gives one real set in 1,000, and an excess over the expected number of flagged
#: images of 2% of the set.
RED_P, RED_SHARE = 0.001, 0.02
#: Minimum number of real images for calibration. Fewer say too little about what is rare.
LEAST_HELDOUT = 100

_SAMPLE = 2_000  # held-out rows that calibrate, or n if n is larger: using all would take long and change little


@dataclass(frozen=True)
class Memorization:
    """The result of the nearest-neighbour search for n generated rows.

    Attributes:
        nearest: Nearest training row of each generated row, int64 [n].
        distances: Distance to the nearest training row, float64 [n].
        ratios: Distance to the nearest divided by the distance to the tenth nearest, float64 [n]. It is 0 for a copy,
            and 1 if ten training rows are equally far.
        authenticity: Fraction of rows that are further from their nearest training row than that row is from another.
        duplicates: Pairs of generated rows that are near-duplicates of each other, nearest pair first, int64 [p, 2].
        duplicate_share: Fraction of rows that are in such a pair; 0.005 by chance.
        uncalibrated: Why the attributes below are None, empty or False. None if they are measured.
        threshold: Rows with a smaller ratio are flagged.
        flagged: Flagged rows, smallest ratio first.
        expected: How many of n real images would be flagged.
        p_value: Probability that at least as many of n real images are flagged.
        red: Whether too many rows are flagged, by ``RED_P`` and ``RED_SHARE``.
        c_t: C_T from :func:`~facegen.metrics.data_copying.data_copying`, a second opinion from all distances. It does
            not show copies among images that lie further from the training set than real ones do.
        heldout_authenticity: Authenticity of the rows that calibrate.
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
    """Look for copies of training images among generated images.

    The threshold is the j-th smallest held-out ratio, with j the integer nearest to 0.005 h, and at least 1. If
    generated rows were drawn like held-out ones, the number of rows below the threshold would be beta-binomial with
    parameters n, j and h + 1 − j, whatever the distribution of the ratios. ``expected`` and ``p_value`` follow from
    this and are exact for any n and h.

    The check cannot see three things: copies that are less than ``RED_SHARE`` of the set, or so altered that the
    features do not recognise them; parts of images that are recombined; and copies of images that are not in
    ``training``.

    Args:
        generated: Generated features [n, D], n at least 2.
        training: Training features [m, D], m at least 2.
        heldout: Features [h, D] of real images from the same source as the training set, but not in it. Rows that are
            in it all the same are left out. If this is None or has fewer than 100 rows, training rows take their
            place, each compared with the other training rows. They then find fewer images unusual, because a training
            set often has several photographs of one person. If fewer than 100 rows are left, nothing is flagged. At
            most 2,000 rows calibrate, or n if n is larger.
        seed: Seed of the choice of held-out rows and of C_T's cells.

    Raises:
        ValueError: There are too few rows, the widths differ, or the features are not finite.
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
    # Leave out held-out rows that are in the training set, and training rows that are in it twice.
    new = heldout_distances[:, 0] > 0
    if new.sum() < LEAST_HELDOUT:
        return replace(
            panel,
            uncalibrated=f"the check needs {LEAST_HELDOUT} real images without copies in training, and there are "
            f"{new.sum()}",
        )
    real, heldout_distances, heldout_rows = real[new], heldout_distances[new], heldout_rows[new]

    n, h = len(generated), len(real)
    rank = max(round(BY_CHANCE * h), 1)
    threshold = float(np.sort(_ratios(heldout_distances))[rank - 1])
    order = np.argsort(panel.ratios, kind="stable")
    flagged = order[panel.ratios[order] < threshold]
    expected = n * rank / (h + 1)
    from scipy.stats import betabinom  # imported here because the import takes most of a second

    # The sum of pmf, not sf: sf is 1 − cdf and loses all digits of a small probability.
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
    """Return the fraction of rows that are further from their nearest training row than that row is from another.

    The measure is from Alaa et al. (arXiv:2102.08921). Copies lower it. The value for real images depends on the
    features and on m (0.88 for held-out CelebA faces), so compare with that of real images.

    Args:
        distances: Distance of each row to its nearest training row, [n].
        rows: Nearest training row of each row, [n].
        training: Training features [m, D]. Copies of a training row within ``training`` are passed over, because it may
            hold an image twice.
    """
    known, where = np.unique(rows, return_inverse=True)
    others, _ = nearest(training[known], training, min(FAR, len(training)))
    apart = np.where(others > 0, others, np.inf).min(axis=1)
    return float((distances > apart[where]).mean())


def _neighbours(features: Features, training: Features, *, skip: int = 0) -> tuple[Floats, Rows]:
    """Return the distances to the ``FAR`` nearest training rows, [n, FAR], and the nearest rows, [n].

    The first ``skip`` neighbours are left out. Training rows skip one: themselves, at a distance of 0.
    """
    distances, rows = nearest(features, training, min(FAR + skip, len(training)))
    return distances[:, skip:], rows[:, skip]


def _ratios(distances: Floats) -> Floats:
    """Return the first distance divided by the last one of each row.

    The ratio is 0 for a copy, even of an image that is in the training set ten times.
    """
    first, last = distances[:, 0], distances[:, -1]
    return np.divide(first, last, out=np.zeros_like(first), where=last > 0)
