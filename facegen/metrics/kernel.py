"""The kernel distance between two sets of features, which is KID if the features are Inception's.

The distance is the squared maximum mean discrepancy (MMD²) with the kernel k(x, y) = (xᵀy/D + 1)³, from Bińkowski et
al., "Demystifying MMD GANs" (arXiv:1801.01401), section 4. Unlike the Fréchet distance, it has an unbiased estimate at
any N.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facegen.metrics.pairs import Floats, feature_rows, require_same_width, row_blocks


@dataclass(frozen=True)
class KernelDistance:
    """A kernel distance with its error.

    Attributes:
        value: The unbiased estimate, which may be below 0.
        standard_error: Standard error of ``value``.
    """

    value: float
    standard_error: float


def kernel_distance(first: npt.NDArray[np.floating], second: npt.NDArray[np.floating]) -> KernelDistance:
    """Compute MMD² between features [n, D] and [m, D] with n, m ≥ 2.

    The estimate is the U-statistic over all pairs, without subsets: Gretton et al., "A Kernel Two-Sample Test"
    (2012), equation 3. It is the mean kernel of pairs within the first set, plus that within the second, minus twice
    that of pairs across the sets. No row is paired with itself. Published KIDs are means of this over subsets of
    1,000, which estimate the same quantity.

    The standard error is Hoeffding's (1948). It equals that of the jackknife up to a factor (n − 1)/(n − 2). The part
    of a row in the value is twice the difference between its mean kernel with its own set and its mean kernel with
    the other set. The variances of these parts, divided by n and m, add up to the variance of the value. For sets
    that are far apart it is unbiased. For two sets of the same distribution, only second-order terms are left and it
    is too large, by at most √2, which is on the safe side.

    Raises:
        ValueError: There are fewer than two rows, the widths differ, or the features are not finite.
    """
    x, y = feature_rows(first, "first", 2), feature_rows(second, "second", 2)
    require_same_width(x, y)
    n, m = len(x), len(y)
    of_x, of_y = _means_across(x, y)
    within_x, within_y = _means_within(x), _means_within(y)
    parts_x, parts_y = 2 * (within_x - of_x), 2 * (within_y - of_y)
    return KernelDistance(
        value=float((parts_x.mean() + parts_y.mean()) / 2),
        standard_error=float(np.sqrt(parts_x.var(ddof=1) / n + parts_y.var(ddof=1) / m)),
    )


def _kernel(x: Floats, y: Floats) -> Floats:
    """Return (xᵀy/D + 1)³ for all rows x and y, [n, m]."""
    base = x @ y.T
    base /= x.shape[1]
    base += 1
    cube = base * base
    cube *= base
    return cube


def _means_across(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return the mean kernel of each row with all rows of the other set: [n] for ``x`` and [m] for ``y``."""
    sums_x, sums_y = np.zeros(len(x)), np.zeros(len(y))
    for rows in row_blocks(len(x), len(y)):
        kernel = _kernel(x[rows], y)
        sums_x[rows] = kernel.sum(axis=1)
        sums_y += kernel.sum(axis=0)
    return sums_x / len(y), sums_y / len(x)


def _means_within(x: Floats) -> Floats:
    """Return the mean kernel of each row of ``x`` with all others, [n]; each pair is computed once."""
    sums = np.zeros(len(x))
    for rows in row_blocks(len(x), len(x)):
        kernel = _kernel(x[rows], x[rows.start :])
        np.fill_diagonal(kernel, 0)
        sums[rows] += kernel.sum(axis=1)
        sums[rows.stop :] += kernel[:, len(kernel) :].sum(axis=0)
    return sums / (len(x) - 1)
