"""The Fréchet distance between two sets of features.

Each set is summarised by its mean μ and its covariance Σ. Heusel et al., "GANs Trained by a Two Time-Scale Update
Rule" (arXiv:1706.08500), equation 6, define

    d² = ‖μ₁ − μ₂‖² + Tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½).

The distance needs only the trace of the matrix root, not the root itself. That trace is the sum of the square roots
of the eigenvalues of a symmetric matrix. Computing it this way is faster than a general ``sqrtm``, cannot give complex
numbers, and works for singular covariances. All computations are in float64.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg

from facegen.errors import InputError

Floats = npt.NDArray[np.float64]

#: The largest mean that float32 features can have; their largest variance is its square. Beyond these limits the
#: distance may not fit into float64.
_LARGEST = float(np.finfo(np.float32).max)
#: Tolerance for a covariance that was rounded to float32, as a fraction of its largest eigenvalue or entry.
_ROUNDING = 1e-6
#: Tolerance for a covariance that was computed as E[xxᵀ] − μμᵀ in float32, as a fraction of ‖μ‖². It is never more than
#: the second number times the largest entry: beyond that, cancellation has destroyed the covariance.
_EPSILON, _CANCELLED = float(np.finfo(np.float32).eps), 1e-3


class NoDistance(InputError, ValueError):
    """The statistics have no Fréchet distance.

    Raised when a mean or covariance holds NaN, infinity or too large numbers, or when a matrix is not a covariance.
    """


@dataclass(frozen=True)
class FrechetStatistics:
    """The statistics of a set of features from which the Fréchet distance is computed.

    Attributes:
        n: Number of features, or None if the file does not store it.
        mu: Mean of the features, float64 [D].
        sigma: Unbiased covariance of the features, float64 [D, D].
        factor: Float64 [n, D] with ``sigma = factorᵀ factor``: the centred features divided by √(n − 1). It is kept
            only if n < D, because the distance can then be computed from n×n matrices.
    """

    n: int | None
    mu: Floats
    sigma: Floats
    factor: Floats | None = None


class RunningStatistics:
    """A running mean and covariance of features.

    Memory is O(D²), whatever the number of features.

    Each block of features is centred about its own mean. Blocks are merged with the update of Chan, Golub and LeVeque
    ("Updating formulae and a pairwise algorithm for computing sample variances", 1979), so a large mean does not cost
    precision.

    Args:
        dims: Number of dimensions D of a feature.
    """

    def __init__(self, dims: int) -> None:
        self.n = 0
        self._mean = np.zeros(dims)
        self._scatter: Floats | None = None  # Σ(x − mean)(x − mean)ᵀ of the merged blocks
        self._merged = 0
        self._block = np.empty((dims, dims))  # D rows: with that many, the product dominates the cost of a merge
        self._filled = 0

    def update(self, features: npt.NDArray[np.floating]) -> None:
        """Add features [n, D].

        Raises:
            ValueError: The features do not have D columns.
        """
        if features.ndim != 2 or features.shape[1] != len(self._mean):
            raise ValueError(f"expected features [n, {len(self._mean)}], got {list(features.shape)}")
        self.n += len(features)
        while len(features):
            if self._filled == len(self._block):
                self._merge()
            taken = features[: len(self._block) - self._filled]
            self._block[self._filled : self._filled + len(taken)] = taken
            self._filled += len(taken)
            features = features[len(taken) :]

    def _merge(self) -> None:
        self._mean, self._scatter = self._merged_sums()
        self._merged += self._filled
        self._filled = 0

    def _merged_sums(self) -> tuple[Floats, Floats]:
        """Return the mean and the scatter with the current block merged in."""
        block = self._block[: self._filled]
        mean = block.mean(axis=0)
        centred = block - mean
        scatter = centred.T @ centred
        if self._scatter is not None:
            total = self._merged + len(block)
            shift = mean - self._mean
            scatter += self._scatter + np.outer(shift, shift * (self._merged * len(block) / total))
            mean = self._mean + shift * (len(block) / total)
        return mean, scatter

    def state(self) -> dict[str, Floats]:
        """Return the sums so far as plain arrays.

        :meth:`restore` continues from them and gives the same statistics to the last bit.
        """
        state = {"mean": self._mean, "merged": np.array(self._merged), "block": self._block[: self._filled]}
        return state if self._scatter is None else state | {"scatter": self._scatter}

    def restore(self, state: Mapping[str, Floats]) -> None:
        """Continue from what :meth:`state` returned.

        Raises:
            KeyError: ``state`` lacks an array.
            ValueError: ``state`` holds arrays of other shapes.
        """
        dims, block, scatter = len(self._mean), state["block"], state.get("scatter")
        fits = state["mean"].shape == (dims,) and block.shape[1:] == (dims,) and len(block) <= dims
        if not fits or (scatter is not None and scatter.shape != (dims, dims)):
            raise ValueError(f"the state does not hold sums of {dims} dims")
        self._mean, self._scatter, self._merged = state["mean"], scatter, int(state["merged"])
        self._filled = len(block)
        self._block[: self._filled] = block
        self.n = self._merged + self._filled

    def finish(self) -> FrechetStatistics:
        """Return the statistics of all features so far.

        The running sums stay as they are, so you can add more features afterwards.

        Raises:
            ValueError: Fewer than 2 features were added; a covariance needs at least 2.
        """
        if self.n < 2:
            raise ValueError(f"a covariance needs at least 2 features, got {self.n}")
        if self._scatter is None and self.n < len(self._mean):
            block = self._block[: self._filled]
            mean = block.mean(axis=0)
            factor = block - mean
            factor /= np.sqrt(self.n - 1)
            return FrechetStatistics(self.n, mean, factor.T @ factor, factor)
        if self._filled:
            mean, sigma = self._merged_sums()
        else:
            assert self._scatter is not None
            mean, sigma = self._mean.copy(), self._scatter.copy()
        sigma /= self.n - 1
        return FrechetStatistics(self.n, mean, sigma)


def frechet_statistics(features: npt.NDArray[np.floating]) -> FrechetStatistics:
    """Return the mean and the unbiased covariance of features [n, D].

    They equal those of ``numpy.mean`` and ``numpy.cov``.
    """
    running = RunningStatistics(features.shape[1])
    running.update(features)
    return running.finish()


def flaw_of(mu: Floats, sigma: Floats) -> str | None:
    """Return why ``mu`` and ``sigma`` cannot be the mean and covariance of features, or None if they can.

    A covariance is finite, symmetric and positive semi-definite. Two kinds of rounding are tolerated. Storing the
    covariance in float32 may break the last two properties by 1e-6 of its largest entry or eigenvalue. Computing it as
    E[xxᵀ] − μμᵀ in float32 may break them by float32's ε times ‖μ‖², but by no more than 1e-3 of the largest entry. An
    all-zero covariance is valid: it belongs to features that are all equal.

    Args:
        mu: Mean, float64 [D].
        sigma: Covariance, float64 [D, D].

    Returns:
        A clause that continues a sentence about a file, such as "its sigma is not symmetric, so it is not a
        covariance".
    """
    for name, values, most in (("mu", mu, _LARGEST), ("sigma", sigma, _LARGEST**2)):
        if not np.isfinite(values).all():
            return f"its {name} holds {'NaN' if np.isnan(values).any() else 'infinity'}"
        if _largest(values) > most:
            return f"its {name} reaches {_largest(values):.1e}, which is impossible for float32 features"
    largest = _largest(sigma)
    cancelled = min(_EPSILON * float(mu @ mu), _CANCELLED * float(largest))
    # Compare row by row: the difference of the whole matrices would take as much memory as sigma.
    if (
        max(_largest(row - column) for row, column in zip(sigma, sigma.T, strict=True))
        > _ROUNDING * largest + cancelled
    ):
        return "its sigma is not symmetric, so it is not a covariance"
    variances = np.diag(sigma)
    if variances.min() < -_ROUNDING * largest - cancelled:
        return (
            f"its sigma has negative variances on its diagonal, down to {variances.min():.3g}, so it is not a "
            "covariance"
        )
    if largest == 0:
        return None
    # The largest eigenvalue is at least the largest variance. If the shifted matrix has a Cholesky factor, no
    # eigenvalue is too far below zero. The factor takes a tenth of the time of the eigenvalues.
    shifted = sigma.copy(order="F")  # LAPACK's order, so that it can overwrite the copy
    np.fill_diagonal(shifted, variances + (_ROUNDING * variances.max() + cancelled))
    try:
        linalg.cholesky(shifted, overwrite_a=True, check_finite=False)
    except linalg.LinAlgError:
        eigenvalues = linalg.eigvalsh(sigma)
        if eigenvalues[0] < -_ROUNDING * np.abs(eigenvalues).max() - cancelled:
            return (
                f"its sigma has eigenvalues from {eigenvalues[0]:.3g} to {eigenvalues[-1]:.3g}, but a covariance has "
                "none below zero"
            )
    return None


def _largest(values: Floats) -> float:
    """Return the largest magnitude without copying the values."""
    return max(float(values.max()), -float(values.min()))


def frechet_distance(first: FrechetStatistics, second: FrechetStatistics) -> float:
    """Compute the squared Fréchet distance d² between two Gaussians with these means and covariances.

    The result is the FID if the features are those of FID's Inception network. It is symmetric and never negative. For
    equal sets, rounding can give a tiny negative number, which becomes 0.

    Raises:
        ValueError: The two statistics have different numbers of dimensions.
        NoDistance: The statistics hold NaN, infinity or too large numbers, or the distance is clearly negative
            because a matrix is not a covariance.
    """
    if first.mu.shape != second.mu.shape:
        raise ValueError(f"statistics of {len(first.mu)} and {len(second.mu)} dimensions cannot be compared")
    with np.errstate(over="ignore", invalid="ignore"):
        shift = first.mu - second.mu
        traces = np.trace(first.sigma) + np.trace(second.sigma)
        value = float(shift @ shift + traces - 2 * trace_of_root(first, second))
        # Every eigenvalue is rounded by ε of the largest one. Its root enters the sum D times.
        rounding = float(shift @ shift + np.abs(traces)) * len(shift) * np.sqrt(np.finfo(np.float64).eps)
    require_finite(value)
    if value < -rounding:
        raise NoDistance(
            f"The Fréchet distance comes out as {value:.3g}, but a distance is never below 0.",
            "One of the statistics is not the mean and covariance of features. Compute them again.",
        )
    return max(value, 0.0)


def require_finite(*values: float) -> None:
    """Raise :class:`NoDistance` if a number is NaN or infinite.

    The numbers are distances, or intermediate results of a distance.
    """
    for value in values:
        if not np.isfinite(value):
            raise NoDistance(
                f"The Fréchet distance comes out as {value}. The features, or their mean or covariance, hold NaN, "
                "infinity or too large numbers.",
                "Check the feature extractor that made the features, or the file of reference statistics.",
            )


def trace_of_root(first: FrechetStatistics, second: FrechetStatistics) -> float:
    """Compute Tr((Σ₁Σ₂)^½).

    With Σ₁ = RᵀR, the matrix RΣ₂Rᵀ is symmetric and has the same non-zero eigenvalues as Σ₁Σ₂. The trace is the sum of
    their square roots.

    Raises:
        NoDistance: A covariance holds NaN, infinity or too large numbers.
    """
    if second.factor is not None and (first.factor is None or len(second.factor) < len(first.factor)):
        first, second = second, first
    root = first.factor if first.factor is not None else _root(first.sigma)
    product = root @ second.sigma @ root.T
    require_finite(float(product.sum()))
    product = product + product.T
    product /= 2
    eigenvalues = linalg.eigh(product, eigvals_only=True, check_finite=False, overwrite_a=True)
    # A covariance has no negative eigenvalues: what is below zero is rounding.
    return float(np.sqrt(np.clip(eigenvalues, 0, None)).sum())


def _root(sigma: Floats) -> Floats:
    """Return R with RᵀR = ``sigma``.

    R is the Cholesky factor, or comes from the eigenvectors if ``sigma`` is singular.
    """
    require_finite(float(sigma.sum()))
    try:
        return linalg.cholesky(sigma, check_finite=False)
    except linalg.LinAlgError:
        eigenvalues, vectors = linalg.eigh(sigma)
        root: Floats = np.sqrt(np.clip(eigenvalues, 0, None))[:, None] * vectors.T
        return root
