"""A paired comparison of several distances to one reference.

The comparison says which distances differ by more than their errors. The distance of n images has an error because n
other images would have scored differently. The difference of two distances has both errors. It has less error if the
two sets have images in common, since those move both distances alike, and none if the sets are the same. The comparison
is therefore paired: leaving an image out leaves it out of both sets. All distances share the reference, which is taken
as exact, as in :mod:`facegen.metrics.interval`. The reference's own error moves all distances nearly alike.
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
    """Return by how much each two of k distances must differ for the difference to be significant: float64 [k, k].

    A difference is significant if its confidence interval does not contain 0.

    Let dᵢ be the jackknife's deviations of a set of n images. The delete-one jackknife's variance of the difference
    of two distances is (n − 1)/n · Σ(dᵢ − d′ᵢ)² over all images of either set. An image that a set does not have
    deviates by 0 there (Efron and Stein, 1981, for a statistic of both sets). This is the sum of both variances minus
    twice the covariance from common images. Student's t has the degrees of freedom of Welch and Satterthwaite.

    Args:
        left_out: For each set, the values of the n sets that lack one image each, [n], n ≥ 3, from
            :func:`facegen.metrics.interval.leave_one_out`.
        images: For each set, one number per image in the same order, [n]. Two numbers are equal only if the images are
            equal.
        level: How often an interval should contain the difference of the expected distances, between 0 and 1.

    Returns:
        A symmetric matrix, with 0 between sets of the same images.
    """
    errors = [jackknife(values) for values in left_out]
    variances = np.array([error.standard_error**2 for error in errors])
    freedoms = np.array([error.freedom for error in errors])
    variance = np.maximum(variances[:, None] + variances - 2 * _common(errors, images), 0)
    # For the same images in another order, rounding leaves a tiny variance, which is really 0.
    variance[variance < 1e-12 * (variances[:, None] + variances)] = 0
    parts = variances**2 / freedoms
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom = (variances[:, None] + variances) ** 2 / (parts[:, None] + parts)
    freedom = np.where(np.isfinite(freedom) & (freedom > 0), freedom, freedoms.max(initial=1.0))
    margins: Floats = special.stdtrit(freedom, (1 + level) / 2) * np.sqrt(variance)
    return margins


def _common(errors: Sequence[JackknifeError], images: Sequence[npt.NDArray[np.uint64]]) -> Floats:
    """Return the covariances of distances, [k, k], that come from images in common; the diagonal is 0."""
    owners = np.repeat(np.arange(len(images)), [len(each) for each in images])
    _, image, counts = np.unique(np.concatenate([*images]), return_inverse=True, return_counts=True)
    scaled = [error.deviations * np.sqrt(1 - 1 / len(error.deviations)) for error in errors]
    elsewhere = counts[image] > 1
    where = owners[elsewhere], image[elsewhere]
    deviations = sparse.csr_matrix((np.concatenate(scaled)[elsewhere], where), shape=(len(images), len(counts)))
    common: Floats = (deviations @ deviations.T).toarray()
    np.fill_diagonal(common, 0)
    return common
