"""Precision, recall, density, coverage against two other programs, by hand on a line, and in expectation."""

from __future__ import annotations

import numpy as np
import pytest

from facegen.metrics import pairs
from facegen.metrics.manifold import ManifoldMetrics, equal_coverage, manifold_metrics


def normal(seed: int, n: int, dims: int = 8, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, dims)) + shift


def line(*points: float) -> np.ndarray:
    return np.array(points)[:, None]


def shares(metrics: ManifoldMetrics) -> dict[str, float]:
    return {name: getattr(metrics, name) for name in ("precision", "recall", "density", "coverage")}


@pytest.mark.parametrize("neighbours", [1, 3, 5])
@pytest.mark.parametrize("n", [(80, 80), (120, 50), (50, 120)])
def test_equals_prdc(n: tuple[int, int], neighbours: int) -> None:
    prdc = pytest.importorskip("prdc")
    real, generated = normal(0, n[0]), normal(1, n[1], shift=0.4)
    theirs = prdc.compute_prdc(real, generated, neighbours)
    assert shares(manifold_metrics(real, generated, neighbours=neighbours)) == pytest.approx(theirs, rel=1e-12)


def test_precision_and_recall_equal_torch_fidelitys() -> None:
    metric_prc = pytest.importorskip("torch_fidelity.metric_prc")
    import torch

    real, generated = normal(0, 90), normal(1, 70, shift=0.4)
    theirs = metric_prc.calculate_precision_recall_full(torch.from_numpy(generated), torch.from_numpy(real), 3)
    ours = manifold_metrics(real, generated, neighbours=3)
    assert (ours.precision, ours.recall) == pytest.approx(theirs, rel=1e-6)


def test_worked_by_hand_on_a_line() -> None:
    # Real balls, k = 1: 0 ± 1, 1 ± 1, 3 ± 2, 10 ± 7. Generated balls: 0.5 ± 1, 1.5 ± 1, 30 ± 28.5.
    metrics = manifold_metrics(line(0, 1, 3, 10), line(0.5, 1.5, 30), neighbours=1)
    assert metrics.precision == pytest.approx(2 / 3)  # 0.5 and 1.5
    assert metrics.recall == pytest.approx(4 / 4)  # 0 and 1 in the first, 3 and 10 in the last
    assert metrics.density == pytest.approx((2 + 2) / 3)  # 0.5 in those of 0 and 1, 1.5 in those of 1 and 3
    assert metrics.coverage == pytest.approx(3 / 4)  # all but 10's
    np.testing.assert_allclose(metrics.support, [0.5, 0.5, 20 / 7])


def test_identical_sets() -> None:
    x = normal(0, 60)
    metrics = manifold_metrics(x, x)
    assert (metrics.precision, metrics.recall, metrics.coverage) == (1, 1, 1)
    np.testing.assert_array_equal(metrics.support, 0)


def test_disjoint_sets() -> None:
    metrics = manifold_metrics(normal(0, 60), normal(1, 60, shift=100))
    assert shares(metrics) == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}
    assert metrics.support.min() > 10


def test_a_dropped_mode_costs_recall_and_coverage_alone() -> None:
    modes = np.vstack([normal(0, 100), normal(1, 100, shift=50)])
    metrics = manifold_metrics(modes, normal(2, 200))
    assert metrics.precision > 0.9 and metrics.density > 0.9
    assert metrics.recall <= 0.5 and metrics.coverage <= 0.5


def test_a_tie_is_outside() -> None:
    """Copies of real rows: the copy of a k-th neighbour is exactly at the radius, which prdc's < leaves out."""
    prdc = pytest.importorskip("prdc")
    real = line(0, 1, 2, 4, 8, 16)
    ours = manifold_metrics(real, real[1:], neighbours=2)
    assert shares(ours) == pytest.approx(prdc.compute_prdc(real, real[1:], 2), rel=1e-12)


def test_a_tie_is_outside_however_it_is_rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each ball holds its own copy and those of k − 1 neighbours: k in all. The k-th neighbour's is on the edge, and
    blocks of other shapes round its distance otherwise."""
    monkeypatch.setattr(pairs, "_BLOCK", 310)
    real, far = normal(0, 103, dims=37), normal(1, 206, dims=37, shift=100)
    assert manifold_metrics(real, np.vstack([real, far])).density == pytest.approx(1 / 3, rel=1e-12)


def test_copies_inside_a_set_empty_its_balls() -> None:
    real = np.repeat(normal(0, 4), 6, axis=0)
    metrics = manifold_metrics(real, real, neighbours=5)
    assert shares(metrics) == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}
    np.testing.assert_array_equal(metrics.support, 1)
    assert np.isinf(manifold_metrics(real, real + 1, neighbours=5).support).all()


@pytest.mark.parametrize("n", [(60, 60), (150, 50)])
def test_expectations_for_equal_distributions(n: tuple[int, int]) -> None:
    """The docstring's: density 1 and coverage 1 − ∏(m − i)/(n + m − i), whatever the distribution."""
    m, count = n
    draws = [manifold_metrics(normal(2 * s, m, 3), normal(2 * s + 1, count, 3)) for s in range(200)]
    steps = np.arange(1, 6)
    coverage = 1 - np.prod((m - steps) / (count + m - steps))
    for values, expected in (([d.density for d in draws], 1.0), ([d.coverage for d in draws], coverage)):
        assert np.mean(values) == pytest.approx(expected, abs=4 * np.std(values) / np.sqrt(200))


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    real, generated = normal(0, 70), normal(1, 50, shift=0.3)
    whole = manifold_metrics(real, generated)
    monkeypatch.setattr(pairs, "_BLOCK", 300)
    parts = manifold_metrics(real, generated)
    assert shares(parts) == shares(whole)
    np.testing.assert_allclose(parts.support, whole.support, rtol=1e-9)


def test_far_from_the_origin_float32_rows_keep_their_order() -> None:
    real, generated = (normal(s, 60).astype(np.float32) for s in (0, 1))
    near, far = manifold_metrics(real, generated), manifold_metrics(real + 64.0, generated + 64.0)
    assert shares(far) == shares(near)


@pytest.mark.parametrize(
    ("real", "generated", "message"),
    [
        (np.zeros((5, 4)), np.zeros((9, 4)), "at least 6 real features, got 5"),
        (np.zeros((9, 4)), np.zeros((5, 4)), "at least 6 generated features, got 5"),
        (np.zeros((9, 4)), np.zeros((9, 5)), "4 and 5 dimensions"),
        (np.zeros((9, 4)), np.full((9, 4), np.nan), "generated features are not all finite"),
    ],
)
def test_what_cannot_be_compared_is_refused(real: np.ndarray, generated: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        manifold_metrics(real, generated)


def test_neighbours_start_at_one() -> None:
    with pytest.raises(ValueError, match="at least 1, got 0"):
        manifold_metrics(normal(0, 9), normal(1, 9), neighbours=0)


def test_equal_coverage_is_what_equal_sets_have() -> None:
    random = np.random.default_rng(0)
    draws = [
        manifold_metrics(random.normal(size=(40, 3)), random.normal(size=(80, 3)), neighbours=5).coverage
        for _ in range(200)
    ]
    assert equal_coverage(40, 80) == pytest.approx(np.mean(draws), abs=0.005)
