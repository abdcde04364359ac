"""Margins of differences, against the jackknife computed as it is defined, image by image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from facegen.metrics.frechet import frechet_distance, frechet_statistics
from facegen.metrics.interval import interval_of, jackknife, leave_one_out
from facegen.metrics.paired import margins_of_difference

Floats = npt.NDArray[np.float64]
REFERENCE = frechet_statistics(np.random.default_rng(0).normal(size=(400, 6)))


def features(seed: int, n: int = 60, scale: float = 1.0) -> Floats:
    return scale * np.random.default_rng(seed).normal(size=(n, 6)) + 0.1 * seed


def numbers(start: int, n: int = 60) -> npt.NDArray[np.uint64]:
    return np.arange(start, start + n, dtype=np.uint64)


def margins(sets: list[Floats], images: list[npt.NDArray[np.uint64]]) -> Floats:
    return margins_of_difference([leave_one_out(each, REFERENCE)[1] for each in sets], images)


def test_half_the_images_in_common_as_the_definition_has_it() -> None:
    common, mine, theirs = features(1, 30), features(2, 30), features(3, 30)
    first, second = np.vstack([common, mine]), np.vstack([theirs, common])
    images = [numbers(0), np.concatenate([numbers(100, 30), numbers(0, 30)])]
    whole = [frechet_distance(frechet_statistics(each), REFERENCE) for each in (first, second)]

    def without(rows: Floats, which: npt.NDArray[np.uint64], image: int) -> float:
        return frechet_distance(frechet_statistics(rows[which != image]), REFERENCE)

    both = sorted({*map(int, images[0]), *map(int, images[1])})
    parts = []
    for rows, which, value in zip((first, second), images, whole, strict=True):
        left = np.array([without(rows, which, image) if image in which else np.nan for image in both])
        parts.append(np.nan_to_num(left - np.nanmean(left)))
        assert np.isclose(value, leave_one_out(rows, REFERENCE)[0])
    variance = 59 / 60 * ((parts[0] - parts[1]) ** 2).sum()
    errors = [jackknife(leave_one_out(each, REFERENCE)[1]) for each in (first, second)]
    each = np.array([error.standard_error**2 for error in errors])
    freedom = each.sum() ** 2 / sum(v**2 / error.freedom for v, error in zip(each, errors, strict=True))
    expected = stats.t.ppf(0.975, freedom) * np.sqrt(variance)
    found = margins([first, second], images)
    assert found[0, 1] == pytest.approx(expected, rel=1e-7) and found[0, 1] == found[1, 0]
    apart = margins([first, second], [numbers(0), numbers(1000)])[0, 1]
    assert found[0, 1] < apart == pytest.approx(stats.t.ppf(0.975, freedom) * np.sqrt(each.sum()), rel=1e-7)


def test_the_same_images_in_another_order_do_not_differ() -> None:
    rows, order = features(1), np.random.default_rng(1).permutation(60)
    assert margins([rows, rows[order]], [numbers(0), numbers(0)[order]])[0, 1] == 0


def test_a_difference_from_a_set_without_error_has_the_others_interval() -> None:
    one, other = features(1), np.ones((60, 6))
    value, left_out = leave_one_out(one, REFERENCE)
    alone = jackknife(left_out)
    expected = stats.t.ppf(0.975, alone.freedom) * alone.standard_error
    assert margins([one, other], [numbers(0), numbers(100)])[0, 1] == pytest.approx(expected, rel=1e-6)
    assert interval_of(value, left_out).standard_error == alone.standard_error


def test_the_interval_holds_the_difference_about_as_often_as_it_says() -> None:
    """300 pairs of sets of two different generators: 95% of 300 are 285, give or take 4."""
    held, differences, widths = 0, [], []
    for seed in range(300):
        random = np.random.default_rng(seed)
        sets = [scale * random.normal(size=(60, 6)) + 0.5 for scale in (1.5, 1.6)]
        found = [leave_one_out(each, REFERENCE) for each in sets]
        differences.append(found[0][0] - found[1][0])
        widths.append(margins_of_difference([left for _, left in found], [numbers(0), numbers(100)])[0, 1])
    held = int((np.abs(np.array(differences) - np.mean(differences)) <= widths).sum())
    assert 273 <= held <= 297
