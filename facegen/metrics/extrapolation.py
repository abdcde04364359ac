"""FID∞: the Fréchet distance that infinitely many generated images would have.

The expected distance of N images is nearly linear in 1/N. A line through the distances of subsets, read off at
1/N = 0, is therefore nearly free of the bias that a finite N causes. The method is from Chong and Forsyth,
"Effectively Unbiased FID and Inception Score and Where to Find Them" (arXiv:1911.07023), section 4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg

from facegen.metrics.frechet import FrechetStatistics, frechet_distance, frechet_statistics
from facegen.metrics.pairs import Floats, feature_rows, require_same_width

Rows = npt.NDArray[np.intp]

_FEWEST, _SIZES, _DRAWS = 50, 15, 4


@dataclass(frozen=True)
class Extrapolation:
    """The line ``value + slope / N`` through the mean distances of subsets.

    Attributes:
        value: FID∞, where the line is read off at 1/N = 0.
        slope: Slope of the line over 1/N.
        sizes: Numbers of images in the subsets.
        values: Mean distance of the subsets of each size.
    """

    value: float
    slope: float
    sizes: tuple[int, ...]
    values: tuple[float, ...]


def fid_infinity(features: npt.NDArray[np.floating], reference: FrechetStatistics, *, seed: int = 0) -> Extrapolation:
    """Compute FID∞ of generated features against ``reference``.

    As in the paper, there are fifteen sizes, evenly spaced in N, and each subset is drawn at random without
    replacement. The paper begins at a tenth of its 50,000 images. Here the sizes run from n/2 to n. With n near or
    below D the line
    bends for small N, which would lift the intercept: at n = 1,000 and D = 1,280, real faces whose distance settled
    at 0.8 came out at 7.1 from n/10, 3.3 from n/4 and 1.1 from n/2. For n ≤ D, where it is cheap, the value of each
    size is the mean over four subsets, so that the seed matters less. There is only one subset of all n images.

    FID∞ extrapolates over the generated images only: the bias of a finite reference remains. It is an estimate, so it
    may be below 0. It also scatters more than the distance at n does.

    Args:
        features: Generated features [n, D], n ≥ 50.
        reference: The statistics to which the distances are measured.
        seed: Seed of the subsets.

    Raises:
        ValueError: There are fewer than 50 rows, the width differs from that of the reference, or the features are not
            finite.
    """
    rows = feature_rows(features, "generated", _FEWEST)
    require_same_width(rows, reference.mu[None])
    n = len(rows)
    distance = _subset_distance(rows, reference)
    draws = _DRAWS if n <= rows.shape[1] else 1
    random = np.random.default_rng(seed)
    sizes = np.linspace(n / 2, n, _SIZES).round().astype(int).tolist()
    values = []
    for size in sizes:
        subsets = (random.permutation(n)[:size] for _ in range(draws if size < n else 1))
        values.append(float(np.mean([distance(subset) for subset in subsets])))
    return extrapolate(sizes, values)


def extrapolate(sizes: Sequence[int], values: Sequence[float]) -> Extrapolation:
    """Fit the least-squares line through ``values`` over 1/``sizes``."""
    slope, intercept = np.polyfit(1 / np.asarray(sizes), values, 1)
    return Extrapolation(float(intercept), float(slope), tuple(sizes), tuple(values))


def _subset_distance(features: Floats, reference: FrechetStatistics) -> Callable[[Rows], float]:
    """Return a function that computes the Fréchet distance of chosen rows of ``features`` [n, D] to ``reference``."""
    n, dims = features.shape
    if n > dims:
        return lambda chosen: frechet_distance(frechet_statistics(features[chosen]), reference)

    # Let C be the centred rows of a subset of N. The trace of (Σ Σ_ref)^½ is the sum of the roots of the eigenvalues of
    # C Σ_ref Cᵀ/(N − 1). Centring commutes with the product, so the product is computed once for all subsets.
    shifted = features - reference.mu
    products = shifted @ reference.sigma @ shifted.T
    norms = np.einsum("nd,nd->n", shifted, shifted)
    reference_trace = np.trace(reference.sigma)

    def distance(chosen: Rows) -> float:
        size = len(chosen)
        shift = shifted[chosen].mean(axis=0)
        square = shift @ shift
        trace = (norms[chosen].sum() - size * square) / (size - 1)
        centred = products[np.ix_(chosen, chosen)]
        centred -= centred.mean(axis=0)
        centred -= centred.mean(axis=1, keepdims=True)
        eigenvalues = linalg.eigvalsh(centred / (size - 1))
        root = np.sqrt(np.clip(eigenvalues, 0, None)).sum()
        return max(float(square + trace + reference_trace - 2 * root), 0.0)

    return distance
