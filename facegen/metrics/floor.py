"""The floor: the Fréchet distance that real images score against the reference.

The distance of N images to M images is biased upwards, and the bias grows as N and M shrink. Real images therefore do
not score 0, and no generator can be expected to score below them. The floor is the score of N real images for this N
and this reference. It is measured with real images that are not part of the reference statistics.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facegen.metrics.frechet import FrechetStatistics, frechet_distance, frechet_statistics
from facegen.metrics.interval import confidence_interval

Features = npt.NDArray[np.floating]

_DRAWS = 5


@dataclass(frozen=True)
class Floor:
    """The score of n real images.

    Attributes:
        value: Mean score of the draws.
        spread: Standard deviation of the score of a single draw. It comes from the jackknife of one draw
            (:func:`~facegen.metrics.interval.confidence_interval`), because five draws estimate it less well, and
            cannot estimate it where they overlap.
        draws: Score of each draw.
        n: Number of images in a draw.
        reference_n: Number of images against which the draws were scored, or None if it is unknown. If each draw was
            taken out of the reference, this is smaller than the reference. The floor is then that of the smaller
            reference, which is higher.
    """

    value: float
    spread: float
    draws: tuple[float, ...]
    n: int
    reference_n: int | None


def frechet_floor(pool: Features, reference: FrechetStatistics, n: int, *, within: bool, seed: int = 0) -> Floor | None:
    """Measure the floor for sets of ``n`` images, from five draws of ``pool``.

    The draws are disjoint. If the pool is too small for that, they overlap as little as possible.

    Args:
        pool: Features [m, D] of real images.
        reference: The statistics against which the draws are scored.
        n: Number of images in the measured set, at least 3.
        within: Whether the images of the pool are among those that the reference summarises. If so, each draw is
            taken out of the reference before it is scored. If not, none of them may be among those images.
        seed: Seed of the order in which images are drawn from the pool.

    Returns:
        None if the floor cannot be measured, because the pool has fewer than n images or, with ``within``, because
        fewer than n images would be left in the reference.

    Raises:
        ValueError: The features have another width or hold NaN, n is below 3, or ``within`` is used with statistics
            of an unknown number of images.
    """
    if n < 3:
        raise ValueError(f"a floor needs at least 3 images, got {n}")
    left = reference.n
    if within:
        if left is None:
            raise ValueError("images can be taken out of statistics only if their number is known")
        left -= n
        if left < n:
            return None
    if len(pool) < n:
        return None
    values = []
    for rows in _windows(len(pool), n, np.random.default_rng(seed)):
        draw = frechet_statistics(pool[rows])
        others = _without(reference, draw) if within else reference
        values.append(frechet_distance(draw, others))
    spread = confidence_interval(pool[rows], others).standard_error
    return Floor(float(np.mean(values)), spread, tuple(values), n, left)


def _windows(m: int, n: int, random: np.random.Generator) -> Iterator[npt.NDArray[np.intp]]:
    """Yield the rows of each draw of n from m: evenly spaced windows of one shuffled circle."""
    order = random.permutation(m)
    for draw in range(_DRAWS if m > n else 1):
        yield np.sort(order[(np.arange(n) + draw * m // _DRAWS) % m])


def _without(whole: FrechetStatistics, part: FrechetStatistics) -> FrechetStatistics:
    """Return the statistics of what is left of ``whole`` without ``part``.

    This is Chan, Golub and LeVeque's update, backwards.
    """
    assert whole.n is not None and part.n is not None
    n = whole.n - part.n
    shift = part.mu - whole.mu
    scatter = (whole.n - 1) * whole.sigma - (part.n - 1) * part.sigma
    scatter -= np.outer(shift, shift * (part.n * whole.n / n))
    return FrechetStatistics(n, whole.mu - shift * (part.n / n), scatter / (n - 1))


def expected_floor(pool: Features, n: int, reference_n: int, *, seed: int = 0) -> float | None:
    """Estimate what ``n`` real images score against ``reference_n`` others, from a pool that may have fewer images.

    If the pool has n + reference_n images, the result is the mean over five random splits. Otherwise it is an
    estimate, which must not be shown as a measured floor. The estimate scales both sizes down to the fractions s and
    s/2. The distance is close to 1/(α + βs), because it approaches the sum of the variances for s → 0 and falls as
    1/s for large s. On EfficientNet-Lite0 features of real faces, with n from 250 to 2,000, estimates at s = 0.5 and
    0.7 were within 10% of measured floors.

    Args:
        pool: Features [m, D] of real images.
        n: Number of images that are scored.
        reference_n: Number of images in the reference.
        seed: Seed of the splits.

    Returns:
        None if the pool has less than half of the images asked for, or fewer than 12 of either kind.
    """
    share = min(len(pool) / (n + reference_n), 1.0)
    if share < 0.5 or share * min(n, reference_n) < 12:
        return None
    random = np.random.default_rng(seed)
    at_share = _split_distance(pool, int(share * n), int(share * reference_n), random)
    if share == 1:
        return at_share
    at_half = _split_distance(pool, int(share * n / 2), int(share * reference_n / 2), random)
    fall = 1 - at_share / at_half if at_share < at_half else 0.0  # by chance it may rise if the true fall is tiny
    return at_share / (1 + 2 * fall * (1 - share) / share)


def _split_distance(pool: Features, n: int, reference_n: int, random: np.random.Generator) -> float:
    """Return the mean distance between disjoint random draws of n and of reference_n images."""
    values = []
    for _ in range(_DRAWS):
        order = random.permutation(len(pool))
        drawn, others = pool[np.sort(order[:n])], pool[np.sort(order[n : n + reference_n])]
        values.append(frechet_distance(frechet_statistics(drawn), frechet_statistics(others)))
    return float(np.mean(values))


def floors_by_reference_size(pool: Features, n: int, *, seed: int = 0) -> dict[int, float]:
    """Return floors of ``n`` images against the largest reference that a pool offers, and against half of it.

    The largest reference is what a draw of n leaves of the pool [m, D]. If that is less than n, it is n, and
    :func:`expected_floor` estimates the floor.

    Returns:
        A floor for each size. If the pool is too small there are fewer than two, and :func:`reference_size_for`
        cannot be used.
    """
    largest = max(len(pool) - n, n)
    floors = {size: expected_floor(pool, n, size, seed=seed) for size in (largest, largest // 2)}
    return {size: value for size, value in floors.items() if value is not None}


def reference_size_for(target: float, floors: Mapping[int, float], *, margin: float = 2.0) -> int | None:
    """Return the smallest reference whose floor lies ``margin`` below ``target``.

    For references of M ≥ N/2 images, the floor is a + b/M, where a is the floor of an infinite reference. The numbers
    a and b are fitted to ``floors`` by least squares. On CelebA with N = 1,000, references of 1,000 to 10,000 fit
    within 0.12.

    Args:
        target: The score in question.
        floors: Floors by reference size for the same N: those of :func:`floors_by_reference_size` and any measured one.
        margin: How far below ``target`` the floor has to be.

    Returns:
        A size no less than the smallest in ``floors``, below which nothing was measured. None if no reference is large
        enough, because the N measured images alone are too few.

    Raises:
        ValueError: There are floors of fewer than two sizes.
    """
    if len(floors) < 2:
        raise ValueError("a trend needs the floors of at least two reference sizes")
    slope, endless = np.polyfit(1 / np.array(list(floors), dtype=np.float64), list(floors.values()), 1)
    below = target - margin - endless
    if below <= 0:
        return None
    return max(min(floors), math.ceil(slope / below))
