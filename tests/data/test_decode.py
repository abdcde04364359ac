"""Every mode a photograph comes in ends as the RGB it should be; every damage, in a reason."""

from __future__ import annotations

import io
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import facegen
from facegen.data import decode as rules
from facegen.data.decode import Decoded, Unreadable
from facegen.data.decode import decode as decode_by
from facegen.data.rgb import AS_STORED, COMPOSITED, NOT_TURNED, SIXTEEN_BIT


def picture(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(7).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def decode(data: bytes) -> Decoded:
    return decode_by(data, AS_STORED)


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def png(colour_type: int, depth: int, rows: np.ndarray) -> bytes:
    """A PNG written by hand from big-endian sample rows, for what Pillow cannot write."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width = rows.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    body = b"".join(b"\0" + row.tobytes() for row in rows)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM"])
def test_rgb_is_kept_as_it_is(format: str) -> None:
    pixels = picture(5, 4, 3)
    decoded = decode(encoded(Image.fromarray(pixels), format))
    assert decoded.notes == ()
    np.testing.assert_array_equal(np.asarray(decoded.image), pixels)


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "GIF"])
def test_lossy_formats_equal_pillows_own_rgb(format: str) -> None:
    data = encoded(Image.fromarray(picture(24, 20, 3)), format)
    np.testing.assert_array_equal(
        np.asarray(decode(data).image), np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    )


def test_grayscale_is_repeated_over_the_channels() -> None:
    pixels = picture(5, 4)
    decoded = decode(encoded(Image.fromarray(pixels), "PNG"))
    np.testing.assert_array_equal(np.asarray(decoded.image), np.stack([pixels] * 3, -1))


def test_one_bit_is_black_and_white() -> None:
    pixels = picture(5, 9) > 127
    decoded = decode(encoded(Image.fromarray(pixels), "PNG"))
    np.testing.assert_array_equal(np.asarray(decoded.image)[..., 0], pixels * 255)


def test_cmyk_jpeg_equals_pillows_rgb() -> None:
    data = encoded(Image.fromarray(picture(24, 20, 3)).convert("CMYK"), "JPEG")
    opened = Image.open(io.BytesIO(data))
    assert opened.mode == "CMYK"
    np.testing.assert_array_equal(np.asarray(decode(data).image), np.asarray(opened.convert("RGB")))


def test_palette_gives_its_colours() -> None:
    image = Image.fromarray(picture(6, 5, 3)).quantize(16)
    decoded = decode(encoded(image, "PNG"))
    assert decoded.notes == ("converted from a palette to RGB",)
    np.testing.assert_array_equal(np.asarray(decoded.image), np.asarray(image.convert("RGB")))


def over_white(rgba: np.ndarray) -> np.ndarray:
    """The source-over operator (Porter and Duff, 1984) on an opaque white ground, rounded to nearest."""
    alpha = rgba[..., 3:] / 255
    return np.floor(rgba[..., :3] * alpha + 255 * (1 - alpha) + 0.5).astype(np.uint8)


def test_rgba_is_composited_on_white_and_says_so() -> None:
    pixels = picture(16, 16, 4)
    decoded = decode(encoded(Image.fromarray(pixels), "PNG"))
    assert COMPOSITED in decoded.notes
    np.testing.assert_array_equal(np.asarray(decoded.image), over_white(pixels))


def test_gray_with_alpha_is_composited_on_white() -> None:
    pixels = picture(16, 16, 2)
    decoded = decode(encoded(Image.fromarray(pixels, "LA"), "PNG"))
    assert COMPOSITED in decoded.notes
    np.testing.assert_array_equal(np.asarray(decoded.image), over_white(pixels[..., [0, 0, 0, 1]]))


@pytest.mark.parametrize("transparency", [1, bytes([255, 0, 128, 255])], ids=["one entry", "an alpha for each"])
def test_transparent_palette_entries_are_composited_on_white(transparency: int | bytes) -> None:
    palette = np.array([[250, 0, 0], [0, 250, 0], [0, 0, 250], [9, 9, 9]], np.uint8)
    indices = np.array([[0, 1], [2, 3]], np.uint8)
    image = Image.fromarray(indices)
    image.putpalette(palette.tobytes())
    decoded = decode(encoded(image, "PNG", transparency=transparency))
    alphas = np.array([255, 0, 255, 255] if transparency == 1 else list(transparency), np.uint8)
    rgba = np.concatenate([palette, alphas[:, None]], axis=1)[indices]
    assert COMPOSITED in decoded.notes
    np.testing.assert_array_equal(np.asarray(decoded.image), over_white(rgba))


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_sixteen_bit_gray_keeps_its_high_byte(format: str) -> None:
    pixels = picture(9, 8, dtype=np.uint16)
    decoded = decode(encoded(Image.fromarray(pixels), format))
    assert SIXTEEN_BIT in decoded.notes
    np.testing.assert_array_equal(np.asarray(decoded.image)[..., 1], pixels >> 8)


def test_big_endian_sixteen_bit_gray_keeps_its_high_byte() -> None:
    pixels = picture(9, 8, dtype=np.uint16)
    image = Image.frombytes("I;16B", (8, 9), pixels.astype(">u2").tobytes())
    np.testing.assert_array_equal(np.asarray(decode(encoded(image, "TIFF")).image)[..., 2], pixels >> 8)


def test_a_transparent_colour_of_rgb_is_composited_on_white() -> None:
    pixels = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)
    decoded = decode(encoded(Image.fromarray(pixels), "PNG", transparency=(4, 5, 6)))
    assert np.asarray(decoded.image).tolist() == [[[1, 2, 3], [255, 255, 255]]]


def test_sixteen_bit_rgb_keeps_its_high_byte() -> None:
    pixels = picture(9, 8, 3, dtype=np.uint16)
    decoded = decode(png(colour_type=2, depth=16, rows=pixels.astype(">u2")))
    np.testing.assert_array_equal(np.asarray(decoded.image), pixels >> 8)


def test_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    decoded = decode(encoded(frames[0], "PNG", save_all=True, append_images=frames[1:]))
    assert decoded.image.getpixel((0, 0)) == (255, 0, 0)


def test_exif_orientation_is_told_and_not_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    decoded = decode(encoded(Image.fromarray(picture(10, 20, 3)), "JPEG", exif=exif))
    assert decoded.notes == (NOT_TURNED,)
    assert decoded.image.size == (20, 10)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"<html>quota</html>", "not an image"),
        (encoded(Image.fromarray(picture(64, 64, 3)), "JPEG")[:900], "truncated"),
        (encoded(Image.fromarray(picture(8, 8).astype(np.float32)), "TIFF"), "floating-point"),
        (encoded(Image.fromarray(np.array([[1 << 20, 0]], np.int32)), "TIFF"), "32-bit"),
    ],
)
def test_what_cannot_be_read_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        decode(data)


def test_decompression_bomb_is_told_before_it_is_decoded() -> None:
    bomb = bytearray(png(colour_type=0, depth=8, rows=picture(1, 1)))
    bomb[16:24] = struct.pack(">II", 60_000, 60_000)
    bomb[29:33] = struct.pack(">I", zlib.crc32(bomb[12:29]))
    with pytest.raises(Unreadable, match="bomb"):
        decode(bytes(bomb))


@pytest.mark.parametrize("format", ["EPS", "TGA", "ICO", "SGI", "PCX"])
def test_what_photographs_do_not_come_in_is_not_decoded(format: str) -> None:
    data = encoded(Image.fromarray(picture(16, 16, 3)), format)  # EPS would be handed to Ghostscript
    with pytest.raises(Unreadable, match=r"not an image|a format that facegen does not read"):
        decode(data)


def test_no_module_lets_pillow_choose_the_format() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in Path(facegen.__file__).parent.rglob("*.py"))
    opened = re.findall(r"(?<!`)\bImage\.open\((.*)", sources)
    assert len(opened) > 2 and all("formats=" in call for call in opened)


_WHOLE = [
    encoded(Image.fromarray(picture(24, 20, 3)), name) for name in ("JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP", "PPM")
]


@settings(deadline=None, max_examples=150, derandomize=True)
@given(
    st.sampled_from(_WHOLE),
    st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=12),
    st.integers(0, 4000),
)
def test_damage_is_unreadable_or_rgb_and_nothing_else(data: bytes, changes: list[tuple[int, int]], length: int) -> None:
    damaged = bytearray(data[: max(length, 30)])
    for at, value in changes:
        damaged[at % len(damaged)] = value
    try:
        assert decode(bytes(damaged)).image.mode == "RGB"
    except Unreadable as problem:
        assert problem.reason


def test_pillow_is_never_told_to_accept_truncated_images() -> None:
    from PIL import ImageFile

    assert rules.MAX_PIXELS == Image.MAX_IMAGE_PIXELS
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
