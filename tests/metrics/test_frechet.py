from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg

from facegen.metrics.frechet import FrechetStatistics, RunningStatistics, frechet_distance, frechet_statistics


def features(seed: int, n: int, dims: int = 24, shift: float = 0.0) -> np.ndarray:
    """Correlated, skewed and partly zero, as pooled ReLU features are."""
    random = np.random.default_rng(seed)
    mixing = np.random.default_rng(1).normal(size=(dims, dims)) / np.sqrt(dims)
    return np.maximum(random.normal(size=(n, dims)) @ mixing + 0.3 + shift, 0)


def by_sqrtm(first: np.ndarray, second: np.ndarray) -> float:
    """The definition, literally: arXiv:1706.08500, equation 6, with numpy's moments and scipy's matrix root."""
    sigmas = [np.cov(x, rowvar=False) for x in (first, second)]
    shift = first.mean(0) - second.mean(0)
    root = linalg.sqrtm(sigmas[0] @ sigmas[1])
    return float(shift @ shift + np.trace(sigmas[0]) + np.trace(sigmas[1]) - 2 * np.trace(root).real)


@pytest.mark.parametrize("n", [2, 23, 24, 25, 100])
def test_moments_are_numpys(n: int) -> None:
    x = features(0, n) + 1000
    statistics = frechet_statistics(x)
    assert statistics.n == n
    np.testing.assert_allclose(statistics.mu, x.mean(0), rtol=1e-13)
    np.testing.assert_allclose(statistics.sigma, np.cov(x, rowvar=False), rtol=1e-10, atol=1e-12)


@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=8).filter(lambda sizes: sum(sizes) >= 2))
def test_the_way_features_are_cut_into_updates_changes_nothing(sizes: list[int]) -> None:
    x = features(3, sum(sizes), dims=8)
    running = RunningStatistics(8)
    for part in np.split(x, np.cumsum(sizes)[:-1]):
        running.update(part)
    np.testing.assert_array_equal(running.finish().sigma, frechet_statistics(x).sigma)


def test_a_large_mean_costs_no_digits() -> None:
    x = features(0, 200)
    np.testing.assert_allclose(frechet_statistics(x + 1e6).sigma, np.cov(x, rowvar=False), atol=1e-8)


def test_the_factor_is_kept_below_dims_and_gives_sigma() -> None:
    few, many = frechet_statistics(features(0, 10)), frechet_statistics(features(0, 30))
    assert few.factor is not None and few.factor.shape == (10, 24)
    np.testing.assert_allclose(few.factor.T @ few.factor, few.sigma, atol=1e-14)
    assert many.factor is None


def test_one_feature_has_no_covariance() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        frechet_statistics(features(0, 1))


def test_features_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match="expected features"):
        RunningStatistics(4).update(np.zeros((2, 5)))


@pytest.mark.filterwarnings("ignore:Matrix is:RuntimeWarning")
@pytest.mark.parametrize("n", [(300, 400), (10, 300), (300, 10), (10, 15), (2, 2), (24, 25)])
def test_equals_the_definition(n: tuple[int, int]) -> None:
    x, y = features(0, n[0]), features(1, n[1], shift=0.2)
    assert frechet_distance(frechet_statistics(x), frechet_statistics(y)) == pytest.approx(by_sqrtm(x, y), rel=1e-6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("dims", "n"), [(24, (300, 20)), (768, (800, 900))])
def test_equals_pytorch_fid(dims: int, n: tuple[int, int]) -> None:
    fid_score = pytest.importorskip("pytorch_fid.fid_score")
    x, y = features(0, n[0], dims=dims), features(1, n[1], dims=dims, shift=0.2)
    moments = [m for z in (x, y) for m in (z.mean(0), np.cov(z, rowvar=False))]
    try:
        theirs = fid_score.calculate_frechet_distance(*moments)
    except TypeError:
        pytest.skip("pytorch-fid 0.3.0 calls sqrtm(disp=...), which this SciPy no longer has")
    assert frechet_distance(frechet_statistics(x), frechet_statistics(y)) == pytest.approx(theirs, rel=1e-6)


def test_two_gaussians_of_known_distance() -> None:
    # Diagonal covariances commute: d² = Σ(Δμ)² + Σ(σ₁ − σ₂)².
    first = FrechetStatistics(None, np.array([0.0, 1.0]), np.diag([4.0, 9.0]))
    second = FrechetStatistics(None, np.array([3.0, 1.0]), np.diag([1.0, 0.0]))
    assert frechet_distance(first, second) == pytest.approx(9 + 1 + 9, rel=1e-12)


@pytest.mark.parametrize("n", [10, 300])
def test_identical_sets_are_at_distance_zero(n: int) -> None:
    x = frechet_statistics(features(0, n))
    assert 0 <= frechet_distance(x, x) < 1e-6


@pytest.mark.parametrize("damage", ["constant column", "zero column", "repeated column"])
def test_singular_covariances(damage: str) -> None:
    x, y = features(0, 300), features(1, 300, shift=0.2)
    for z in (x, y):
        z[:, 5] = {"constant column": 7.0, "zero column": 0.0, "repeated column": z[:, 6]}[damage]
    # A column that both sets hold constant adds nothing: leave it out for the definition, whose root would be singular.
    if damage == "repeated column":
        # Two copies of a column are one column √2 as large.
        reduced = [np.column_stack([np.delete(z, [5, 6], axis=1), z[:, 6] * np.sqrt(2)]) for z in (x, y)]
    else:
        reduced = [np.delete(z, 5, axis=1) for z in (x, y)]
    expected = by_sqrtm(*reduced)
    assert frechet_distance(frechet_statistics(x), frechet_statistics(y)) == pytest.approx(expected, rel=1e-6)


def test_a_shift_alone_counts_its_square() -> None:
    x = features(0, 12)
    distance = frechet_distance(frechet_statistics(x), frechet_statistics(x + 0.5))
    assert distance == pytest.approx(24 * 0.25, rel=1e-6)


def test_symmetric() -> None:
    x, y = frechet_statistics(features(0, 10)), frechet_statistics(features(1, 300))
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(y, x), rel=1e-9)


def test_different_dims_are_refused() -> None:
    with pytest.raises(ValueError, match="24 and 8 dimensions"):
        frechet_distance(frechet_statistics(features(0, 30)), frechet_statistics(features(0, 30, dims=8)))
