"""Fine detail: what a spectrum must show of simple pictures, and that filters are told apart and contents are not."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from scipy.fft import fft2, fftfreq
from scipy.signal.windows import hann

from facegen.metrics.detail import Detail, detail_factor, log_detail

Images = npt.NDArray[np.uint8]


def detail_of(images: Images) -> Detail:
    details = np.array([log_detail(image) for image in images])
    return Detail(len(details), details.mean(axis=0), details.var(axis=0, ddof=1))


def wave(cycles: float, side: int = 64) -> Images:
    """Grey stripes of so many cycles a pixel."""
    row = 127.5 + 100 * np.sin(2 * np.pi * cycles * np.arange(side))
    return np.broadcast_to(row[None, :, None], (side, side, 3)).astype(np.uint8)


def test_stripes_are_in_the_band_of_their_frequency() -> None:
    coarse, middle, fine = (log_detail(wave(cycles)) for cycles in (0.06, 0.15, 0.42))
    assert coarse is not None and middle is not None and fine is not None
    assert middle[0] > 5 > -5 > coarse[0] and fine[1] > 5 > -5 > coarse[1]


@pytest.mark.parametrize(
    ("cycles", "middle", "fine"),
    [
        (0.045, -1, -1),
        (0.09, -1, -1),
        (0.115, 1, 0),
        (0.185, 1, 0),
        (0.22, 0, 0),
        (0.33, 0, 0),
        (0.365, 0, 1),
        (0.485, 0, 1),
    ],
)
def test_the_bands_end_where_they_should(cycles: float, middle: int, fine: int) -> None:
    detail = log_detail(wave(cycles, side=256))
    assert detail is not None
    np.testing.assert_array_equal(np.sign(detail) * (np.abs(detail) > 3), [middle, fine])


def test_what_only_diagonals_show_is_in_no_band() -> None:
    stripes = wave(0.45, side=256)[..., 0].astype(float) - 127
    diagonal = np.repeat((127 + stripes * stripes.T / 100)[..., None], 3, axis=2).astype(np.uint8)  # 0.64 cycles
    detail = log_detail(diagonal)
    assert detail is not None and np.abs(detail).max() < 3


def test_equals_its_definition() -> None:
    """With scipy's window and transform: of faint noise, so that what rounding leaves, a variance of 1/12, counts."""
    image = np.random.default_rng(0).integers(99, 101, (100, 100, 3), dtype=np.uint8)
    image[::2] += 1
    luma = image @ np.array([0.299, 0.587, 0.114])
    window = np.outer(hann(102)[1:-1], hann(102)[1:-1])
    power = np.abs(fft2((luma - luma.mean()) * window)) ** 2 + np.sum(window * window) / 12
    rows, columns = np.meshgrid(fftfreq(100), fftfreq(100)[:51], indexing="ij")
    radius = np.sqrt(rows * rows + columns * columns)
    bands = [power[:, :51][(low <= radius) & (radius < high)] for low, high in ((0.03, 0.1), (0.1, 0.2), (0.35, 0.5))]
    coarse, middle, fine = (band.mean() for band in bands)
    np.testing.assert_allclose(log_detail(image), [np.log(middle / coarse), np.log(fine / coarse)], rtol=1e-9)


def test_white_noise_has_as_much_in_every_band() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (100, 64, 64, 3), dtype=np.uint8)
    np.testing.assert_allclose(detail_of(noise).mean, 0, atol=0.1)


def test_a_flat_image_has_none_and_is_no_error() -> None:
    detail = log_detail(np.full((64, 64, 3), 200, np.uint8))
    assert detail is not None
    np.testing.assert_allclose(detail, 0, atol=1e-9)


def test_contrast_does_not_count() -> None:
    noise = np.random.default_rng(0).integers(0, 120, (64, 64, 3), dtype=np.uint8)
    np.testing.assert_allclose(log_detail(noise), log_detail(noise * 2), atol=1e-3)


@pytest.mark.parametrize("shape", [(31, 64, 3), (64, 8, 3)])
def test_too_small_to_tell(shape: tuple[int, ...]) -> None:
    assert log_detail(np.zeros(shape, np.uint8)) is None


@pytest.mark.parametrize("shape", [(32, 32, 3), (32, 70, 3)])
def test_32_pixels_are_enough(shape: tuple[int, ...]) -> None:
    assert log_detail(np.zeros(shape, np.uint8)) is not None


def test_of_a_large_image_the_middle_is_looked_at() -> None:
    large = np.zeros((600, 500, 3), np.uint8)
    large[172:428, 122:378] = np.random.default_rng(0).integers(0, 256, (256, 256, 3))
    np.testing.assert_array_equal(log_detail(large), log_detail(large[172:428, 122:378]))


@pytest.mark.parametrize(
    ("middle", "fine", "expected"),
    [
        (0.0, 1.0, np.e),
        (0.0, -1.0, 1 / np.e),
        (0.0, 0.3, None),  # alike
        (0.5, 1.0, None),  # the contents differ
        (0.0, 1.6, None),  # no filter adds so much: noise does, or a palette
        (0.0, -1.6, np.exp(-1.6)),
    ],
)
def test_the_factor_is_told_only_where_the_finest_band_alone_differs(
    middle: float, fine: float, expected: float | None
) -> None:
    second = Detail(1000, np.array([-1.0, -3.0]), np.array([0.16, 0.25]))
    first = Detail(1000, second.mean + np.array([middle, fine]), second.variance)
    assert detail_factor(first, second) == (None if expected is None else pytest.approx(expected))


def test_few_images_do_not_tell() -> None:
    first, second = (Detail(4, np.array([0.0, fine]), np.array([0.16, 0.25])) for fine in (0.9, 0.0))
    assert detail_factor(first, second) is None


@pytest.mark.parametrize(("first", "second"), [((100, 0.2), (25, 0.5)), ((25, 0.5), (100, 0.2))])
@pytest.mark.parametrize("sign", [1, -1])
def test_three_standard_errors_tell(first: tuple[int, float], second: tuple[int, float], sign: int) -> None:
    error = np.sqrt(0.2 / 100 + 0.5 / 25)  # 0.148, so that the two must be 0.795 apart
    for beyond in (0.02, -0.02):
        fine = sign * (0.35 + 3 * error + beyond)
        one = Detail(first[0], np.array([0.0, fine]), np.array([9.0, first[1]]))
        other = Detail(second[0], np.zeros(2), np.array([9.0, second[1]]))
        assert detail_factor(one, other) == (pytest.approx(np.exp(fine)) if beyond > 0 else None)


@pytest.mark.parametrize(("middle", "alike"), [(0.29, True), (-0.29, True), (0.31, False), (-0.31, False)])
def test_the_contents_differ_where_middle_frequencies_do(middle: float, alike: bool) -> None:
    first, second = (Detail(10**6, np.array(mean), np.ones(2)) for mean in ([middle, 0.5], [0.0, 0.0]))
    assert (detail_factor(first, second) is not None) == alike


RESAMPLING = Image.Resampling
FILTERS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "bicubic": lambda image: image.resize((64, 78), RESAMPLING.BICUBIC),
    "lanczos": lambda image: image.resize((64, 78), RESAMPLING.LANCZOS),
    "nearest": lambda image: image.resize((64, 78), RESAMPLING.NEAREST),
}
SAME: dict[str, Callable[[Image.Image], Image.Image]] = {
    "bilinear": lambda image: image.resize((64, 78), RESAMPLING.BILINEAR),
    "jpeg": lambda image: jpeg(image.resize((64, 78), RESAMPLING.BILINEAR)),
}


def jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=75)
    return Image.open(buffer)


@pytest.mark.parametrize("name", [*FILTERS, *SAME])
def test_filters_are_told_apart_on_real_faces(name: str, celeba: Path) -> None:
    with ZipFile(celeba / "img_align_celeba.zip") as archive:
        members = sorted(member for member in archive.namelist() if member.endswith(".jpg"))[:400]
        photographs = [Image.open(io.BytesIO(archive.read(member))).convert("RGB") for member in members]
    change = {**FILTERS, **SAME}[name]
    # Two halves, so that the faces differ too.
    first = detail_of(np.stack([np.asarray(change(image))[7:71] for image in photographs[:200]]))
    second = detail_of(np.stack([np.asarray(SAME["bilinear"](image))[7:71] for image in photographs[200:]]))
    factor = detail_factor(first, second)
    assert (factor is not None and factor > 1.4) if name in FILTERS else factor is None
