"""What is noticed of images on their way, and which sentences come of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from facegen.scoring.image_checks import ImageProperties, PropertyCollector, warnings_of

Images = np.ndarray


def properties_of(images: Iterable[Images]) -> ImageProperties:
    collector = PropertyCollector()
    collector.update(images)
    return collector.properties()


def smooth(count: int, sigma: float, seed: int = 0) -> Images:
    noise = np.random.default_rng(seed).normal(size=(count, 64, 64, 3))
    soft = gaussian_filter(noise, (0, 3, 3, 0), mode="wrap")
    fine = gaussian_filter(noise, (0, sigma, sigma, 0), mode="wrap")
    return np.clip(128 + 40 * soft / soft.std() + 2 * fine, 1, 255).astype(np.uint8)


@pytest.mark.parametrize("first", [1, 1001])
def test_measuring_goes_on_from_a_state(first: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (first + 2, 32, 33, 3), dtype=np.uint8)
    begun, resumed = PropertyCollector(), PropertyCollector()
    begun.update(images[:first])
    resumed.restore(begun.state())
    resumed.update([*images[first:], np.zeros((9, 9, 3), np.uint8)])
    begun.update([*images[first:], np.zeros((9, 9, 3), np.uint8)])
    assert repr(resumed.state()) == repr(begun.state()) and resumed.properties() == begun.properties()


def test_sizes_are_counted_the_commonest_first() -> None:
    images = [np.zeros(shape, np.uint8) for shape in ((40, 50, 3), (64, 64, 3), (64, 64, 3))]
    properties = properties_of(images)
    assert properties.sizes == ((64, 64, 2), (40, 50, 1)) and properties.detail is None


def test_alike_sets_earn_no_warning() -> None:
    assert warnings_of(properties_of(smooth(40, 0.5)), properties_of(smooth(40, 0.5, seed=1))) == []


def test_mixed_sizes_are_told() -> None:
    images = [*smooth(3, 0.5), np.full((32, 40, 3), 99, np.uint8)]
    (warning,) = warnings_of(properties_of(images), None)
    assert "2 sizes, 64×64 3 times and 40×32 1" in warning


def test_another_size_than_the_references_is_told() -> None:
    properties = properties_of(smooth(3, 0.5))
    (warning,) = warnings_of(properties, replace(properties, sizes=((218, 178, 9),)))
    assert "64×64" in warning and "178×218" in warning


def test_missing_denormalisation_is_told_unless_the_reference_looks_so_too() -> None:
    dark = properties_of(np.where(smooth(5, 0.5) < 128, 0, smooth(5, 0.5)))
    (warning,) = warnings_of(dark, None)
    assert "normalisation" in warning and "exactly 0" in warning
    assert warnings_of(dark, dark) == []


@pytest.mark.parametrize("swapped", [False, True])
def test_another_filter_is_told(swapped: bool) -> None:
    crisp, soft = properties_of(smooth(60, 0.0)), properties_of(smooth(60, 0.45))
    first, second = (soft, crisp) if swapped else (crisp, soft)
    (warning,) = warnings_of(first, second)
    assert "different filters" in warning
