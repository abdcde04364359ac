from __future__ import annotations

import numpy as np
import pytest

from facegen.metrics.floor import (
    expected_floor,
    floors_by_reference_size,
    frechet_floor,
    reference_size_for,
)
from facegen.metrics.frechet import FrechetStatistics, frechet_distance, frechet_statistics

DIMS = 48
MIXING = np.random.default_rng(1).normal(size=(DIMS, DIMS)) * np.exp(-3 * np.arange(DIMS) / DIMS)


def real(seed: int, n: int) -> np.ndarray:
    """Correlated, skewed and partly zero, as pooled ReLU features are."""
    return np.maximum(np.random.default_rng(seed).normal(size=(n, DIMS)) @ MIXING.T + 0.3, 0)


def measured(n: int, reference_n: int, repeats: int = 40) -> np.ndarray:
    """What the floor is about: fresh draws against fresh references."""
    sets = (frechet_statistics(real(1000 + i, n)) for i in range(repeats))
    references = (frechet_statistics(real(5000 + i, reference_n)) for i in range(repeats))
    return np.array([frechet_distance(*pair) for pair in zip(sets, references, strict=True)])


@pytest.mark.parametrize("n", [20, 60])  # fewer than dims, and more
def test_held_out_images_score_what_fresh_ones_do(n: int) -> None:
    floor = frechet_floor(real(0, 10 * n), frechet_statistics(real(1, 500)), n, within=False)
    assert floor is not None
    fresh = measured(n, 500)
    assert floor.value == pytest.approx(fresh.mean(), abs=4 * fresh.std() / np.sqrt(5))
    assert floor.value == np.mean(floor.draws)
    assert (len(floor.draws), floor.n, floor.reference_n) == (5, n, 500)


def test_the_spread_is_that_of_a_single_draw() -> None:
    reference = frechet_statistics(real(1, 500))
    scores = [frechet_distance(frechet_statistics(real(10 + i, 30)), reference) for i in range(200)]
    spreads = [frechet_floor(real(900 + i, 150), reference, 30, within=False).spread for i in range(20)]  # type: ignore[union-attr]
    assert 0.9 < np.mean(spreads) / np.std(scores) < 1.5


@pytest.mark.parametrize(("m", "draws"), [(30, 1), (31, 5), (149, 5), (150, 5), (400, 5)])
def test_draws_are_disjoint_where_the_pool_allows(monkeypatch: pytest.MonkeyPatch, m: int, draws: int) -> None:
    pool = real(0, m)
    pool[:, 0] = np.arange(m)
    seen: list[np.ndarray] = []

    def spy(x: np.ndarray) -> FrechetStatistics:
        seen.append(x[:, 0])
        return frechet_statistics(x)

    monkeypatch.setattr("facegen.metrics.floor.frechet_statistics", spy)
    frechet_floor(pool, frechet_statistics(real(1, 500)), 30, within=False)
    assert [len(set(rows)) for rows in seen] == [30] * draws
    assert len(set(np.concatenate(seen))) == min(30 * draws, m)


@pytest.mark.parametrize("n", [20, 60])
def test_draws_from_within_are_taken_out_of_the_statistics(n: int) -> None:
    whole = real(0, 200)
    floor = frechet_floor(whole[:n], frechet_statistics(whole), n, within=True)
    assert floor is not None
    rest = frechet_distance(frechet_statistics(whole[:n]), frechet_statistics(whole[n:]))
    assert floor.draws == (pytest.approx(rest, rel=1e-8),)
    assert floor.reference_n == 200 - n


def test_a_floor_from_within_is_that_of_held_out_images() -> None:
    """Without taking the draws out it would be too low: the statistics know them."""
    fresh = measured(30, 270)
    floors: list[float] = []
    naive: list[float] = []
    for seed in range(12):
        whole = real(seed, 300)
        for within, values in ((True, floors), (False, naive)):
            floor = frechet_floor(whole, frechet_statistics(whole), 30, within=within)
            assert floor is not None
            values.append(floor.value)
    assert np.mean(floors) == pytest.approx(fresh.mean(), rel=0.04)
    assert np.mean(naive) < 0.95 * fresh.mean()


def test_the_seed_decides_the_draws() -> None:
    pool, reference = real(0, 400), frechet_statistics(real(1, 500))
    floors = [frechet_floor(pool, reference, 30, within=False, seed=seed) for seed in (0, 0, 1)]
    assert floors[0] == floors[1] != floors[2]


def test_a_reference_of_unknown_size_will_do_for_held_out_images() -> None:
    known = frechet_statistics(real(1, 500))
    floor = frechet_floor(real(0, 90), FrechetStatistics(None, known.mu, known.sigma), 30, within=False)
    assert floor is not None
    assert floor.reference_n is None


@pytest.mark.parametrize(("m", "reference_n", "within"), [(29, 500, False), (29, 500, True), (59, 59, True)])
def test_too_few_images_measure_nothing(m: int, reference_n: int, within: bool) -> None:
    assert frechet_floor(real(0, m), frechet_statistics(real(0, reference_n)), 30, within=within) is None


@pytest.mark.parametrize(
    ("m", "n", "reference_n", "within"), [(30, 30, 500, False), (60, 30, 60, True), (9, 3, 9, True)]
)
def test_just_enough_images_measure_something(m: int, n: int, reference_n: int, within: bool) -> None:
    floor = frechet_floor(real(0, m), frechet_statistics(real(0, reference_n)), n, within=within)
    assert floor is not None and floor.reference_n == reference_n - n * within


def test_unusable_arguments_are_refused() -> None:
    known = frechet_statistics(real(1, 500))
    unknown = FrechetStatistics(None, known.mu, known.sigma)
    with pytest.raises(ValueError, match="their number is known"):
        frechet_floor(real(0, 90), unknown, 30, within=True)
    with pytest.raises(ValueError, match="at least 3 images"):
        frechet_floor(real(0, 90), known, 2, within=False)
    with pytest.raises(ValueError, match="48 dimensions"):
        frechet_floor(real(0, 90)[:, :40], known, 30, within=False)
    with pytest.raises(ValueError, match="NaN"):
        frechet_floor(np.full((90, DIMS), np.nan), known, 30, within=False)


@pytest.mark.parametrize(("n", "reference_n"), [(60, 60), (30, 90), (100, 60)])
def test_the_expected_floor_of_a_small_pool_is_near_the_measured_one(n: int, reference_n: int) -> None:
    truth = measured(n, reference_n).mean()
    pools = [real(100 + i, round(0.6 * (n + reference_n))) for i in range(20)]
    assert np.mean([expected_floor(pool, n, reference_n) for pool in pools]) == pytest.approx(truth, rel=0.1)


def test_the_expected_floor_is_measured_where_the_pool_is_large_enough() -> None:
    fresh = measured(40, 80)
    value = expected_floor(real(0, 2000), 40, 80)
    assert value == pytest.approx(fresh.mean(), abs=4 * fresh.std() / np.sqrt(5))


def test_images_that_are_all_the_same_expect_nothing_but_zero() -> None:
    assert expected_floor(np.ones((100, DIMS)), 80, 80) == 0


@pytest.mark.parametrize(("m", "n", "reference_n"), [(59, 60, 60), (60, 23, 97)])
def test_too_small_a_pool_expects_nothing(m: int, n: int, reference_n: int) -> None:
    assert expected_floor(real(0, m), n, reference_n) is None


@pytest.mark.parametrize(("m", "n", "reference_n"), [(60, 60, 60), (60, 24, 96)])
def test_half_of_the_images_and_12_of_either_kind_are_enough(m: int, n: int, reference_n: int) -> None:
    assert expected_floor(real(0, m), n, reference_n) is not None


@pytest.mark.parametrize(("m", "sizes"), [(500, {400, 200}), (120, {100, 50}), (80, {50}), (40, set())])
def test_floors_are_for_what_the_pool_offers(m: int, sizes: set[int]) -> None:
    assert floors_by_reference_size(real(0, m), 100).keys() == sizes


#: 1,000 real faces of CelebA, near-exact Inception weights.
CELEBA = {10_000: 14.5, 5_000: 15.1, 2_000: 17.2, 1_000: 21.0}


def test_the_reference_size_that_celeba_needs() -> None:
    # Least squares by hand: b = 3.56e-3/4.9e-7 = 7,265 and a = 16.95 - 4.5e-4·b = 13.68.
    assert reference_size_for(20.0, CELEBA) == pytest.approx(7265 / (18 - 13.68), abs=3)
    assert reference_size_for(18.0, CELEBA) == pytest.approx(7265 / (16 - 13.68), abs=6)


def test_room_is_kept_below_the_target() -> None:
    exact = {1000: 20.0, 2000: 15.0}  # 10 + 10,000/M
    assert reference_size_for(20.0, exact, margin=5.0) == pytest.approx(2000, abs=1)
    assert reference_size_for(20.0, exact, margin=2.0) == pytest.approx(1250, abs=1)


def test_no_size_below_those_measured_is_promised() -> None:
    assert reference_size_for(100.0, CELEBA) == 1000


def test_no_reference_is_large_enough_for_too_few_images() -> None:
    assert reference_size_for(15.0, CELEBA) is None


def test_one_floor_is_no_trend() -> None:
    with pytest.raises(ValueError, match="at least two"):
        reference_size_for(20.0, {1000: 21.0})


def test_the_size_found_has_that_floor() -> None:
    target = measured(30, 150).mean()
    size = reference_size_for(target, floors_by_reference_size(real(0, 400), 30), margin=0)
    assert size is not None
    assert measured(30, size).mean() == pytest.approx(target, rel=0.05)
