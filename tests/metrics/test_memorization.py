"""The panel on synthetic images of a few dozen features, against brute force, binomials by hand, and known copies."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from facegen.metrics.memorization import Memorization, authenticity, memorization

DIMS = 32


def images(seed: int, n: int) -> np.ndarray:
    """Rows of one distribution: clusters of unequal size, as people's photographs are."""
    random = np.random.default_rng(seed)
    clusters = np.random.default_rng(1).normal(size=(40, DIMS)) * 1.5
    return clusters[random.integers(40, size=n)] + random.normal(size=(n, DIMS))


TRAINING, HELDOUT = images(10, 1500), images(11, 800)


def with_copies(n: int, copies: int, noise: float = 0.0, seed: int = 20) -> np.ndarray:
    """``n`` new rows, but the last ``copies`` of them copied from the training rows."""
    random = np.random.default_rng(seed)
    copied = TRAINING[random.choice(len(TRAINING), copies, replace=False)]
    return np.concatenate([images(seed, n - copies), copied + random.normal(size=copied.shape) * noise])


@pytest.fixture(scope="module")
def panel() -> Memorization:
    return memorization(with_copies(400, 20), TRAINING, HELDOUT)


def test_neighbours_equal_brute_force(panel: Memorization) -> None:
    distances = cdist(with_copies(400, 20), TRAINING)
    ordered = np.sort(distances, axis=1)
    np.testing.assert_array_equal(panel.nearest, distances.argmin(axis=1))
    np.testing.assert_allclose(panel.distances, ordered[:, 0], atol=1e-6)
    np.testing.assert_allclose(panel.ratios, ordered[:, 0] / ordered[:, 9], atol=1e-6)


def test_flagged_rows_are_those_below_the_rare_ratio_of_held_out_rows(panel: Memorization) -> None:
    ordered = np.sort(cdist(HELDOUT, TRAINING), axis=1)
    assert panel.threshold == pytest.approx(np.sort(ordered[:, 0] / ordered[:, 9])[3])  # 0.005 of 800 is the 4th
    assert set(panel.flagged) == set(np.flatnonzero(panel.ratios < float(panel.threshold or 0)))
    assert (np.diff(panel.ratios[panel.flagged]) >= 0).all()
    assert set(panel.flagged[:20]) == set(range(380, 400))


def test_chance_is_beta_binomial(panel: Memorization) -> None:
    # 400 new and 800 known ratios in random order: k new ones come before the 4th known one in
    # C(k + 3, 3) · C(400 − k + 796, 796) of the C(1200, 800) orders.
    ways = [comb(k + 3, 3) * comb(400 - k + 796, 796) for k in range(401)]
    assert sum(ways) == comb(1200, 800)
    assert panel.expected == pytest.approx(sum(k * way for k, way in enumerate(ways)) / sum(ways))
    k = len(panel.flagged)
    assert panel.p_value == pytest.approx(sum(ways[k:]) / sum(ways), rel=1e-6)


@pytest.mark.parametrize("noise", [0, 0.1, 0.3])
@pytest.mark.parametrize("share", [0.05, 0.1, 1])
def test_copies_are_red(share: float, noise: float) -> None:
    assert memorization(with_copies(400, round(400 * share), noise), TRAINING, HELDOUT).red


def test_held_out_reals_are_green_in_99_of_100_draws() -> None:
    pool = images(12, 1200)
    draws = [np.random.default_rng(seed).permutation(pool) for seed in range(100)]
    red = [memorization(draw[:60], TRAINING[:300], draw[60:360]).red for draw in draws]
    assert sum(red) <= 1


def test_a_few_copies_are_flagged_but_not_red() -> None:
    panel = memorization(with_copies(400, 4), TRAINING, HELDOUT)
    assert set(range(396, 400)) <= set(panel.flagged.tolist())
    assert not panel.red


def test_poor_images_are_not_red_and_copies_among_them_are() -> None:
    poor = images(30, 400) + np.random.default_rng(0).normal(size=(400, DIMS)) * 2
    assert not memorization(poor, TRAINING, HELDOUT).red
    poor[:20] = TRAINING[:20]
    panel = memorization(poor, TRAINING, HELDOUT)
    assert panel.red and panel.c_t is not None and panel.c_t > 0


def test_images_that_are_twice_in_the_training_set_are_found_all_the_same() -> None:
    once = memorization(with_copies(400, 20), TRAINING, HELDOUT)
    twice = memorization(with_copies(400, 20), np.concatenate([TRAINING, TRAINING]), HELDOUT)
    assert twice.red
    assert twice.authenticity == once.authenticity


def test_held_out_rows_that_are_in_the_training_set_do_not_calibrate() -> None:
    mixed = memorization(with_copies(400, 20), TRAINING, np.concatenate([TRAINING[:500], HELDOUT]))
    assert mixed.threshold == memorization(with_copies(400, 20), TRAINING, HELDOUT).threshold


@pytest.mark.parametrize("heldout", [None, HELDOUT[:99]])
def test_training_rows_compared_with_the_others_stand_in_for_held_out_ones(heldout: np.ndarray | None) -> None:
    distances = np.sort(cdist(TRAINING, TRAINING), axis=1)
    ratios = np.sort(distances[:, 1] / distances[:, 10])  # the first is the row itself
    panel = memorization(with_copies(1500, 150), TRAINING, heldout)
    assert panel.threshold == pytest.approx(ratios[round(0.005 * len(TRAINING)) - 1])
    assert panel.red and set(range(1350, 1500)) <= set(panel.flagged.tolist())


def test_without_held_out_rows_honest_images_are_green_in_99_of_100_draws() -> None:
    assert sum(memorization(images(100 + draw, 60), TRAINING[:300], None).red for draw in range(100)) <= 1


@pytest.mark.parametrize(
    ("training", "heldout", "reason"),
    [(TRAINING[:99], None, "there are 99"), (TRAINING, TRAINING[:200], "there are 0")],
)
def test_with_too_few_real_rows_nothing_is_calibrated(
    training: np.ndarray, heldout: np.ndarray | None, reason: str
) -> None:
    panel = memorization(training[:50], training, heldout)
    assert panel.uncalibrated is not None and reason in panel.uncalibrated
    assert (panel.threshold, panel.p_value, panel.c_t, panel.red, len(panel.flagged)) == (None, None, None, False, 0)
    np.testing.assert_allclose(panel.distances, 0, atol=1e-12)


@pytest.mark.parametrize(("real", "training"), [(HELDOUT[:100], TRAINING), (None, TRAINING[:100])])
def test_100_real_rows_calibrate(real: np.ndarray | None, training: np.ndarray) -> None:
    panel = memorization(images(0, 50), training, real)
    assert panel.uncalibrated is None and panel.expected == pytest.approx(50 / 101)


def test_two_training_rows_are_enough() -> None:
    np.testing.assert_allclose(memorization(images(0, 9), TRAINING[:2], HELDOUT).ratios.max(), 1, atol=0.5)


def test_two_copies_of_two_rows_are_as_likely_as_two_ranks() -> None:
    # Among 100 held-out ratios the least is the edge: both new ones come first with a chance of 2/102 · 1/101.
    panel = memorization(TRAINING[[3, 9]], TRAINING, HELDOUT[:100])
    assert panel.flagged.tolist() == [0, 1] and panel.red
    assert panel.expected == pytest.approx(2 / 101)
    assert panel.p_value == pytest.approx(2 / (102 * 101))


def test_authenticity_by_hand() -> None:
    # Nearest others: 0 has 3 at 3, 3 has 4 at 1, 4 has 3, and 10 has 4 at 6. The copy of 10 is passed over.
    training = np.array([0.0, 3, 4, 10, 10])[:, None]
    rows = np.array([0, 0, 1, 2, 3])
    assert authenticity(np.array([2.9, 3.1, 0.5, 1.5, 6.5]), rows, training) == pytest.approx(3 / 5)


def test_duplicates_within_the_set() -> None:
    generated = images(40, 300)
    generated[100:110] = generated[:10] + 1e-3
    panel = memorization(generated, TRAINING, HELDOUT)
    pairs = {tuple(pair) for pair in panel.duplicates.tolist()}
    assert {(i, 100 + i) for i in range(10)} <= pairs
    assert panel.duplicate_share == len({row for pair in pairs for row in pair}) / 300
    assert not panel.red  # a set that repeats itself is no copy of the training set


def test_the_same_seed_gives_the_same() -> None:
    first, second = (memorization(images(50, 250), TRAINING, images(51, 2500), seed=3) for _ in range(2))
    assert (first.threshold, first.c_t) == (second.threshold, second.c_t)


@pytest.mark.parametrize("rows", [(1, 50), (50, 1)])
def test_one_row_is_too_few(rows: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least 2"):
        memorization(images(0, rows[0]), images(1, rows[1]), None)


def test_the_held_out_row_that_sets_the_threshold_is_not_below_it() -> None:
    random = np.random.default_rng(0)
    training, heldout = random.normal(size=(300, 6)), random.normal(size=(200, 6))
    panel = memorization(heldout, training, heldout)
    assert panel.threshold == panel.ratios.min() and not len(panel.flagged)
