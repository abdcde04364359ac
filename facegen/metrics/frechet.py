"""The Fréchet distance between two sets of features, each summed up by its mean and covariance.

Heusel et al., "GANs Trained by a Two Time-Scale Update Rule" (arXiv:1706.08500), equation 6:
d² = ‖μ₁ − μ₂‖² + Tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½). Everything here is float64.

The matrix root itself is never needed, only its trace, which is the sum of the roots of the eigenvalues of a symmetric
matrix. That is quicker than a general ``sqrtm``, cannot turn complex, and takes singular covariances as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg

from facegen.errors import InputError

Floats = npt.NDArray[np.float64]

#: No mean of float32 features is beyond this, no variance beyond its square; distances of what is do not fit float64.
_LARGEST = float(np.finfo(np.float32).max)
#: What rounding to float32 does to a covariance: so much of its largest eigenvalue or entry.
_ROUNDING = 1e-6
#: What E[xxᵀ] − μμᵀ in float32 does to it, of ‖μ‖²; beyond this share of its largest entry the file says nothing.
_EPSILON, _CANCELLED = float(np.finfo(np.float32).eps), 1e-3


class NoDistance(InputError, ValueError):
    """NaN, infinity, too large numbers, or covariances that are none: there is no distance between such statistics."""


@dataclass(frozen=True)
class FrechetStatistics:
    """What the distance needs to know of a set of features.

    Attributes:
        n: how many features were summed up; None where a file does not tell.
        mu: their mean, [D].
        sigma: their unbiased covariance, [D, D].
        factor: [n, D] with ``sigma = factorᵀ factor``, kept where n < D: the centred features over √(n − 1). The
            distance is then a matter of n×n matrices.
    """

    n: int | None
    mu: Floats
    sigma: Floats
    factor: Floats | None = None


class RunningStatistics:
    """Sums features up as they come, in memory that does not grow with their number: O(D²).

    Features are centred block by block about the block's own mean and the blocks merged by Chan, Golub and LeVeque's
    update ("Updating formulae and a pairwise algorithm for computing sample variances", 1979), so a large mean costs no
    digits.
    """

    def __init__(self, dims: int) -> None:
        self.n = 0
        self._mean = np.zeros(dims)
        self._scatter: Floats | None = None  # Σ(x − mean)(x − mean)ᵀ of the merged blocks
        self._merged = 0
        self._block = np.empty((dims, dims))  # as many rows as columns: a merge then costs no more than its products
        self._filled = 0

    def update(self, features: npt.NDArray[np.floating]) -> None:
        """Add features [n, D]. ValueError where they are not D wide."""
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
        """The mean and the scatter with the block merged into them."""
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
        """The sums so far, as plain arrays; with :meth:`restore`, the statistics are the same to the last bit."""
        state = {"mean": self._mean, "merged": np.array(self._merged), "block": self._block[: self._filled]}
        return state if self._scatter is None else state | {"scatter": self._scatter}

    def restore(self, state: Mapping[str, Floats]) -> None:
        """Go on from what :meth:`state` gave. KeyError or ValueError where it is something else."""
        dims, block, scatter = len(self._mean), state["block"], state.get("scatter")
        fits = state["mean"].shape == (dims,) and block.shape[1:] == (dims,) and len(block) <= dims
        if not fits or (scatter is not None and scatter.shape != (dims, dims)):
            raise ValueError(f"these are no sums of {dims} dims")
        self._mean, self._scatter, self._merged = state["mean"], scatter, int(state["merged"])
        self._filled = len(block)
        self._block[: self._filled] = block
        self.n = self._merged + self._filled

    def finish(self) -> FrechetStatistics:
        """The statistics of all features so far. ValueError below two: one has no covariance.

        More may follow, and come to the same as without this call: the block is left as it is.
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
    """Mean and unbiased covariance of features [n, D], as ``numpy.mean`` and ``numpy.cov`` give them."""
    running = RunningStatistics(features.shape[1])
    running.update(features)
    return running.finish()


def flaw_of(mu: Floats, sigma: Floats) -> str | None:
    """What keeps ``mu`` [D] and ``sigma`` [D, D] from being the mean and covariance of features, in words; else None.

    A covariance is finite, symmetric and positive semi-definite. Rounding to float32 may break the last two by 1e-6 of
    its largest entry or eigenvalue, and by float32's ε of ‖μ‖² where it was computed as E[xxᵀ] − μμᵀ,
    though never by 1e-3. All zero is one: of features that are all the same.
    """
    for name, values, most in (("mu", mu, _LARGEST), ("sigma", sigma, _LARGEST**2)):
        if not np.isfinite(values).all():
            return f"its {name} holds {'NaN' if np.isnan(values).any() else 'infinity'}"
        if _largest(values) > most:
            return f"its {name} reaches {_largest(values):.1e}, which no features of float32 have"
    largest = _largest(sigma)
    cancelled = min(_EPSILON * float(mu @ mu), _CANCELLED * float(largest))
    # Row by row: a difference of the whole is as large as sigma.
    if (
        max(_largest(row - column) for row, column in zip(sigma, sigma.T, strict=True))
        > _ROUNDING * largest + cancelled
    ):
        return "its sigma is not symmetric, so it is no covariance"
    variances = np.diag(sigma)
    if variances.min() < -_ROUNDING * largest - cancelled:
        return (
            f"its sigma has negative variances on its diagonal, down to {variances.min():.3g}, so it is no covariance"
        )
    if largest == 0:
        return None
    # The largest eigenvalue is no less than the largest variance: where this Cholesky factor is, no eigenvalue is too
    # far below zero. It takes a tenth of the time of the eigenvalues.
    shifted = sigma.copy(order="F")  # as LAPACK has it, which overwrites it then
    np.fill_diagonal(shifted, variances + (_ROUNDING * variances.max() + cancelled))
    try:
        linalg.cholesky(shifted, overwrite_a=True, check_finite=False)
    except linalg.LinAlgError:
        eigenvalues = linalg.eigvalsh(sigma)
        if eigenvalues[0] < -_ROUNDING * np.abs(eigenvalues).max() - cancelled:
            return (
                f"its sigma has eigenvalues from {eigenvalues[0]:.3g} to {eigenvalues[-1]:.3g}, and a covariance has "
                "none below zero"
            )
    return None


def _largest(values: Floats) -> float:
    """The largest magnitude, without a copy of the values."""
    return max(float(values.max()), -float(values.min()))


def frechet_distance(first: FrechetStatistics, second: FrechetStatistics) -> float:
    """The squared Fréchet distance d² of two Gaussians with these means and covariances; FID when the features are.

    Symmetric, and never negative: rounding below zero, for sets that are the same, is cut off.

    Raises:
        ValueError: the two have not the same number of dimensions.
        NoDistance: NaN, infinity or too large numbers in either, or covariances that are none and give a negative one.
    """
    if first.mu.shape != second.mu.shape:
        raise ValueError(f"statistics of {len(first.mu)} and {len(second.mu)} dimensions cannot be compared")
    with np.errstate(over="ignore", invalid="ignore"):
        shift = first.mu - second.mu
        traces = np.trace(first.sigma) + np.trace(second.sigma)
        value = float(shift @ shift + traces - 2 * trace_of_root(first, second))
        # Each eigenvalue's rounding is ε of the largest, and the root of that is counted D times.
        rounding = float(shift @ shift + np.abs(traces)) * len(shift) * np.sqrt(np.finfo(np.float64).eps)
    require_finite(value)
    if value < -rounding:
        raise NoDistance(
            f"The Fréchet distance comes out as {value:.3g}: a distance is never below 0.",
            "One of the statistics does not belong to features: compute them again.",
        )
    return max(value, 0.0)


def require_finite(*values: float) -> None:
    """NoDistance where one of the numbers, distances or what they are made of, is NaN or infinity."""
    for value in values:
        if not np.isfinite(value):
            raise NoDistance(
                f"The Fréchet distance comes out as {value}: the features, or their mean or covariance, hold NaN or "
                "infinity, or numbers too large for it.",
                "Check the extractor that made the features, or the file of statistics.",
            )


def trace_of_root(first: FrechetStatistics, second: FrechetStatistics) -> float:
    """Tr((Σ₁Σ₂)^½): with Σ₁ = RᵀR, the sum of the roots of the eigenvalues of RΣ₂Rᵀ, which it shares with Σ₁Σ₂.

    NoDistance where there is none, as for :func:`frechet_distance`.
    """
    if second.factor is not None and (first.factor is None or len(second.factor) < len(first.factor)):
        first, second = second, first
    root = first.factor if first.factor is not None else _root(first.sigma)
    product = root @ second.sigma @ root.T
    require_finite(float(product.sum()))
    product = product + product.T
    product /= 2
    eigenvalues = linalg.eigh(product, eigvals_only=True, check_finite=False, overwrite_a=True)
    # A covariance has no negative eigenvalue; below zero is rounding.
    return float(np.sqrt(np.clip(eigenvalues, 0, None)).sum())


def _root(sigma: Floats) -> Floats:
    """R with RᵀR = ``sigma``: its Cholesky factor, or by its eigenvectors where it is singular."""
    require_finite(float(sigma.sum()))
    try:
        return linalg.cholesky(sigma, check_finite=False)
    except linalg.LinAlgError:
        eigenvalues, vectors = linalg.eigh(sigma)
        root: Floats = np.sqrt(np.clip(eigenvalues, 0, None))[:, None] * vectors.T
        return root
