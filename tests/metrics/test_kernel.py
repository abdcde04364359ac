"""KID against a double loop, two other libraries, and its expectation and spread over independent draws."""

from __future__ import annotations

import numpy as np
import pytest

from facegen.metrics import pairs
from facegen.metrics.kernel import kernel_distance


def features(seed: int, n: int, dims: int = 16, shift: float = 0.0) -> np.ndarray:
    random = np.random.default_rng(seed)
    mixing = np.random.default_rng(1).normal(size=(dims, dims)) / np.sqrt(dims)
    return np.maximum(random.normal(size=(n, dims)) @ mixing + 0.3 + shift, 0)


def by_loop(first: np.ndarray, second: np.ndarray) -> float:
    """The definition, pair by pair."""

    def mean(x: np.ndarray, y: np.ndarray, *, within: bool) -> float:
        return float(
            np.mean(
                [
                    (x[i] @ y[j] / x.shape[1] + 1) ** 3
                    for i in range(len(x))
                    for j in range(len(y))
                    if not (within and i == j)
                ]
            )
        )

    return mean(first, first, within=True) + mean(second, second, within=True) - 2 * mean(first, second, within=False)


@pytest.mark.parametrize("n", [(2, 2), (2, 9), (9, 2), (20, 31)])
def test_equals_the_definition(n: tuple[int, int]) -> None:
    x, y = features(0, n[0]), features(1, n[1], shift=0.2)
    assert kernel_distance(x, y).value == pytest.approx(by_loop(x, y), rel=1e-10)


def test_worked_by_hand() -> None:
    # One dimension: k(0, 2) = 1, k(1, 3) = 64; across, k(0, ·) = 1 and k(2, 1) = 27, k(2, 3) = 343.
    value = kernel_distance(np.array([[0.0], [2.0]]), np.array([[1.0], [3.0]])).value
    assert value == pytest.approx(1 + 64 - 2 * (1 + 1 + 27 + 343) / 4, rel=1e-14)


def test_equals_torch_fidelity_with_one_subset_of_everything() -> None:
    pytest.importorskip("torch_fidelity")
    import torch
    from torch_fidelity.metric_kid import kid_features_to_metric

    x, y = features(0, 60), features(1, 60, shift=0.1)
    theirs = kid_features_to_metric(
        torch.from_numpy(x), torch.from_numpy(y), kid_subsets=1, kid_subset_size=60, verbose=False
    )
    assert kernel_distance(x, y).value == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-9)


def test_equals_torchmetrics_kernel() -> None:
    kid = pytest.importorskip("torchmetrics.image.kid")
    import torch

    x, y = features(2, 50), features(3, 50, shift=0.1)
    theirs = kid.poly_mmd(torch.from_numpy(x), torch.from_numpy(y))
    assert kernel_distance(x, y).value == pytest.approx(float(theirs), rel=1e-9)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = features(0, 50), features(1, 37, shift=0.2)
    whole = kernel_distance(x, y)
    monkeypatch.setattr(pairs, "_BLOCK", 200)
    parts = kernel_distance(x, y)
    assert (parts.value, parts.standard_error) == pytest.approx((whole.value, whole.standard_error), rel=1e-10)


def test_symmetric() -> None:
    x, y = features(0, 20), features(1, 30)
    forth, back = kernel_distance(x, y), kernel_distance(y, x)
    assert (forth.value, forth.standard_error) == pytest.approx((back.value, back.standard_error), rel=1e-10)


def test_halves_are_at_distance_zero_in_the_mean() -> None:
    x, random = features(0, 100), np.random.default_rng(0)
    halvings = (random.permutation(100) for _ in range(400))
    values = [kernel_distance(x[order[:50]], x[order[50:]]).value for order in halvings]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(400)
    assert min(values) < 0


@pytest.mark.parametrize(("shift", "low", "high"), [(0.5, 0.93, 1.07), (0.0, 1.0, 1.48)])
def test_standard_error_is_the_spread_over_draws(shift: float, low: float, high: float) -> None:
    """Up to √2 too large for equal distributions, as the docstring says; the draws leave 2% of doubt."""
    draws = [kernel_distance(features(2 * s, 60), features(2 * s + 1, 90, shift=shift)) for s in range(1500)]
    spread = np.std([draw.value for draw in draws])
    claimed = np.sqrt(np.mean([draw.standard_error**2 for draw in draws]))
    assert low < claimed / spread < high


def test_standard_error_is_the_jackknifes() -> None:
    x, y = features(0, 40), features(1, 50, shift=0.3)
    without_x = [kernel_distance(np.delete(x, i, axis=0), y).value for i in range(40)]
    without_y = [kernel_distance(x, np.delete(y, i, axis=0)).value for i in range(50)]
    expected = np.sqrt(39 * np.var(without_x) + 49 * np.var(without_y))
    assert kernel_distance(x, y).standard_error == pytest.approx(expected, rel=0.05)


def test_float32_is_computed_in_float64() -> None:
    x, y = features(0, 30).astype(np.float32), features(1, 30).astype(np.float32)
    assert kernel_distance(x, y) == kernel_distance(x.astype(np.float64), y.astype(np.float64))


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (np.zeros((1, 4)), np.zeros((9, 4)), "at least 2 first features, got 1"),
        (np.zeros((9, 4)), np.zeros((1, 4)), "at least 2 second features, got 1"),
        (np.zeros((9, 4)), np.zeros((9, 5)), "4 and 5 dimensions"),
        (np.zeros(9), np.zeros((9, 1)), r"as \[n, D\]"),
        (np.full((9, 4), np.nan), np.zeros((9, 4)), "not all finite"),
    ],
)
def test_what_cannot_be_compared_is_refused(first: np.ndarray, second: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kernel_distance(first, second)
