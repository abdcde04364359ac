from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import kurtosis, t

from facegen.metrics.frechet import FrechetStatistics, frechet_distance, frechet_statistics
from facegen.metrics.interval import confidence_interval, leave_one_out

DIMS = 24
MIXING = np.random.default_rng(1).normal(size=(DIMS, DIMS)) / np.sqrt(DIMS)


def features(random: np.random.Generator, n: int, scale: float = 1.0) -> np.ndarray:
    """Correlated, skewed and partly zero, as pooled ReLU features are."""
    return np.maximum(scale * random.normal(size=(n, DIMS)) @ MIXING + 0.3, 0)


REFERENCE = frechet_statistics(features(np.random.default_rng(2), 2000))


def distance(x: np.ndarray, reference: FrechetStatistics = REFERENCE) -> float:
    return frechet_distance(frechet_statistics(x), reference)


@pytest.mark.parametrize(
    "damage", ["none", "repeated rows", "constant columns", "a column of one row", "few references"]
)
@pytest.mark.parametrize("n", [3, 10, DIMS - 1, DIMS, DIMS + 1, DIMS + 2, 60])
def test_leaving_one_out_equals_recomputing(n: int, damage: str) -> None:
    random = np.random.default_rng(n)
    x, reference = features(random, n), REFERENCE
    if damage == "repeated rows":
        x[: n // 2] = x[-1]
    elif damage == "constant columns":
        x[:, 3:5] = (0, 7)
    elif damage == "a column of one row":
        x[:, 3], x[0, 3] = 0, 1
    elif damage == "few references":
        reference = frechet_statistics(features(random, 6))
    value, left_out = leave_one_out(x, reference)
    assert value == pytest.approx(distance(x, reference), rel=1e-6)
    recomputed = [distance(np.delete(x, row, axis=0), reference) for row in range(n)]
    np.testing.assert_allclose(left_out, recomputed, rtol=1e-6)


def test_rows_are_taken_in_blocks_that_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x = features(np.random.default_rng(0), 100)
    whole = leave_one_out(x, REFERENCE)[1]
    monkeypatch.setattr("facegen.metrics.interval._BLOCK", 7)
    np.testing.assert_allclose(leave_one_out(x, REFERENCE)[1], whole, rtol=1e-12)


@pytest.mark.parametrize("n", [16, 60])  # fewer than dims, and more
def test_the_standard_error_is_the_spread_of_other_sets(n: int) -> None:
    random = np.random.default_rng(0)
    sets = [features(random, n, scale=1.3) for _ in range(300)]
    spread = np.std([distance(x) for x in sets], ddof=1)
    estimated = np.mean([confidence_interval(x, REFERENCE).standard_error for x in sets[:100]])
    assert 0.93 < estimated / spread < 1.2


def held(n: int, draw: Callable[[np.random.Generator], np.ndarray]) -> float:
    """The share of 600 intervals that hold the mean distance."""
    random = np.random.default_rng(5)
    sets = [draw(random) for _ in range(600)]
    expected = np.mean([distance(x) for x in sets])
    intervals = [confidence_interval(x, REFERENCE) for x in sets]
    return float(np.mean([interval.low <= expected <= interval.high for interval in intervals]))


@pytest.mark.parametrize("n", [16, 60])
@pytest.mark.parametrize("tails", ["rectified", "Gaussian", "heavy"])
def test_95_percent_of_the_intervals_hold_the_expected_distance(n: int, tails: str) -> None:
    def draw(random: np.random.Generator) -> np.ndarray:
        if tails == "rectified":
            return features(random, n, scale=1.3)
        noise = random.normal if tails == "Gaussian" else random.laplace
        return noise(size=(n, DIMS)) @ MIXING

    assert 0.93 <= held(n, draw) <= 0.98


@pytest.mark.parametrize("n", [16, 60])
def test_the_interval_is_wide_rather_than_narrow_for_images_like_the_references(n: int) -> None:
    assert held(n, lambda random: features(random, n)) >= 0.95


def test_it_does_not_drift_upward_as_a_bootstrap_does() -> None:
    """Resampled rows repeat, so a bootstrapped set has about 0.63 n distinct ones and scores like a smaller set."""
    random = np.random.default_rng(7)
    n = 20
    expected = np.mean([distance(features(random, n)) for _ in range(300)])
    by_bootstrap, by_jackknife = [], []
    for _ in range(30):
        x = features(random, n)
        resampled = [distance(x[random.integers(0, n, n)]) for _ in range(100)]
        by_bootstrap.append(np.quantile(resampled, 0.025) <= expected)
        interval = confidence_interval(x, REFERENCE)
        by_jackknife.append(interval.low <= expected <= interval.high)
    assert np.mean(by_bootstrap) < 0.2
    assert np.mean(by_jackknife) > 0.9


def test_a_larger_level_is_a_wider_interval_about_the_value() -> None:
    x = features(np.random.default_rng(0), 50)
    narrow, wide = (confidence_interval(x, REFERENCE, level=level) for level in (0.5, 0.99))
    assert 0 < wide.low < narrow.low < distance(x) < narrow.high < wide.high
    assert narrow.standard_error == wide.standard_error


@pytest.mark.parametrize("n", [10, 300])
def test_the_reference_itself_has_a_finite_interval_from_zero(n: int) -> None:
    x = features(np.random.default_rng(0), n)
    interval = confidence_interval(x, frechet_statistics(x))
    assert interval.low == pytest.approx(0, abs=1e-6)
    assert 0 < interval.high < 10


def test_identical_rows_have_no_error() -> None:
    interval = confidence_interval(np.ones((10, DIMS)), REFERENCE)
    assert [interval.low, interval.high] == pytest.approx([distance(np.ones((10, DIMS)))] * 2)


def test_float32_is_computed_in_float64() -> None:
    x = features(np.random.default_rng(0), 50).astype(np.float32)
    assert confidence_interval(x, REFERENCE) == confidence_interval(x.astype(np.float64), REFERENCE)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, DIMS)), "at least 3"),
        (np.zeros((9, DIMS + 1)), r"expected features \[n, 24\]"),
        (np.full((9, DIMS), np.nan), "NaN or infinity"),
    ],
)
def test_features_without_an_interval_are_refused(x: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        confidence_interval(x, REFERENCE)


@pytest.mark.parametrize("level", [0.5, 0.95])
@pytest.mark.parametrize(("rows", "freedom"), [("of two kinds", 13), ("one apart", None)])
def test_the_interval_is_students(rows: str, freedom: float | None, level: float) -> None:
    """On the logarithm below. Where half of the rows are of either kind the freedom is the textbook's, n − 1; where one
    row makes up the error it is Satterthwaite's, 2n over the kurtosis less 1."""
    random = np.random.default_rng(0)
    if rows == "of two kinds":
        x = np.repeat(features(random, 2), 7, axis=0)
    else:
        x = np.vstack([1e-3 * features(random, 13), np.full((1, DIMS), 2.0)])
    value, left_out = leave_one_out(x, REFERENCE)
    of_tails = kurtosis(left_out, fisher=False)
    if freedom is None:
        assert of_tails > 12
        freedom = 2 * 14 / (of_tails - 1)
    margin = t.ppf((1 + level) / 2, freedom) * np.sqrt(13 * left_out.var())
    interval = confidence_interval(x, REFERENCE, level=level)
    assert interval.low == pytest.approx(value * np.exp(-margin / value), rel=1e-9)
    above = value * np.exp(margin / value) if margin < value else value + margin * (np.e - 1)
    assert interval.high == pytest.approx(above, rel=1e-9)


@pytest.mark.parametrize("level", [0, 1, 95])
def test_a_level_that_is_no_probability_is_refused(level: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        confidence_interval(np.zeros((9, DIMS)), REFERENCE, level=level)


def test_the_standard_error_is_the_jackknifes() -> None:
    x = features(np.random.default_rng(0), 12)
    left_out = leave_one_out(x, REFERENCE)[1]
    expected = np.sqrt(11 / 12 * ((left_out - left_out.mean()) ** 2).sum())
    assert confidence_interval(x, REFERENCE).standard_error == pytest.approx(expected, rel=1e-12)
