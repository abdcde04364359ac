"""Which of several distances from one reference differ by more than their errors.

A distance of n images has an error since other n images would have scored otherwise. The difference of two distances
has both errors. It has less where the two sets have images in common, since those move both alike, and none where they
are the same. So it is a paired comparison: leaving an image out leaves it out of both sets. The reference is the same
for all and is taken as given, as in :mod:`facegen.metrics.interval`; its own error moves all distances alike, nearly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse, special

from facegen.metrics.interval import JackknifeError, jackknife

Floats = npt.NDArray[np.float64]


def margins_of_difference(
    left_out: Sequence[Floats], images: Sequence[npt.NDArray[np.uint64]], *, level: float = 0.95
) -> Floats:
    """By how much each two of k distances must differ for the difference's interval not to hold 0: float64 [k, k].

    With dᵢ the jackknife's deviations of a set of n images, the delete-one jackknife's variance of the difference of
    two distances is (n − 1)/n · Σ(dᵢ − d′ᵢ)² over all images of either set, where an image that a set does not have
    deviates by 0 there (Efron and Stein, 1981, for a statistic of both sets). It is the sum of both variances less
    twice what the common images share. Student's t has the degrees of freedom of Welch and Satterthwaite.

    Args:
        left_out: of each set, the values of the sets that lack one image, [n]
            (:func:`facegen.metrics.interval.leave_one_out`); n ≥ 3.
        images: of each set, in the same order, a number for each image, [n], that is equal for equal images alone.
        level: how often an interval should hold the difference of the expected distances.

    Returns:
        A symmetric matrix; 0 between sets of the same images.
    """
    errors = [jackknife(values) for values in left_out]
    variances = np.array([error.standard_error**2 for error in errors])
    freedoms = np.array([error.freedom for error in errors])
    variance = np.maximum(variances[:, None] + variances - 2 * _common(errors, images), 0)
    # Rounding leaves next to nothing between the same images in another order, and that is nothing.
    variance[variance < 1e-12 * (variances[:, None] + variances)] = 0
    parts = variances**2 / freedoms
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom = (variances[:, None] + variances) ** 2 / (parts[:, None] + parts)
    freedom = np.where(np.isfinite(freedom) & (freedom > 0), freedom, freedoms.max(initial=1.0))
    margins: Floats = special.stdtrit(freedom, (1 + level) / 2) * np.sqrt(variance)
    return margins


def _common(errors: Sequence[JackknifeError], images: Sequence[npt.NDArray[np.uint64]]) -> Floats:
    """The covariances of distances, [k, k], that come of images in common; 0 on the diagonal."""
    owners = np.repeat(np.arange(len(images)), [len(each) for each in images])
    _, image, counts = np.unique(np.concatenate([*images]), return_inverse=True, return_counts=True)
    scaled = [error.deviations * np.sqrt(1 - 1 / len(error.deviations)) for error in errors]
    elsewhere = counts[image] > 1
    where = owners[elsewhere], image[elsewhere]
    deviations = sparse.csr_matrix((np.concatenate(scaled)[elsewhere], where), shape=(len(images), len(counts)))
    common: Floats = (deviations @ deviations.T).toarray()
    np.fill_diagonal(common, 0)
    return common
