"""FID∞ on points that lie on a line, on Gaussians of known distance, and against the plain Fréchet distance."""

from __future__ import annotations

import numpy as np
import pytest

from facegen.metrics.extrapolation import extrapolate, fid_infinity
from facegen.metrics.frechet import FrechetStatistics, frechet_distance, frechet_statistics

DIMS = 40
SCALES = np.linspace(0.2, 2, DIMS)
REFERENCE = FrechetStatistics(None, np.zeros(DIMS), np.diag(SCALES**2))


def gaussian(seed: int, n: int, shift: float = 0.0, factor: float = 1.0) -> np.ndarray:
    """At distance D·shift² + (factor − 1)² Σ scale² from the reference: the covariances commute."""
    return shift + factor * SCALES * np.random.default_rng(seed).normal(size=(n, DIMS))


def test_a_line_over_one_over_n_is_found_exactly() -> None:
    sizes = [50, 70, 100]
    line = extrapolate(sizes, [7.5 + 320 / size for size in sizes])
    assert (line.value, line.slope) == pytest.approx((7.5, 320), rel=1e-12)
    assert line.sizes == (50, 70, 100)


@pytest.mark.parametrize(("shift", "factor"), [(0.0, 1.0), (0.3, 1.2)])
def test_nearer_to_the_true_distance_than_the_value_at_n(shift: float, factor: float) -> None:
    truth = DIMS * shift**2 + (factor - 1) ** 2 * (SCALES**2).sum()
    values, limits = [], []
    for seed in range(12):
        x = gaussian(seed, 400, shift, factor)
        values.append(frechet_distance(frechet_statistics(x), REFERENCE))
        limits.append(fid_infinity(x, REFERENCE, seed=seed).value)
    assert abs(np.mean(limits) - truth) < 0.25 * (np.mean(values) - truth)


@pytest.mark.parametrize("n", [60, DIMS, 30])
def test_the_largest_size_is_the_plain_distance(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facegen.metrics.extrapolation._FEWEST", 30)
    x = gaussian(0, n, 0.3)
    line = fid_infinity(x, REFERENCE)
    assert line.sizes[-1] == n
    assert line.values[-1] == pytest.approx(frechet_distance(frechet_statistics(x), REFERENCE), rel=1e-6)


def test_both_ways_of_computing_a_subset_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Constant columns put D above n, where n×n products are used, and change no distance."""
    monkeypatch.setattr("facegen.metrics.extrapolation._DRAWS", 1)
    x = gaussian(0, 60, 0.3)
    padded = FrechetStatistics(None, np.zeros(DIMS + 40), np.diag(np.append(SCALES**2, np.zeros(40))))
    wide = fid_infinity(np.hstack([x, np.zeros((60, 40))]), padded)
    assert wide.values == pytest.approx(fid_infinity(x, REFERENCE).values, rel=1e-6)


def test_sizes_run_evenly_from_half_to_all() -> None:
    assert fid_infinity(gaussian(0, 56), REFERENCE).sizes == tuple(range(28, 57, 2))


def test_identical_sets_are_not_far_from_zero() -> None:
    x = gaussian(0, 60)
    assert fid_infinity(x, frechet_statistics(x)).values[-1] == pytest.approx(0, abs=1e-5)


def test_the_seed_decides() -> None:
    x = gaussian(0, 60)
    assert fid_infinity(x, REFERENCE, seed=3) == fid_infinity(x, REFERENCE, seed=3)
    assert fid_infinity(x, REFERENCE, seed=3).value != fid_infinity(x, REFERENCE, seed=4).value


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (gaussian(0, 49), "at least 50 generated features, got 49"),
        (gaussian(0, 60)[:, 1:], "39 and 40 dimensions"),
        (np.full((60, DIMS), np.inf), "not all finite"),
    ],
)
def test_what_cannot_be_extrapolated_is_refused(x: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fid_infinity(x, REFERENCE)
