"""The floor: the Fréchet distance that as many real images score against the same reference.

A distance of N images from M is biased upward, by more the fewer they are, so real images do not score 0, and no
generator can be expected below what they score. The floor is that score for this N and this reference, measured with
real images that are not in the reference's statistics.
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
    """What n real images score.

    Attributes:
        value: the mean of the draws.
        spread: the standard deviation of a single draw's score, from one draw's jackknife
            (:func:`~facegen.metrics.interval.confidence_interval`): five draws tell it less well, and not at all where
            they overlap.
        draws: each draw's score.
        n: how many images a draw has.
        reference_n: how many images they were scored against: fewer than the reference has where each draw was taken
            out of it, and the floor is then that of this smaller reference, which is higher. None where it is unknown.
    """

    value: float
    spread: float
    draws: tuple[float, ...]
    n: int
    reference_n: int | None


def frechet_floor(pool: Features, reference: FrechetStatistics, n: int, *, within: bool, seed: int = 0) -> Floor | None:
    """The floor for sets of ``n`` images, from five draws of ``pool``: disjoint, or where it is too small for that,
    overlapping as little as they can.

    Args:
        pool: features [m, D] of real images.
        reference: the statistics to score them against.
        n: how many images the measured set has, at least 3.
        within: whether the pool's images are among those that the statistics sum up. Each draw is then taken out of
            them before it is scored. Otherwise none of them may be.
        seed: of the order in which the pool is drawn from.

    Returns:
        None where it cannot be measured: the pool holds fewer than n images; or ``within``, and fewer than n would be
        left to score against.

    Raises:
        ValueError: features of another width, NaN, n below 3, or ``within`` with statistics of an unknown n.
    """
    if n < 3:
        raise ValueError(f"a floor is for at least 3 images, not {n}")
    left = reference.n
    if within:
        if left is None:
            raise ValueError("images can be taken out of statistics only where their number is known")
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
    """Rows of each draw of n from m: windows of one shuffled circle, evenly spaced."""
    order = random.permutation(m)
    for draw in range(_DRAWS if m > n else 1):
        yield np.sort(order[(np.arange(n) + draw * m // _DRAWS) % m])


def _without(whole: FrechetStatistics, part: FrechetStatistics) -> FrechetStatistics:
    """The statistics of what is left of ``whole`` without ``part``: Chan, Golub and LeVeque's update, backwards."""
    assert whole.n is not None and part.n is not None
    n = whole.n - part.n
    shift = part.mu - whole.mu
    scatter = (whole.n - 1) * whole.sigma - (part.n - 1) * part.sigma
    scatter -= np.outer(shift, shift * (part.n * whole.n / n))
    return FrechetStatistics(n, whole.mu - shift * (part.n / n), scatter / (n - 1))


def expected_floor(pool: Features, n: int, reference_n: int, *, seed: int = 0) -> float | None:
    """About what ``n`` real images score against ``reference_n`` others, from a pool [m, D] that may hold fewer.

    Where the pool holds n + reference_n images this is the mean over five random splits. Otherwise it is an estimate,
    not to be shown as a measured floor: with both sizes scaled down alike, to s and s/2 of themselves, the distance is
    close to 1/(α + βs), since it nears the sum of the variances for s → 0 and falls as 1/s for large s. On
    EfficientNet-Lite0 features of real faces, n from 250 to 2,000, estimates at s = 0.5 and 0.7 were within 10% of
    measured floors.

    None where the pool holds less than half of the images asked for, or fewer than 12 of either kind.
    """
    share = min(len(pool) / (n + reference_n), 1.0)
    if share < 0.5 or share * min(n, reference_n) < 12:
        return None
    random = np.random.default_rng(seed)
    at_share = _split_distance(pool, int(share * n), int(share * reference_n), random)
    if share == 1:
        return at_share
    at_half = _split_distance(pool, int(share * n / 2), int(share * reference_n / 2), random)
    fall = 1 - at_share / at_half if at_share < at_half else 0.0  # by chance it may rise, where it is next to nothing
    return at_share / (1 + 2 * fall * (1 - share) / share)


def _split_distance(pool: Features, n: int, reference_n: int, random: np.random.Generator) -> float:
    """The mean distance between disjoint random draws of n and of reference_n."""
    values = []
    for _ in range(_DRAWS):
        order = random.permutation(len(pool))
        drawn, others = pool[np.sort(order[:n])], pool[np.sort(order[n : n + reference_n])]
        values.append(frechet_distance(frechet_statistics(drawn), frechet_statistics(others)))
    return float(np.mean(values))


def floors_by_reference_size(pool: Features, n: int, *, seed: int = 0) -> dict[int, float]:
    """Floors of ``n`` images against the largest reference that a pool [m, D] of real images offers, and half of it.

    The largest is what a draw of n leaves, or n where that is less, which :func:`expected_floor` then estimates. Fewer
    than two where the pool is too small for that: :func:`reference_size_for` then has nothing to go by.
    """
    largest = max(len(pool) - n, n)
    floors = {size: expected_floor(pool, n, size, seed=seed) for size in (largest, largest // 2)}
    return {size: value for size, value in floors.items() if value is not None}


def reference_size_for(target: float, floors: Mapping[int, float], *, margin: float = 2.0) -> int | None:
    """The smallest reference whose floor lies ``margin`` below ``target``, from floors of other sizes at the same N.

    For references of M ≥ N/2 images the floor is a + b/M, with a the floor of an endless reference; a and b are fitted
    by least squares to ``floors`` (size → floor, of :func:`floors_by_reference_size` and any measured one). On CelebA
    with N = 1,000, references of 1,000 to 10,000 fit within 0.12.

    Returns:
        No less than the smallest size of ``floors``, below which nothing was measured; None where no reference is large
        enough, since the N measured images alone are too few.

    Raises:
        ValueError: floors of fewer than two sizes.
    """
    if len(floors) < 2:
        raise ValueError("a trend takes the floors of at least two reference sizes")
    slope, endless = np.polyfit(1 / np.array(list(floors), dtype=np.float64), list(floors.values()), 1)
    below = target - margin - endless
    if below <= 0:
        return None
    return max(min(floors), math.ceil(slope / below))
