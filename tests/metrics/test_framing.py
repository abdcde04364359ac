"""Another crop is told by the mean image, whatever the faces; photographs without a common subject tell nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch.nn.functional import affine_grid, grid_sample
from torchvision.transforms.functional import center_crop, resize

from facegen.data.transform import resize_and_crop
from facegen.metrics.framing import MeanImage, MeanImageSum, _zooming, framing

Images = npt.NDArray[np.uint8]
Pair = tuple[Images, Images]


def mean_of(images: Images) -> MeanImage:
    total = MeanImageSum()
    for image in images:
        total.update(image)
    return total.mean()


def resized(images: Images, change: Callable[[Image.Image], Image.Image]) -> Images:
    return np.stack([np.asarray(change(Image.fromarray(image))) for image in images])


def course(images: Images) -> Images:
    return np.stack([resize_and_crop(Image.fromarray(image), 64) for image in images])


@pytest.fixture(scope="session")
def reference(drawn: Pair) -> MeanImage:
    return mean_of(course(drawn[0]))


@pytest.mark.parametrize(
    ("change", "height", "width", "down"),
    [
        (lambda photo: resize(center_crop(photo, [148, 148]), [64, 64]), 178 / 148, 178 / 148, 0),
        (lambda photo: resize(center_crop(photo, [108, 108]), [64, 64]), 178 / 108, 178 / 108, 0),
        (lambda photo: resize(photo, [64, 64]), 178 / 218, 1, 0),  # squeezed into a square
        (lambda photo: photo.crop((0, 0, 178, 178)).resize((64, 64)), 1, 1, 20 / 178),  # not the middle
        (lambda photo: photo.crop((25, 57, 153, 185)).resize((64, 64)), 178 / 128, 178 / 128, -12 / 128),  # DDIM's
    ],
)
def test_another_crop_is_measured(
    change: Callable[[Image.Image], Image.Image], height: float, width: float, down: float, drawn: Pair,
    reference: MeanImage,
) -> None:  # fmt: skip
    images = mean_of(resized(drawn[1], change))
    found = framing(images, reference)
    assert found is not None and found.arrangement is None and abs(found.right) < 0.04
    assert (found.height, found.width) == (pytest.approx(height, rel=0.06), pytest.approx(width, rel=0.06))
    assert found.down == pytest.approx(down, abs=0.035)
    back = framing(reference, images)
    assert back is not None and back.height == pytest.approx(1 / height, rel=0.06)


@pytest.mark.parametrize(
    ("arrange", "code"),
    [
        (lambda images: images[:, ::-1], "upside_down"),
        (lambda images: np.rot90(images, 1, (1, 2)), "turned_left"),
        (lambda images: np.rot90(images, -1, (1, 2)), "turned_right"),
        (lambda images: images.transpose(0, 3, 1, 2).reshape(images.shape), "reshaped"),
    ],
)
def test_images_that_are_turned_or_mixed_up_are_told(
    arrange: Callable[[Images], Images], code: str, drawn: Pair, reference: MeanImage
) -> None:
    found = framing(mean_of(arrange(course(drawn[1]))), reference)
    assert found is not None and found.arrangement == code
    assert (found.height, found.width, found.down, found.right) == (1, 1, 0, 0)


def test_the_same_crop_is_not_told_whatever_its_size(drawn: Pair, reference: MeanImage) -> None:
    assert framing(mean_of(course(drawn[1])), reference) is None
    square = drawn[1][:, 20:198]
    assert framing(mean_of(square), reference) is None


def parts(images: Images, seed: int) -> Images:
    """A random part of each image: nothing is aligned."""
    random = np.random.default_rng(seed)
    corners = random.integers(0, [218 - 96, 178 - 96], (len(images), 2))
    return np.stack([image[y : y + 96, x : x + 96] for image, (y, x) in zip(images, corners, strict=True)])


def test_what_is_not_aligned_tells_nothing(drawn: Pair, reference: MeanImage) -> None:
    assert framing(mean_of(parts(drawn[1], 0)), mean_of(parts(drawn[0], 1))) is None
    noise = np.random.default_rng(0).integers(0, 256, (60, 64, 64, 3), dtype=np.uint8)
    assert framing(mean_of(noise), reference) is None
    assert framing(mean_of(np.full((60, 64, 64, 3), 99, np.uint8)), reference) is None


def test_few_images_tell_nothing(drawn: Pair, reference: MeanImage) -> None:
    assert framing(mean_of(course(drawn[1][:49, 35:183, 15:163])), reference) is None


@pytest.mark.parametrize("shape", [(96, 64), (33, 50), (17, 32)])
def test_the_mean_image_is_that_of_areas(shape: tuple[int, int]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, *shape, 3), dtype=np.uint8)
    luma = (images @ np.array([0.299, 0.587, 0.114])).mean(axis=0)
    fine = np.kron(luma, np.ones((32, 32))).reshape(32, shape[0], 32, shape[1]).mean(axis=(1, 3))
    np.testing.assert_allclose(mean_of(images).luma, fine, atol=1e-9)


@pytest.mark.parametrize("zoom", [1.0, 1.6, 0.7])
def test_a_row_beyond_the_outermost_centres_is_the_outermost(zoom: float) -> None:
    weights, seen = _zooming(zoom, 0.004)
    assert seen.any() and weights.min() >= 0 and weights.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("zoom", [1.0, 1.06**-10, 1.6])
@pytest.mark.parametrize("shift", [0.0, -1 / 64, 0.11])  # the second puts the first row onto the very edge
def test_rows_are_zoomed_and_shifted_as_torch_does_it(zoom: float, shift: float) -> None:
    luma = np.random.default_rng(0).normal(size=(32, 32))
    # torch's grid runs from −1 to 1: a shift by a part of the side is twice as much there.
    theta = torch.tensor([[[1.0, 0, 0], [0, 1 / zoom, 2 * shift]]], dtype=torch.float64)
    grid = affine_grid(theta, [1, 1, 32, 32], align_corners=False)
    theirs = grid_sample(torch.from_numpy(luma)[None, None], grid, padding_mode="border", align_corners=False)
    weights, seen = _zooming(zoom, shift)
    np.testing.assert_array_equal(seen, (grid[0, :, 0, 1].abs() <= 1).numpy())
    np.testing.assert_allclose(weights @ luma, theirs[0, 0].numpy()[seen], atol=1e-12)


@pytest.mark.parametrize("state", [np.zeros(32 * 32), np.zeros(32 * 32 + 1, np.int64)])
def test_the_state_of_something_else_is_refused(state: npt.NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match=r"expected sums float64 \[1025\]"):
        MeanImageSum().restore(state)


def test_a_sum_of_images_goes_on_from_its_state(drawn: Pair) -> None:
    images = drawn[0][:3]
    whole, first, second = MeanImageSum(), MeanImageSum(), MeanImageSum()
    for image in images:
        whole.update(image)
    first.update(images[0])
    second.restore(first.state())
    for image in images[1:]:
        second.update(image)
    np.testing.assert_array_equal(second.state(), whole.state())
    assert second.mean().n == 3
