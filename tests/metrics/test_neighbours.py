from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import KDTree

from facegen.metrics import neighbours
from facegen.metrics.neighbours import nearest


def normal(seed: int, n: int, dims: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, dims)).astype(np.float32)


@pytest.mark.parametrize("points", [4, 7, 50, 4096])
@pytest.mark.parametrize("k", [1, 3, 50])
def test_equals_a_tree_however_the_points_are_cut(k: int, points: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_POINTS", points)
    queries, known = normal(0, 30), normal(1, 50)
    distances, rows = KDTree(known.astype(np.float64)).query(queries.astype(np.float64), list(range(1, k + 1)))
    ours, our_rows = nearest(queries, known, k)
    np.testing.assert_allclose(ours, distances, rtol=1e-9)
    np.testing.assert_array_equal(our_rows, rows)


def test_one_query_and_one_point_are_enough() -> None:
    distances, rows = nearest(np.array([[3.0, 4.0]]), np.zeros((1, 2)), 1)
    assert (distances.tolist(), rows.tolist()) == ([[5.0]], [[0]])


def test_a_copy_is_at_distance_zero() -> None:
    known = normal(0, 20) + 1000
    distances, rows = nearest(known[[7, 3]], known, 2)
    np.testing.assert_array_equal(distances[:, 0], 0)
    np.testing.assert_array_equal(rows[:, 0], [7, 3])
    assert (distances[:, 1] > 0).all()


@pytest.mark.parametrize("k", [0, 6])
def test_k_beyond_the_points_is_refused(k: int) -> None:
    with pytest.raises(ValueError, match="k must be 1 to 5"):
        nearest(normal(0, 3), normal(1, 5), k)


def test_other_widths_are_refused() -> None:
    with pytest.raises(ValueError, match="6 and 5 dimensions"):
        nearest(normal(0, 3), normal(1, 5, dims=5), 1)


def test_nan_is_refused() -> None:
    known = normal(0, 5)
    known[3, 2] = np.nan
    with pytest.raises(ValueError, match="not all finite"):
        nearest(normal(1, 3), known, 1)
