from __future__ import annotations

from unittest.mock import Mock

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import mannwhitneyu, norm

from facegen.metrics.data_copying import data_copying, mann_whitney_z

CORNERS = np.array([[0.0, 0], [100, 0], [0, 100], [100, 100]])


def blobs(seed: int, sizes: tuple[int, ...], spread: float = 1.0) -> np.ndarray:
    """Rows around the corners, so far apart that any k-means finds parts of them only."""
    random = np.random.default_rng(seed)
    return np.concatenate([random.normal(corner, spread, (n, 2)) for corner, n in zip(CORNERS, sizes, strict=True)])


def c_t(generated: np.ndarray, training: np.ndarray, heldout: np.ndarray, seed: int = 0) -> float:
    distances = [cdist(x, training).min(axis=1) for x in (generated, heldout)]
    return data_copying(generated, training, heldout, *distances, seed=seed)


def test_z_equals_scipys() -> None:
    random = np.random.default_rng(0)
    x, y = random.exponential(size=40), random.exponential(1.5, size=70)
    theirs = mannwhitneyu(x, y, alternative="less", method="asymptotic", use_continuity=False)
    assert norm.cdf(mann_whitney_z(x, y)) == pytest.approx(theirs.pvalue, rel=1e-9)


def test_z_by_hand() -> None:
    # Of 6 pairs the first is above in 1 and ties in 1: U = 1.5, expected 3, variance 2·3·6/12 = 3.
    assert mann_whitney_z(np.array([1.0, 3.0]), np.array([2.0, 3.0, 4.0])) == pytest.approx((1.5 - 3) / np.sqrt(3))


def test_below_200_rows_everything_is_one_cell() -> None:
    generated, training, heldout = blobs(0, (40,) * 4), blobs(1, (30,) * 4), blobs(2, (45,) * 4)
    distances = [cdist(x, training).min(axis=1) for x in (generated, heldout)]
    assert c_t(generated, training, heldout) == pytest.approx(mann_whitney_z(*distances))


@pytest.mark.parametrize(("generated", "heldout"), [((120, 90), (50, 170)), ((190, 20), (20, 190))])  # 20 are enough
def test_two_cells_weigh_as_their_heldout_rows(generated: tuple[int, int], heldout: tuple[int, int]) -> None:
    # Two blobs, 200 rows at least, so two cells: any start ends with one each.
    training = blobs(1, (60, 0, 0, 60))
    rows = [blobs(seed, (first, 0, 0, last)) for seed, (first, last) in ((0, generated), (2, heldout))]
    distances = [cdist(x, training).min(axis=1) for x in rows]
    near = mann_whitney_z(distances[0][: generated[0]], distances[1][: heldout[0]])
    far = mann_whitney_z(distances[0][generated[0] :], distances[1][heldout[0] :])
    weighted = heldout[0] * near + heldout[1] * far
    found = [c_t(rows[0], training, rows[1], seed=seed) for seed in range(8)]  # some start with both in one blob
    np.testing.assert_allclose(found, weighted / sum(heldout))


def test_a_cell_with_few_rows_does_not_count() -> None:
    generated, training, heldout = blobs(0, (195, 0, 0, 19)), blobs(1, (60, 0, 0, 60)), blobs(2, (150, 0, 0, 90))
    distances = [cdist(x, training).min(axis=1) for x in (generated, heldout)]
    assert c_t(generated, training, heldout) == pytest.approx(mann_whitney_z(distances[0][:195], distances[1][:150]))


def test_sets_without_a_cell_in_common_are_one_cell() -> None:
    generated, training, heldout = blobs(0, (200, 0, 0, 0)), blobs(1, (60, 0, 0, 60)), blobs(2, (0, 0, 0, 200))
    distances = [cdist(x, training).min(axis=1) for x in (generated, heldout)]
    assert c_t(generated, training, heldout) == pytest.approx(mann_whitney_z(*distances))


def test_copies_are_below_zero_reals_about_it_and_poor_images_above() -> None:
    training, heldout = blobs(1, (100,) * 4), blobs(2, (100,) * 4)
    assert c_t(training + 0.01, training, heldout) < -5
    assert abs(c_t(blobs(3, (100,) * 4), training, heldout)) < 2
    assert c_t(blobs(4, (100,) * 4, spread=4), training, heldout) > 5


def test_the_seed_decides() -> None:
    random = np.random.default_rng(0)
    generated, training, heldout = random.normal(size=(3, 400, 5))
    assert c_t(generated, training, heldout, seed=3) == c_t(generated, training, heldout, seed=3)


@pytest.mark.parametrize(("n", "cells"), [(199, 1), (200, 2), (950, 9), (1300, 10)])
def test_there_is_a_cell_for_every_hundred_rows_but_ten_at_most(
    n: int, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    z = Mock(return_value=0.0)
    monkeypatch.setattr("facegen.metrics.data_copying.mann_whitney_z", z)
    generated, training, heldout = (np.random.default_rng(seed).random((n + 50 * seed, 2)) for seed in range(3))
    c_t(generated, training, heldout)
    assert z.call_count == cells
    assert sum(len(inside) for (inside, _), _ in z.call_args_list) == n
