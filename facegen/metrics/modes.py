"""Whether images are of a few kinds: a generator that collapsed to few modes draws each again and again, varied."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from facegen.metrics.phash import small_luma

_SIDE, _DIRECTIONS = 16, 20
#: Of the largest variance, below which a direction is rounding.
_LEAST = 1e-6


def nearest_in_main_directions(images: npt.NDArray[np.uint8]) -> float:
    """The median squared distance to the nearest neighbour, as part of the mean one between two images.

    Both are measured in the 20 directions in which luma averaged to 16x16 varies most, each brought to variance 1. So
    it depends on how the images lie, and neither on contrast, sharpness nor how much they vary: where they spread over
    one cloud, it is near what a normal distribution has, 0.32 of 1,000 images; where they lie in clumps, far lower.
    Fewer images are further from one another.

    Args:
        images: uint8 [N, S, S, 3], S a multiple of 32, N at least 2.

    Returns:
        0 to about 1; 0 where all are the same.
    """
    count = len(images)
    rows = small_luma(images).reshape(count, _SIDE, 2, _SIDE, 2).mean(axis=(2, 4), dtype=np.float64).reshape(count, -1)
    rows -= rows.mean(axis=0)
    variances, directions = np.linalg.eigh(rows.T @ rows / count)
    variances, directions = variances[-_DIRECTIONS:], directions[:, -_DIRECTIONS:]
    used = variances > max(_LEAST * variances[-1], 1e-9)
    if not used.any():
        return 0.0
    white = rows @ directions[:, used] / np.sqrt(variances[used])
    squares = (white**2).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares[None, :] - 2 * white @ white.T, 0)
    mean = distances.sum() / (count * (count - 1))
    np.fill_diagonal(distances, np.inf)
    return float(np.median(distances.min(axis=1)) / mean)
