"""Colours that were saved wrong are named for what was done to them, and honest ones are not named at all.

What is done to them here is done by Pillow and torchvision.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image, ImageOps
from torchvision.transforms.functional import adjust_gamma, normalize, rgb_to_grayscale
from torchvision.utils import save_image

from facegen.data.transform import resize_and_crop
from facegen.metrics.colours import FAULTS, ColourCounts, Colours, wrong_colours

Images = npt.NDArray[np.uint8]
Pair = tuple[Images, Images]
Change = Callable[[Image.Image], Image.Image]

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
CIFAR = [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]
CELEBA = [0.5063, 0.4258, 0.3832], [0.3107, 0.2904, 0.2897]
HALF_AND_QUARTER = [0.5] * 3, [0.25] * 3


def colours_of(images: Images) -> Colours:
    counts = ColourCounts()
    for image in images:
        counts.update(image)
    return counts.colours()


def changed(images: Images, change: Change) -> Images:
    return np.stack([np.asarray(change(Image.fromarray(image)).convert("RGB")) for image in images])


def channels(order: str) -> Change:
    return lambda image: Image.merge("RGB", [image.getchannel(channel) for channel in order])


def as_saved(image: Image.Image, mode: str) -> Image.Image:
    """The three channels of another mode, as if they were red, green and blue."""
    return Image.merge("RGB", image.convert(mode).split())


def tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255


def picture(values: torch.Tensor) -> Image.Image:
    return Image.fromarray((values * 255).round().clamp(0, 255).byte().permute(1, 2, 0).numpy())


def denormalised_with(image: Image.Image, means: list[float], stds: list[float]) -> Image.Image:
    """A generator's output from −1 to 1, brought back by the inverse of another normalisation."""
    inverse = [-mean / std for mean, std in zip(means, stds, strict=True)], [1 / std for std in stds]
    return picture(normalize(tensor(image) * 2 - 1, *inverse))


def stretched(image: Image.Image) -> Image.Image:
    """torchvision's ``save_image`` with ``normalize`` alone: each to its own range."""
    buffer = io.BytesIO()
    save_image(tensor(image), buffer, format="PNG", normalize=True, scale_each=True)
    return Image.open(buffer)


FAULTY: dict[str, Change] = {
    "bgr": channels("BGR"),
    "gbr": channels("GBR"),
    "brg": channels("BRG"),
    "grb": channels("GRB"),
    "grey": lambda image: picture(rgb_to_grayscale(tensor(image), 3)),
    "negative": ImageOps.invert,
    "imagenet_denormalised": lambda image: denormalised_with(image, MEAN, STD),
    "imagenet_normalised": lambda image: picture(normalize(tensor(image), MEAN, STD) / 2 + 0.5),
    "half": lambda image: image.point(lambda value: value // 2),
    "brightened": lambda image: picture(adjust_gamma(tensor(image), 1 / 2.2)),
    "darkened": lambda image: picture(adjust_gamma(tensor(image), 2.2)),
    "ycbcr": lambda image: as_saved(image, "YCbCr"),
    "ycrcb": lambda image: Image.merge("RGB", [image.convert("YCbCr").getchannel(band) for band in ("Y", "Cr", "Cb")]),
    "hsv": lambda image: as_saved(image, "HSV"),
    "squeezed": lambda image: denormalised_with(image, *CIFAR),
    "stretched": stretched,
}
#: Too little on drawn faces, whose greens and blues are alike.
FAINT: dict[str, Change] = {
    "rbg": channels("RBG"),
    "limited_range": lambda image: image.point(lambda value: round(16 + value * 219 / 255)),
}


@pytest.fixture(scope="session")
def faces(drawn: Pair) -> Pair:
    """The middles of the drawn ones, which have the more colour."""
    first, second = (np.ascontiguousarray(images[:, 60:170:2, 40:140:2]) for images in drawn)
    return first, second


@pytest.fixture(scope="session")
def reference(faces: Pair) -> Colours:
    return colours_of(faces[0])


#: A reference may be what was saved so: these do not undo themselves, and can be told from what is right.
EITHER = ["grey", "half", "hsv", "imagenet_denormalised", "squeezed", "ycbcr", "ycrcb"]


def test_each_fault_has_a_case() -> None:
    assert {*FAULTY, *FAINT} == set(FAULTS)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("fault", [code for code in FAULTS if code not in ("squeezed", "stretched")])
def test_a_fault_changes_each_colour_as_saving_it_so_does(fault: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 999, 3), dtype=np.uint8)
    pixels[0, :9] = np.arange(9)[:, None] * 31  # grey ones
    change = FAULTS[fault].change
    assert change is not None
    theirs = np.asarray({**FAULTY, **FAINT}[fault](Image.fromarray(pixels)).convert("RGB"))[0]
    above = change(pixels[0].astype(float)).clip(0, 255) - theirs
    rounded_down = fault in ("half", "ycbcr", "ycrcb", "hsv")  # as Pillow does; the others to the nearest
    assert (-0.1 if rounded_down else -0.6) < above.min() and above.max() < (1.1 if rounded_down else 0.6)


@pytest.mark.parametrize("fault", FAULTY)
def test_a_fault_is_named(fault: str, faces: Pair, reference: Colours) -> None:
    images = changed(faces[1], FAULTY[fault])
    found = wrong_colours(colours_of(images), reference)
    assert found is not None and (found.fault, found.of_reference) == (fault, False)
    assert found.explained is None or 0.58 < found.explained <= 1
    assert found.message[0].isupper() and found.message.endswith(".") and "{" not in found.message


@pytest.mark.parametrize("statistics", [CELEBA, HALF_AND_QUARTER], ids=["CelebA", "half and quarter"])
def test_any_other_means_and_deviations_are_told_from_the_values_they_leave(
    statistics: tuple[list[float], list[float]], faces: Pair, reference: Colours
) -> None:
    squeezed = changed(faces[1], lambda image: denormalised_with(image, *statistics))
    found = wrong_colours(colours_of(squeezed), reference)
    assert found is not None and found.fault == "squeezed"
    told = [int(number) for number in re.findall(r"\d+", found.message.partition("into")[2].partition(" in ")[0])]
    ends = [255 * (mean + sign * std) for mean, std in zip(*statistics, strict=True) for sign in (-1, 1)]
    np.testing.assert_allclose(told, ends, atol=16)  # colours are counted in steps of 8


@pytest.mark.parametrize("fault", EITHER)
def test_the_reference_may_be_what_has_it(fault: str, faces: Pair) -> None:
    faulty = colours_of(changed(faces[0], FAULTY[fault]))
    found = wrong_colours(colours_of(faces[1]), faulty)
    assert found is not None and (found.fault, found.of_reference) == (fault, True)
    assert found.message.startswith("The reference's images look")


def noise(images: Images) -> Images:
    return np.random.default_rng(0).integers(0, 256, images.shape, dtype=np.uint8)


#: What generators make that are merely bad.
HONEST: dict[str, Callable[[Images], Images]] = {
    "other faces": lambda images: images,
    "little contrast": lambda images: (100 + 0.3 * (images - 100.0)).astype(np.uint8),
    "one colour": lambda images: np.full_like(images, (140, 110, 95)),
    "noise": noise,
    "noisy": lambda images: np.clip(images + noise(images) / 2.0 - 64, 0, 255).astype(np.uint8),
    "a colour cast": lambda images: np.clip(images + np.array([30.0, 0, -15]), 0, 255).astype(np.uint8),
    "too bright": lambda images: np.clip(images + 40.0, 0, 255).astype(np.uint8),
    "saturated": lambda images: np.clip(128 + 6 * (images - 128.0), 0, 255).astype(np.uint8),
    "flat, with too little red": lambda images: (0.6 * images + np.array([5, 51, 51])).astype(np.uint8),
    "flat, with too much blue": lambda images: (0.6 * images + np.array([51, 51, 100])).astype(np.uint8),
    "collapsed": lambda images: np.repeat(images[:2], 30, axis=0),
}


@pytest.mark.parametrize("kind", HONEST)
def test_a_bad_generator_is_not_told_that_its_colours_were_saved_wrong(
    kind: str, faces: Pair, reference: Colours
) -> None:
    assert wrong_colours(colours_of(HONEST[kind](faces[1])), reference) is None


def test_real_faces_are_right_and_faint_faults_of_theirs_are_named(celeba: Path) -> None:
    with ZipFile(celeba / "img_align_celeba.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))[:240]
        opened = (Image.open(io.BytesIO(archive.read(name))) for name in names)
        real = np.stack([resize_and_crop(image.convert("RGB"), 64) for image in opened])
    first, second = colours_of(real[:120]), real[120:]
    assert wrong_colours(colours_of(second), first) is None
    for code, change in FAINT.items():
        found = wrong_colours(colours_of(changed(second, change)), first)
        assert found is not None and found.fault == code


def test_few_images_tell_nothing(faces: Pair, reference: Colours) -> None:
    assert wrong_colours(colours_of(faces[1][:9, ..., ::-1]), reference) is None


def test_channel_means_are_numpys_to_a_bin(faces: Pair) -> None:
    small = np.ascontiguousarray(faces[0][:5])
    np.testing.assert_allclose(colours_of(small).means, small.mean(axis=(0, 1, 2)), atol=2)


@pytest.mark.parametrize(("lowest", "highest", "full"), [(0, 255, 1), (1, 255, 0), (0, 254, 0)])
def test_an_image_is_of_full_range_that_has_its_ends(lowest: int, highest: int, full: int) -> None:
    counts = ColourCounts()
    image = np.full((8, 8, 3), 99, np.uint8)
    image[0, 0, 0], image[1, 1, 1] = lowest, highest
    counts.update(image)
    assert counts.state()[-3:-1].tolist() == [1, full]


@pytest.mark.parametrize(("side", "pixels"), [(5, 25), (64, 64 * 64), (127, 127 * 127), (128, 64 * 64), (200, 67 * 67)])
def test_of_images_that_are_twice_64_pixels_wide_or_more_a_part_is_counted(side: int, pixels: int) -> None:
    assert colours_of(np.zeros((1, side, side, 3), np.uint8)).counts.sum() == pixels


@pytest.mark.parametrize(("ends", "barely"), [(15, 1.0), (16, 0.0)])  # 0.5% of 32 · 32 · 3 values are 15.36
def test_an_image_barely_has_its_ends_where_at_most_one_value_in_200_is_either(ends: int, barely: float) -> None:
    image = np.full((32, 32, 3), 99, np.uint8)
    image.flat[:ends] = [255] * (ends - 4) + [0] * 4
    colours = colours_of(image[None])
    assert (colours.n, colours.full, colours.barely) == (1, 1.0, barely)


def test_counts_go_on_from_their_state(faces: Pair) -> None:
    begun, gone_on = ColourCounts(), ColourCounts()
    for image in faces[0][:3]:
        begun.update(image)
    gone_on.restore(begun.state())
    np.testing.assert_array_equal(gone_on.state(), begun.state())
    gone_on.update(faces[0][3])
    whole, parts = colours_of(faces[0][:4]), gone_on.colours()
    np.testing.assert_array_equal(parts.counts, whole.counts)
    assert (parts.n, parts.full, parts.barely) == (whole.n, whole.full, whole.barely)


@pytest.mark.parametrize("state", [np.zeros(32**3 + 2, np.int64), np.zeros(32**3 + 3)])
def test_the_state_of_something_else_is_refused(state: npt.NDArray[np.int64]) -> None:
    with pytest.raises(ValueError, match=r"expected counts int64 \[32771\]"):
        ColourCounts().restore(state)


@pytest.mark.parametrize(("sizes", "distance"), [((10, 40), 12.07), ((40, 10), 12.07), ((1000, 250), 6.41)])
def test_fewer_images_have_to_be_farther_apart(sizes: tuple[int, int], distance: float) -> None:
    """Black and a part of red, against black and as much blue: all values of that part move by 248 in two channels and
    in two differences, and by twice as much in the third, so that the mean distance is 248 times the part. 5 and
    20 √(1/n + 1/m) is the least."""

    def coloured(red: int, blue: int, n: int, part: float) -> Colours:
        counts = np.zeros(32**3, np.int64)
        counts[0], counts[red << 10 | blue] = round(1e6 * (1 - part)), round(1e6 * part)
        return Colours(n, counts, 0.0, 0.0)

    for factor, fault in ((0.99, None), (1.01, "bgr")):
        part = distance * factor / 248
        found = wrong_colours(coloured(0, 31, sizes[0], part), coloured(31, 0, sizes[1], part))
        assert (found and found.fault) == fault
        assert found is None or (found.distance, found.explained) == (pytest.approx(distance * factor, rel=1e-5), 1)
