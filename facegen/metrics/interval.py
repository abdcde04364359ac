"""A confidence interval of the Fréchet distance: how far another set of as many images would have scored.

The interval is for the expected distance at this N: what the same generator's sets of N images score on average against
the same reference. That this expectation itself falls with N is no error of the measurement; the floor
(:mod:`facegen.metrics.floor`) and FID∞ tell of that. A bootstrap would mix the two: it repeats images, a resampled set
has fewer distinct ones, and scores like a smaller set, so its interval lies too high. Leaving images out does not.

The standard error is the delete-one jackknife's (Efron and Stein, "The jackknife estimate of variance", 1981), which in
expectation is not too small: about right for images that differ from the reference's, up to √2 too large for images as
good as those, where the distance is all chance. Leaving out each of n images usually means n distances; here they all
come exactly from one eigenproblem, see :func:`leave_one_out`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg, special

from facegen.metrics.frechet import FrechetStatistics, frechet_statistics, require_finite

Floats = npt.NDArray[np.float64]

# The integral's nodes are s = √λmax·eᵘ. Outside of |u| ≤ 22 it holds 1e-9 of √λmax; between the nodes it is smooth, and
# a finer step changes nothing above rounding.
_NODES = np.exp(np.arange(-22.0, 22.5, 0.5))
_STEP = 0.5
_BLOCK, _FEW = 2048, 256  # rows at a time: of products, and of what is no quicker for many


@dataclass(frozen=True)
class Interval:
    """Where the expected distance lies.

    Attributes:
        low: the lower end, ≥ 0.
        high: the upper end.
        standard_error: of the distance.
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
    """The interval of the distance of features [n, D] from ``reference``, which is taken as given.

    Student's t, with Satterthwaite's degrees of freedom (few where a few images make up the error), on the logarithm of
    the distance: its error grows with it and is skewed upward, as a variance's is. Where the error is of the distance's
    own size, near zero, the upper end stops growing exponentially.

    Args:
        features: float32 or float64, at least 3 rows.
        reference: what the distance is measured from.
        level: how often the interval should hold the expected distance.
        statistics: of these features, where they are known already; otherwise they are computed.

    Raises:
        ValueError: fewer than 3 rows, another width than the reference's, NaN or infinity, or a level outside (0, 1).
        NoDistance: the distance does not fit float64.
    """
    return interval_of(*leave_one_out(features, reference), level=level)


def interval_of(value: float, left_out: Floats, *, level: float = 0.95) -> Interval:
    """The same from what :func:`leave_one_out` gives: the distance, and those of the n sets that lack one row, [n]."""
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1, not at {level}")
    error = jackknife(left_out)
    if error.standard_error == 0:  # all rows the same
        return Interval(value, value, 0.0)
    require_finite(value, error.standard_error)
    standard_error = error.standard_error
    margin = float(special.stdtrit(error.freedom, (1 + level) / 2)) * standard_error
    ratio = margin / value if value > 0 else np.inf
    growth = min(ratio, 1.0)
    return Interval(value * float(np.exp(-ratio)), value + margin * float(np.expm1(growth)) / growth, standard_error)


@dataclass(frozen=True)
class JackknifeError:
    """The error of a distance of n images.

    Attributes:
        deviations: of the values of the sets that lack one image each from their mean, float64 [n].
        standard_error: of the distance.
        freedom: Satterthwaite's degrees of freedom of that; few where a few images make up the error.
    """

    deviations: Floats
    standard_error: float
    freedom: float


def jackknife(left_out: Floats) -> JackknifeError:
    """The delete-one jackknife's error from the values of the n sets that lack one row each, [n], n ≥ 2."""
    n = len(left_out)
    deviations = left_out - left_out.mean()
    standard_error = float(np.sqrt((n - 1) / n * (deviations @ deviations)))
    largest = np.abs(deviations).max()
    if standard_error == 0 or not np.isfinite(largest):
        return JackknifeError(deviations, standard_error, float(n - 1))
    # A power of two changes no digit, and keeps fourth powers within float64.
    scaled = np.ldexp(deviations, -np.frexp(largest)[1])
    kurtosis = (scaled**4).mean() / (scaled**2).mean() ** 2
    return JackknifeError(deviations, standard_error, float(2 * n / max(kurtosis - 1, 2 * n / (n - 1))))


def leave_one_out(
    features: npt.NDArray[np.floating], reference: FrechetStatistics, statistics: FrechetStatistics | None = None
) -> tuple[float, Floats]:
    """The distance of features [n, D] from ``reference``, and those of the n sets that lack one row each, [n].

    Without row i the covariance Σ of the features is (n−1)/(n−2)·(Σ − c·dᵢdᵢᵀ), with dᵢ the row less the mean, over
    √(n−1), and c = n/(n−1). With Σr = RᵀR, RΣRᵀ loses c·aᵢaᵢᵀ, aᵢ = Rdᵢ, and since √λ = 1/π·∫ log(1 + λ/s²) ds over
    s > 0, the trace of its root loses, by the matrix determinant lemma,

        −1/π·∫ log(1 − c·aᵢᵀ(s² + RΣRᵀ)⁻¹aᵢ) ds = −1/π·∫ log(1 − c·Σₖ (wₖᵀaᵢ)²/(s² + λₖ)) ds

    with λₖ, wₖ the eigenvalues and -vectors of RΣRᵀ: the same for every row. Where n < D the smaller matrix of inner
    products aᵢᵀaⱼ has the same eigenvalues, and (wₖᵀaᵢ)² = λₖuᵢₖ² with its eigenvectors uₖ.

    ValueError as for :func:`confidence_interval`.
    """
    if features.ndim != 2 or features.shape[1] != len(reference.mu):
        raise ValueError(f"expected features [n, {len(reference.mu)}], got {list(features.shape)}")
    n = len(features)
    if n < 3:
        raise ValueError(f"leaving one out takes at least 3 features, got {n}")
    if not np.isfinite(features).all():
        raise ValueError("the features hold NaN or infinity")
    statistics = frechet_statistics(features) if statistics is None else statistics
    if statistics.factor is not None:
        product = statistics.factor @ reference.sigma @ statistics.factor.T
        # The rows sum to zero, so (1, …, 1) has eigenvalue 0, which rounding must not mix with others: with a constant
        # added throughout it has the largest, and is left out.
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
    """What the trace of the root loses with each row, [rows], from (wₖᵀaᵢ)², [rows, k]."""
    nodes = _NODES * np.sqrt(eigenvalues[-1])
    if not nodes.any():  # nothing to lose
        return np.zeros(len(weights))
    removed = n / (n - 1) * (weights @ (1 / (nodes**2 + eigenvalues[:, None])))
    return -np.log1p(-np.minimum(removed, 1 - 1e-15)) @ nodes * (_STEP / np.pi)
