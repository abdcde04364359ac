from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

from facegen.checks import pixels
from facegen.data.decode import Decoded, Unreadable, decode
from facegen.data.rgb import COMPOSITED, NOT_TURNED, SIXTEEN_BIT, PreparedRgb


def test_prepare_makes_torchvisions_pixels() -> None:
    found = pixels.check_pixels()
    assert found.status == "ok" and len(found.details["images"]) >= 12 and found.details["unequal"] == []


def test_the_images_are_as_odd_as_their_names() -> None:
    notes = {name: decode(data, PreparedRgb()).notes for name, data, _ in pixels.odd_images()}
    assert NOT_TURNED in notes["JPEG turned by EXIF"]
    assert SIXTEEN_BIT in notes["16-bit PNG"] and COMPOSITED in notes["transparent PNG"]


def test_images_that_differ_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def turned(data: bytes, to_rgb: PreparedRgb) -> Decoded:
        image = decode(data, to_rgb).image
        return Decoded(image.transpose(Image.Transpose.ROTATE_90) if image.size == (140, 99) else image)

    monkeypatch.setattr(pixels, "decode", turned)
    found = pixels.check_pixels()
    assert found.status == "wrong"
    assert found.details["unequal"] == [
        f"{name} at {size}×{size}" for name in ("JPEG turned by EXIF", "transparent PNG") for size in pixels.SIZES
    ]
    assert "JPEG turned by EXIF at 64×64" in found.message


def test_one_pixel_off_by_one_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def off(image: Image.Image, size: int) -> np.ndarray:
        made = resize_and_crop(image, size).copy()
        made[0, 0, 0] ^= 1
        return made

    resize_and_crop = pixels.resize_and_crop
    monkeypatch.setattr(pixels, "resize_and_crop", off)
    found = pixels.check_pixels()
    assert len(found.details["unequal"]) == len(found.details["images"]) * len(pixels.SIZES)


def test_an_image_that_cannot_be_read_is_told_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(data: bytes, to_rgb: PreparedRgb) -> Decoded:
        raise Unreadable("damaged")

    monkeypatch.setattr(pixels, "decode", unreadable)
    found = pixels.check_pixels()
    assert found.status == "wrong" and "14 of 14 odd images cannot be read, the first, " in found.message
    assert found.message.endswith("because: damaged.")


def test_a_torchvision_of_another_release_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.transforms", None)
    found = pixels.check_pixels()
    assert found.status == "wrong" and "of one release" in (found.remedy or "")
