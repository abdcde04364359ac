"""A confidence interval for the Fréchet distance.

The interval says how far another set of the same number of images would have scored. It covers the expected distance
at this N: the average score that sets of N images from the same generator reach against the same reference. This
expectation itself falls as N grows. That is not an error of the measurement; the floor (:mod:`facegen.metrics.floor`)
and FID∞ describe it. A bootstrap would mix the two effects. It repeats images, so a resampled set has fewer distinct
images, scores like a smaller set, and gives an interval that is too high. Leaving images out avoids this.

The standard error is that of the delete-one jackknife (Efron and Stein, "The jackknife estimate of variance", 1981).
Its expectation is never too small. It is about right for images that differ from the reference. It is up to √2 too
large for images as good as the reference, whose distance is pure chance. The jackknife normally needs n distances, one
for each image left out. Here all n come exactly from one eigenproblem: see :func:`leave_one_out`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg, special

from facegen.metrics.frechet import FrechetStatistics, frechet_statistics, require_finite

Floats = npt.NDArray[np.float64]

# The nodes of the integral are s = √λmax·eᵘ. The part outside |u| ≤ 22 is 1e-9 of √λmax. The integrand is smooth, so a
# finer step changes only the rounding.
_NODES = np.exp(np.arange(-22.0, 22.5, 0.5))
_STEP = 0.5
# Rows at a time: for matrix products, and for operations that larger blocks would not make faster.
_BLOCK, _FEW = 2048, 256


@dataclass(frozen=True)
class Interval:
    """A confidence interval for the expected distance.

    Attributes:
        low: Lower end, at least 0.
        high: Upper end.
        standard_error: Standard error of the distance.
    """

    low: float
    high: float
    standard_error: float


def confidence_interval(
    features: npt.NDArray[np.floating],
    reference: FrechetStatistics,
    *,
    level: float = 0.95,
    statistics: FrechetStatistics | None = None,
) -> Interval:
    """Compute the confidence interval for the distance between features [n, D] and ``reference``.

    The reference is taken as exact. The interval is Student's t interval on the logarithm of the distance, because the
    error grows with the distance and is skewed upwards, like that of a variance. The degrees of freedom are
    Satterthwaite's, and are few if a few images cause most of the error. Near zero, where the error is as large as the
    distance, the upper end stops growing exponentially.

    Args:
        features: Features of the measured images, float32 or float64, with at least 3 rows.
        reference: The statistics to which the distance is measured.
        level: How often the interval should contain the expected distance, between 0 and 1.
        statistics: The statistics of ``features`` if you have them already. Otherwise they are computed.

    Raises:
        ValueError: There are fewer than 3 rows, the width differs from that of the reference, the features hold NaN or
            infinity, or ``level`` is outside (0, 1).
        NoDistance: The distance does not fit into float64.
    """
    return interval_of(*leave_one_out(features, reference), level=level)


def interval_of(value: float, left_out: Floats, *, level: float = 0.95) -> Interval:
    """Compute the confidence interval from the result of :func:`leave_one_out`.

    Args:
        value: The distance of the whole set.
        left_out: The distances of the n sets that lack one row each, float64 [n].
        level: How often the interval should contain the expected distance, between 0 and 1.

    Raises:
        ValueError: ``level`` is outside (0, 1).
        NoDistance: A distance is NaN or infinite.
    """
    if not 0 < level < 1:
        raise ValueError(f"a confidence level must lie between 0 and 1, got {level}")
    error = jackknife(left_out)
    if error.standard_error == 0:  # all rows are equal
        return Interval(value, value, 0.0)
    require_finite(value, error.standard_error)
    standard_error = error.standard_error
    margin = float(special.stdtrit(error.freedom, (1 + level) / 2)) * standard_error
    ratio = margin / value if value > 0 else np.inf
    growth = min(ratio, 1.0)
    return Interval(value * float(np.exp(-ratio)), value + margin * float(np.expm1(growth)) / growth, standard_error)


@dataclass(frozen=True)
class JackknifeError:
    """The error of the distance of n images.

    Attributes:
        deviations: How far the value without image i differs from the mean of these n values, float64 [n].
        standard_error: Standard error of the distance.
        freedom: Satterthwaite's degrees of freedom of the standard error. They are few if a few images cause most of
            it.
    """

    deviations: Floats
    standard_error: float
    freedom: float


def jackknife(left_out: Floats) -> JackknifeError:
    """Compute the delete-one jackknife's error from the values of the n sets that lack one row each, [n], n ≥ 2."""
    n = len(left_out)
    deviations = left_out - left_out.mean()
    standard_error = float(np.sqrt((n - 1) / n * (deviations @ deviations)))
    largest = np.abs(deviations).max()
    if standard_error == 0 or not np.isfinite(largest):
        return JackknifeError(deviations, standard_error, float(n - 1))
    # Scaling by a power of two is exact, and keeps fourth powers within the range of float64.
    scaled = np.ldexp(deviations, -np.frexp(largest)[1])
    kurtosis = (scaled**4).mean() / (scaled**2).mean() ** 2
    return JackknifeError(deviations, standard_error, float(2 * n / max(kurtosis - 1, 2 * n / (n - 1))))


def leave_one_out(
    features: npt.NDArray[np.floating], reference: FrechetStatistics, statistics: FrechetStatistics | None = None
) -> tuple[float, Floats]:
    """Compute the distance between features [n, D] and ``reference``, and the distance without each single row.

    Without row i, the covariance Σ of the features becomes (n−1)/(n−2)·(Σ − c·dᵢdᵢᵀ). Here dᵢ is the row minus the
    mean, divided by √(n−1), and c = n/(n−1). Write Σr = RᵀR for the covariance of the reference and aᵢ = Rdᵢ. Then
    RΣRᵀ loses c·aᵢaᵢᵀ. Since √λ = 1/π·∫ log(1 + λ/s²) ds over s > 0, the matrix determinant lemma says that the trace
    of its root loses

        −1/π·∫ log(1 − c·aᵢᵀ(s² + RΣRᵀ)⁻¹aᵢ) ds = −1/π·∫ log(1 − c·Σₖ (wₖᵀaᵢ)²/(s² + λₖ)) ds.

    The λₖ and wₖ are the eigenvalues and eigenvectors of RΣRᵀ, and are the same for every row. If n < D, the smaller
    matrix of inner products aᵢᵀaⱼ has the same non-zero eigenvalues, and its eigenvectors uₖ give (wₖᵀaᵢ)² = λₖuᵢₖ².

    Args:
        features: Features [n, D], n ≥ 3.
        reference: The statistics to which the distance is measured.
        statistics: The statistics of ``features`` if you have them already. Otherwise they are computed.

    Returns:
        The distance of all rows, and the distances of the n sets that lack one row each, float64 [n].

    Raises:
        ValueError: There are fewer than 3 rows, the width differs from that of the reference, or the features hold
            NaN or infinity.
    """
    if features.ndim != 2 or features.shape[1] != len(reference.mu):
        raise ValueError(f"expected features [n, {len(reference.mu)}], got {list(features.shape)}")
    n = len(features)
    if n < 3:
        raise ValueError(f"leaving one out needs at least 3 features, got {n}")
    if not np.isfinite(features).all():
        raise ValueError("the features hold NaN or infinity")
    statistics = frechet_statistics(features) if statistics is None else statistics
    if statistics.factor is not None:
        product = statistics.factor @ reference.sigma @ statistics.factor.T
        # The rows sum to zero, so the vector (1, …, 1) has eigenvalue 0, and rounding could mix it with others.
        # Adding a constant to every entry gives it the largest eigenvalue, which is then dropped.
        constant = 2 * np.trace(product) / n
        product = product + product.T
        product /= 2
        product += constant
        eigenvalues, vectors = linalg.eigh(product, overwrite_a=True)
        del product
        eigenvalues, weights = np.clip(eigenvalues[:-1], 0, None), vectors[:, :-1]  # below zero is rounding
        weights **= 2
        weights *= eigenvalues
        losses = _losses(weights, eigenvalues, n)
    else:
        scales, axes = linalg.eigh(reference.sigma)
        root = axes * np.sqrt(np.clip(scales, 0, None))
        product = root.T @ statistics.sigma @ root
        eigenvalues, vectors = linalg.eigh((product + product.T) / 2)
        eigenvalues = np.clip(eigenvalues, 0, None)
        axes = root @ vectors / np.sqrt(n - 1)
        blocks = (features[first : first + _BLOCK] - statistics.mu for first in range(0, n, _BLOCK))
        losses = np.concatenate([_losses((block @ axes) ** 2, eigenvalues, n) for block in blocks])
    root_trace = np.sqrt(eigenvalues).sum()
    shift = statistics.mu - reference.mu
    along, squares = np.empty(n), np.empty(n)
    for first in range(0, n, _FEW):
        rows = slice(first, first + _FEW)
        block = features[rows] - statistics.mu
        along[rows], squares[rows] = block @ shift, (block**2).sum(axis=1)
    trace, reference_trace = np.trace(statistics.sigma), np.trace(reference.sigma)
    value = shift @ shift + trace + reference_trace - 2 * root_trace
    left_out = (
        shift @ shift
        - 2 * along / (n - 1)
        + squares / (n - 1) ** 2
        + reference_trace
        + ((n - 1) * trace - n / (n - 1) * squares) / (n - 2)
        - 2 * np.sqrt((n - 1) / (n - 2)) * (root_trace - losses)
    )
    return max(float(value), 0.0), left_out


def _losses(weights: Floats, eigenvalues: Floats, n: int) -> Floats:
    """Return how much the trace of the root loses without each row, [rows], from (wₖᵀaᵢ)², [rows, k]."""
    nodes = _NODES * np.sqrt(eigenvalues[-1])
    if not nodes.any():  # every eigenvalue is 0, and so is every loss
        return np.zeros(len(weights))
    removed = n / (n - 1) * (weights @ (1 / (nodes**2 + eigenvalues[:, None])))
    return -np.log1p(-np.minimum(removed, 1 - 1e-15)) @ nodes * (_STEP / np.pi)
