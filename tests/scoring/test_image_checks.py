"""What is noticed of images on their way, and which sentences come of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from facegen.data.rgb import ALPHA_DROPPED, CLIPPED
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
    begun.update(images[:first], [(ALPHA_DROPPED,), *[()] * (first - 1)])
    resumed.restore(begun.state())
    resumed.update([*images[first:], np.zeros((9, 9, 3), np.uint8)])
    begun.update([*images[first:], np.zeros((9, 9, 3), np.uint8)])
    np.testing.assert_equal(resumed.state(), begun.state())
    np.testing.assert_equal(asdict(resumed.properties()), asdict(begun.properties()))


def test_sizes_are_counted_the_commonest_first() -> None:
    images = [np.zeros(shape, np.uint8) for shape in ((40, 50, 3), (64, 64, 3), (64, 64, 3))]
    properties = properties_of(images)
    assert properties.sizes == ((64, 64, 2), (40, 50, 1)) and properties.detail is None


def test_alike_sets_earn_no_warning() -> None:
    assert warnings_of(properties_of(smooth(40, 0.5)), properties_of(smooth(40, 0.5, seed=1))) == []


def test_mixed_sizes_are_told() -> None:
    images = [*smooth(3, 0.5), np.full((32, 40, 3), 99, np.uint8)]
    (warning,) = warnings_of(properties_of(images), None)
    assert "2 sizes: 64×64 is the most common (3 images), 40×32 the rarest (1)" in warning


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


@pytest.fixture(scope="session")
def faces(drawn: tuple[Images, Images]) -> tuple[Images, Images]:
    """The middles of the drawn ones: uint8 [N, 74, 74, 3]."""
    first, second = (np.ascontiguousarray(images[:, 35:183:2, 15:163:2]) for images in drawn)
    return first, second


def test_swapped_channels_are_told_with_the_means_and_what_to_do(faces: tuple[Images, Images]) -> None:
    reference = properties_of(faces[0])
    assert warnings_of(properties_of(faces[1]), reference) == []
    (warning,) = warnings_of(properties_of(faces[1][..., ::-1]), reference)
    assert "red and blue were swapped" in warning and "cv2.COLOR_RGB2BGR" in warning
    told = [int(number) for number in re.findall(r"\b\d+\b", warning)]
    means = [images.mean(axis=(0, 1, 2)) for images in (faces[1][..., ::-1], faces[0])]
    np.testing.assert_allclose(told, np.concatenate(means), atol=2)


def test_colours_are_not_told_besides_a_missing_denormalisation(faces: tuple[Images, Images]) -> None:
    dark = np.clip(faces[1].astype(int) * 2 - 255, 0, 255).astype(np.uint8)
    (warning,) = warnings_of(properties_of(dark), properties_of(faces[0]))
    assert "normalisation was not undone" in warning


def test_the_finest_detail_is_not_told_besides_wrong_colours(faces: tuple[Images, Images]) -> None:
    images, reference = properties_of(255 - faces[1]), properties_of(faces[0])
    assert images.detail is not None and reference.detail is not None
    more = replace(reference.detail, mean=reference.detail.mean + np.array([0.0, 1.0]))
    (warning,) = warnings_of(replace(images, detail=more), reference)
    assert "negatives" in warning
    (warning,) = warnings_of(replace(properties_of(faces[1]), detail=more), reference)
    assert "different filters" in warning


def test_another_crop_is_told_as_such_and_not_as_a_resizer(faces: tuple[Images, Images]) -> None:
    reference = properties_of(faces[0])
    enlarged = faces[1][:, 11:63, 11:63].repeat(2, axis=1).repeat(2, axis=2)
    other = properties_of([np.ascontiguousarray(image[15:89, 15:89]) for image in enlarged])
    (warning,) = warnings_of(other, reference)
    assert "times as large" in warning and "--crop" in warning and "filters" not in warning


def test_channels_that_were_reshaped_are_told_and_nothing_else_of_their_values(faces: tuple[Images, Images]) -> None:
    mixed = faces[1].transpose(0, 3, 1, 2).reshape(faces[1].shape)
    warnings = warnings_of(replace(properties_of(mixed), sign="values wrap around"), properties_of(faces[0]))
    assert len(warnings) == 1 and "transposed" in warnings[0]


def test_crops_that_datasets_name_are_told_exactly(faces: tuple[Images, Images]) -> None:
    images, reference = properties_of(faces[1]), properties_of(faces[0])
    (warning,) = warnings_of(replace(images, crop="--crop 148"), replace(reference, crop="the course's crop"))
    assert "prepared with --crop 148 and the reference with the course's crop" in warning
    assert warnings_of(replace(images, crop="--crop 148"), reference) == []


def test_losses_are_told_of_images_and_reference_each() -> None:
    """And each of an image that has two: the second is often the worse."""
    collectors = PropertyCollector(), PropertyCollector()
    collectors[0].update(smooth(4, 0.5), [(ALPHA_DROPPED,), (), (ALPHA_DROPPED, CLIPPED), ()])
    collectors[1].update(smooth(4, 0.5), [(), (CLIPPED,), (), ()])
    first, too, second = warnings_of(*(collector.properties() for collector in collectors))
    assert first.startswith("2 of 4 images are transparent") and too.startswith("1 of 4 images is of more than 8 bits")
    assert second.startswith("In the reference, 1 of 4 images is of more than 8 bits")
