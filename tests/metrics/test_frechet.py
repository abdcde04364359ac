from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg

from facegen.checks.reference_fid import reference_distance
from facegen.errors import InputError
from facegen.metrics.frechet import FrechetStatistics, RunningStatistics, flaw_of, frechet_distance, frechet_statistics
from facegen.metrics.interval import confidence_interval


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


def test_statistics_that_were_looked_at_go_on_to_the_last_bit() -> None:
    features = np.random.default_rng(0).normal(size=(50, 4))
    running, looked_at = RunningStatistics(4), RunningStatistics(4)
    for part in np.split(features, [5, 6, 23]):
        running.update(part)
        looked_at.update(part)
        looked_at.finish()
    assert (looked_at.finish().mu == running.finish().mu).all()
    assert (looked_at.finish().sigma == running.finish().sigma).all()


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
    for shape in ((2, 5), (2, 4, 1)):
        with pytest.raises(ValueError, match="expected features"):
            RunningStatistics(4).update(np.zeros(shape))


@pytest.mark.filterwarnings("ignore:Matrix is:RuntimeWarning")
@pytest.mark.parametrize("n", [(300, 400), (10, 300), (300, 10), (10, 15), (2, 2), (24, 25)])
def test_equals_the_definition(n: tuple[int, int]) -> None:
    x, y = features(0, n[0]), features(1, n[1], shift=0.2)
    assert frechet_distance(frechet_statistics(x), frechet_statistics(y)) == pytest.approx(by_sqrtm(x, y), rel=1e-6)


@pytest.mark.parametrize(("dims", "n"), [(24, (300, 20)), (192, (200, 230))])
def test_equals_pytorch_fid(dims: int, n: tuple[int, int]) -> None:
    x, y = features(0, n[0], dims=dims), features(1, n[1], dims=dims, shift=0.2)
    moments = [m for z in (x, y) for m in (z.mean(0), np.cov(z, rowvar=False))]
    theirs = reference_distance(*moments)
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
    alike = frechet_statistics(np.ones((n, 24)))
    assert frechet_distance(alike, alike) == 0


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


def test_equals_torch_fidelity() -> None:
    metric_fid = pytest.importorskip("torch_fidelity.metric_fid")
    x, y = (frechet_statistics(features(seed, 300, dims=64, shift=seed / 5)) for seed in (0, 1))
    theirs = metric_fid.fid_statistics_to_metric(*({"mu": z.mu, "sigma": z.sigma} for z in (x, y)), verbose=False)
    assert frechet_distance(x, y) == pytest.approx(theirs[metric_fid.KEY_METRIC_FID], rel=1e-6)


def test_equals_torchmetrics() -> None:
    torch = pytest.importorskip("torch")
    image = pytest.importorskip("torchmetrics.image.fid")
    identity = torch.nn.Identity()
    identity.num_features = 64
    metric = image.FrechetInceptionDistance(feature=identity)
    metric.set_dtype(torch.float64)
    x, y = features(0, 300, dims=64), features(1, 300, dims=64, shift=0.2)
    metric.update(torch.from_numpy(x), real=True)
    metric.update(torch.from_numpy(y), real=False)
    assert frechet_distance(frechet_statistics(x), frechet_statistics(y)) == pytest.approx(
        metric.compute().item(), rel=1e-6
    )


@pytest.mark.parametrize("n", [10, 300])
def test_one_feature_many_times_has_no_spread(n: int) -> None:
    x, y = np.repeat(features(0, 1), n, axis=0), features(1, 300)
    expected = np.sum((x[0] - y.mean(0)) ** 2) + np.trace(np.cov(y, rowvar=False))
    assert frechet_distance(frechet_statistics(x), frechet_statistics(y)) == pytest.approx(expected, rel=1e-6)


def test_spreads_in_different_directions_share_nothing() -> None:
    x, y = np.zeros((30, 24)), np.zeros((300, 24))
    x[:, :12], y[:, 12:] = features(0, 30, dims=12), features(1, 300, dims=12)
    expected = np.sum((x.mean(0) - y.mean(0)) ** 2) + x.var(axis=0, ddof=1).sum() + y.var(axis=0, ddof=1).sum()
    assert frechet_distance(frechet_statistics(x), frechet_statistics(y)) == pytest.approx(expected, rel=1e-6)


def test_variances_down_to_nothing() -> None:
    # Covariances with the same eigenvectors commute: d² = Σ(σ₁ − σ₂)².
    axes, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(24, 24)))
    spreads = np.logspace(0, -12, 24), np.logspace(-1, -9, 24)[::-1]
    first, second = (FrechetStatistics(None, np.zeros(24), axes * spread**2 @ axes.T) for spread in spreads)
    assert frechet_distance(first, second) == pytest.approx(np.sum((spreads[0] - spreads[1]) ** 2), rel=1e-6)


@pytest.mark.parametrize("n", [10, 300])
def test_a_mean_that_dwarfs_the_spread_changes_nothing(n: int) -> None:
    x, y = features(0, n), features(1, 300, shift=0.2)
    near = frechet_distance(frechet_statistics(x), frechet_statistics(y))
    far = frechet_distance(frechet_statistics(x + 1e6), frechet_statistics(y + 1e6))
    assert far == pytest.approx(near, rel=1e-6)


@pytest.mark.parametrize("n", [10, 300])
def test_the_order_of_features_changes_nothing(n: int) -> None:
    x, y = features(0, n), frechet_statistics(features(1, 300, shift=0.2))
    shuffled = np.random.default_rng(0).permutation(x)
    first, second = (frechet_distance(frechet_statistics(z), y) for z in (x, shuffled))
    assert first == pytest.approx(second, rel=1e-7)


def test_more_images_than_inceptions_dims() -> None:
    # Columns of a Hadamard matrix are uncorrelated, so that both covariances are diagonal and the distance known.
    n, dims = 4096, 2048
    columns = linalg.hadamard(n)[:, 1 : dims + 1].astype(np.float64)
    random = np.random.default_rng(0)
    scales, means = random.random((2, dims)), random.random((2, dims))
    first, second = (frechet_statistics(columns * scale + mean) for scale, mean in zip(scales, means, strict=True))
    expected = np.sum((means[0] - means[1]) ** 2) + n / (n - 1) * np.sum((scales[0] - scales[1]) ** 2)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-9)


def test_memory_does_not_grow_with_the_number_of_features() -> None:
    part = features(0, 100, dims=64)

    def peak(updates: int) -> int:
        tracemalloc.start()
        running = RunningStatistics(64)
        for _ in range(updates):
            running.update(part)
        running.finish()
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    assert peak(300) <= 1.1 * peak(3)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.integers(1, 6), st.integers(0, 2**31), st.floats(-1e-3, 1e-3), st.sampled_from([1e-30, 1.0, 1e30]))
def test_a_covariance_is_told_by_its_eigenvalues(dims: int, seed: int, lowest: float, scale: float) -> None:
    random = np.random.default_rng(seed)
    axes, _ = np.linalg.qr(random.normal(size=(dims, dims)))
    spectrum = np.array([1.0, *random.random(dims - 1)])[:dims]
    spectrum[-1] = lowest if dims > 1 else 1.0
    sigma = axes * (scale * spectrum) @ axes.T
    assert (flaw_of(np.zeros(dims), (sigma + sigma.T) / 2) is None) == (spectrum[-1] >= -1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [2, 10, 300])
def test_a_covariance_of_features_has_no_flaw(n: int, dtype: type) -> None:
    sigma = np.cov(features(0, n).astype(dtype), rowvar=False, dtype=dtype).astype(np.float64)
    assert flaw_of(np.zeros(24), sigma) is None and flaw_of(np.zeros(24), np.zeros((24, 24))) is None


@pytest.mark.parametrize(
    ("mu", "corner", "aside", "flaw"),
    [
        (1e38, 1.0, 0.0, None),
        (1e39, 1.0, 0.0, "its mu reaches 1.0e+39"),
        (np.nan, 1.0, 0.0, "its mu holds NaN"),
        (0.0, np.inf, 0.0, "its sigma holds infinity"),
        (0.0, 1e76, 0.0, None),
        (0.0, 1e78, 0.0, "its sigma reaches 1.0e+78"),
        (0.0, 1.0, 5e-7, None),
        (0.0, 1.0, 2e-6, "not symmetric"),
        (0.0, -5e-7, 0.0, None),
        (0.0, -2e-6, 0.0, "negative variances on its diagonal, down to -2e-06"),
    ],
)
def test_flaws_are_told_apart(mu: float, corner: float, aside: float, flaw: str | None) -> None:
    sigma = np.eye(3)
    sigma[0, 0], sigma[0, 1] = corner, aside
    found = flaw_of(np.array([mu, 0.0, 0.0]), sigma)
    assert found is None if flaw is None else flaw in str(found)


def test_a_covariance_that_float32_computed_in_one_pass_has_no_flaw() -> None:
    features = np.maximum(np.random.default_rng(0).standard_normal((100, 200)), 0).astype(np.float32) + np.float32(1)
    mu = features.mean(axis=0)
    sigma = ((features.T @ features - 100 * np.outer(mu, mu)) / np.float32(99)).astype(np.float64)
    assert np.linalg.eigvalsh(sigma)[0] < -1e-6 * np.linalg.eigvalsh(sigma)[-1]
    assert flaw_of(mu.astype(np.float64), sigma) is None
    assert flaw_of(np.full(200, 1e6), -np.eye(200)) is not None  # however large the mean


@pytest.mark.parametrize(
    ("mu", "sigma"),
    [
        (np.full(3, np.nan), np.eye(3)),
        (np.full(3, 1e200), np.eye(3)),
        (np.zeros(3), np.full((3, 3), np.inf)),
        (np.zeros(3), np.eye(3) * 1e308),
        (np.zeros(3), np.array([[1, np.nan, 0], [np.nan, 1, 0], [0, 0, 1]])),
        (np.zeros(3), -np.eye(3)),
    ],
    ids=["NaN", "large mean", "infinity", "large covariance", "NaN aside", "negative"],
)
@pytest.mark.filterwarnings("error")
def test_a_distance_that_is_none_is_refused(mu: np.ndarray, sigma: np.ndarray) -> None:
    broken, whole = FrechetStatistics(None, mu, sigma), FrechetStatistics(None, np.zeros(3), np.eye(3) / 9)
    for pair in ((broken, whole), (whole, broken)):
        with pytest.raises(InputError, match="Fréchet distance comes out as"):
            frechet_distance(*pair)


@pytest.mark.parametrize("scale", [1e-30, 1e-10, 1e30])
def test_features_of_any_scale_have_a_distance_and_an_interval(scale: float) -> None:
    x, y = features(0, 30).astype(np.float32), features(1, 300, shift=0.2).astype(np.float32)
    near, scaled = frechet_statistics(y), frechet_statistics(y * np.float32(scale))
    value = frechet_distance(frechet_statistics(x * np.float32(scale)), scaled)
    assert value / scale**2 == pytest.approx(frechet_distance(frechet_statistics(x), near), rel=1e-5)
    interval = confidence_interval(x * np.float32(scale), scaled)
    assert interval.high / scale**2 == pytest.approx(confidence_interval(x, near).high, rel=1e-5)


@pytest.mark.parametrize("first", [3, 5, 12])  # within a block, at its end, after several
def test_running_statistics_go_on_from_their_state_to_the_last_bit(first: int) -> None:
    rows = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    whole, begun, gone_on = RunningStatistics(5), RunningStatistics(5), RunningStatistics(5)
    whole.update(rows[:first])
    whole.update(rows[first:])
    begun.update(rows[:first])
    gone_on.restore(begun.state())
    gone_on.update(rows[first:])
    np.testing.assert_array_equal(gone_on.finish().sigma, whole.finish().sigma)
    assert gone_on.n == 20


@pytest.mark.parametrize(
    "other",
    [{"mean": np.zeros(4)}, {"block": np.zeros((2, 4))}, {"block": np.zeros((6, 5))}, {"scatter": np.zeros((4, 5))}],
)
def test_the_state_of_other_dims_is_refused(other: dict[str, np.ndarray]) -> None:
    begun = RunningStatistics(5)
    begun.update(np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32))
    with pytest.raises(ValueError, match="5 dims"):
        RunningStatistics(5).restore({**begun.state(), **other})
