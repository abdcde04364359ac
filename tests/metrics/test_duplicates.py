from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from facegen.metrics import pairs
from facegen.metrics.duplicates import near_duplicates


def normal(seed: int, n: int, dims: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, dims))


def test_worked_by_hand_on_a_line() -> None:
    # So few pairs may be near that it is the nearest, 0 and 1, that decides; the spreads are 11.7 and 11.9.
    real, features = np.array([20.0, 10, 12, 0, 1])[:, None], np.array([20.0, 10.5, 0, 10, 0.9, 18.5])[:, None]
    np.testing.assert_array_equal(near_duplicates(features, real), [[1, 3], [2, 4]])


def test_copies_are_found_whatever_their_number() -> None:
    x = normal(0, 60)
    x[[5, 17, 40]] = x[9]
    pairs = near_duplicates(x, normal(1, 60))
    assert set(pairs[:3].ravel().tolist()) == {5, 9, 17, 40}


def test_all_rows_alike_are_no_more_pairs_than_rows() -> None:
    pairs = near_duplicates(np.ones((30, 8)), normal(1, 60))
    assert len(pairs) <= 30 and len(np.unique(pairs)) == 30


def test_slightly_changed_copies_are_found_and_the_nearest_come_first() -> None:
    x = normal(0, 100)
    x[1], x[3] = x[0] + 0.01, x[2] + 0.001
    np.testing.assert_array_equal(near_duplicates(x, normal(1, 100))[:2], [[2, 3], [0, 1]])


@pytest.mark.parametrize("scale", [1, 0.2])
def test_real_rows_have_few_whatever_their_scale(scale: float) -> None:
    shares = [len(np.unique(near_duplicates(normal(seed, 400) * scale, normal(99, 800)))) / 400 for seed in range(10)]
    assert np.mean(shares) == pytest.approx(0.005, abs=0.004)


@pytest.mark.parametrize(("nearer", "found"), [(0.999, 1), (1.001, 0)])
@pytest.mark.parametrize(("n", "rank"), [(51, 4), (4, 75)])
def test_the_edge_is_among_all_pairs_of_the_reals_but_copies(
    n: int, rank: int, nearer: float, found: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "_BLOCK", 1_500)  # 60 blocks, and the least so far are kept after each
    real = normal(1, 300)
    real[7] = real[8]
    # Of 51 rows 0.005 may have a near-duplicate, so one pair in 10,000 of 44,850: the 4th is the edge. Of 4, the 75th.
    edge = np.sort(pdist(real))[1:][rank - 1] / np.sqrt((pdist(real) ** 2).mean())
    # n − 1 corners of a simplex, √2 apart, and a row at d from the last. The sum of all squares is a + b d².
    a, b = (n - 1) * (n - 2) + 2 * (n - 2), n - 1
    relative = (edge * nearer) ** 2 / (n * (n - 1) / 2)
    features = np.eye(n)
    features[n - 1] = features[n - 2]
    features[n - 1, n - 1] = np.sqrt(a * relative / (1 - b * relative))
    assert len(near_duplicates(features, real)) == found


def test_reals_that_are_all_alike_tell_only_of_copies() -> None:
    x = normal(0, 60)
    x[1], x[3] = x[0], x[2] + 1e-4
    np.testing.assert_array_equal(near_duplicates(x, np.ones((60, 8))), [[0, 1]])


def test_one_row_has_no_pair() -> None:
    with pytest.raises(ValueError, match="at least 2 generated"):
        near_duplicates(normal(0, 1), normal(1, 5))


def test_two_rows_are_enough_of_either() -> None:
    # Either's only pair is at its spread: the generated one is not below the edge, but on it.
    assert near_duplicates(np.array([[0.0], [5.0]]), np.array([[0.0], [3.0]])).tolist() == []
    assert near_duplicates(np.ones((2, 8)), normal(1, 2)).tolist() == [[0, 1]]
