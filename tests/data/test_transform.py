"""The transform against torchvision's, bit for bit."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, Resize

from facegen.data.decode import Unreadable, decode
from facegen.data.rgb import AS_STORED
from facegen.data.transform import resize_and_crop


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(width * 1000 + height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def torchvisions(image: Image.Image, size: int) -> np.ndarray:
    return np.asarray(Compose([Resize(size), CenterCrop(size)])(image))


@settings(deadline=None, max_examples=120, derandomize=True)
@given(width=st.integers(1, 300), height=st.integers(1, 300), size=st.integers(1, 96))
@example(width=178, height=218, size=64)  # CelebA
@example(width=64, height=64, size=64)
@example(width=64, height=65, size=64)  # the odd pixel: torchvision rounds half to even
@example(width=64, height=67, size=64)
@example(width=10, height=7, size=64)  # enlarged
@example(width=1, height=300, size=96)
def test_equals_torchvision_at_any_size(width: int, height: int, size: int) -> None:
    image = noise(width, height)
    np.testing.assert_array_equal(resize_and_crop(image, size), torchvisions(image, size))


@pytest.mark.parametrize(
    ("format", "mode"),
    [("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "RGB"), ("PNG", "L"), ("PNG", "1"), ("PNG", "P")],
)
def test_equals_torchvision_from_the_file_on(format: str, mode: str) -> None:
    file = io.BytesIO()
    noise(178, 218).convert(mode).save(file, format)
    rgb = Image.open(io.BytesIO(file.getvalue())).convert("RGB")
    np.testing.assert_array_equal(resize_and_crop(decode(file.getvalue(), AS_STORED).image, 64), torchvisions(rgb, 64))


@settings(deadline=None, max_examples=60, derandomize=True)
@given(data=st.data(), crop=st.integers(1, 180), size=st.integers(1, 96))
@example(data=None, crop=148, size=64)  # of 178 by 218: CelebA
@example(data=None, crop=178, size=64)
@example(data=None, crop=177, size=64)  # the odd pixel on both sides
@example(data=None, crop=64, size=64)
def test_a_crop_equals_torchvisions_at_any_size(data: st.DataObject | None, crop: int, size: int) -> None:
    extra = st.integers(0, 60)
    width, height = (178, 218) if data is None else (crop + data.draw(extra), crop + data.draw(extra))
    image = noise(width, height)
    expected = np.asarray(Compose([CenterCrop(crop), Resize(size)])(image))
    np.testing.assert_array_equal(resize_and_crop(image, size, crop), expected)


@pytest.mark.parametrize(("width", "height"), [(147, 218), (178, 147), (1, 1)])
def test_an_image_smaller_than_the_crop_is_not_padded(width: int, height: int) -> None:
    with pytest.raises(Unreadable, match=f"^{width}×{height} pixels, smaller than the crop of 148×148$"):
        resize_and_crop(noise(width, height), 64, 148)


def test_a_strip_that_would_exhaust_memory_is_unreadable() -> None:
    with pytest.raises(Unreadable, match="strip"):
        resize_and_crop(Image.new("RGB", (1, 40_000)), 64)
