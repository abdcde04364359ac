"""Scoring sees the pixels that pytorch-fid sees, whatever mode a file has; preparing says what it did to them."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from facegen.data.decode import Decoded, Unreadable, decode
from facegen.data.images import open_images
from facegen.data.rgb import (
    ALPHA_DROPPED,
    AS_STORED,
    CLIPPED,
    COMPOSITED,
    FIRST_FRAME,
    FRAMES_DROPPED,
    NOT_TURNED,
    PROFILE_NOT_APPLIED,
    PROFILE_UNUSABLE,
    SIDEWAYS,
    SIXTEEN_BIT,
    TURNED,
    PreparedRgb,
    loss_sentence,
    pytorch_fid_rgb,
)
from facegen.stages.prepare import prepare

Pixels = np.ndarray


def noise(*shape: int, dtype: type = np.uint8) -> Pixels:
    return np.random.default_rng(7).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def file_of(image: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def pytorch_fids(data: bytes) -> Pixels:
    """As pytorch_fid.fid_score.ImagePathDataset of pytorch-fid 0.3.0 opens a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def scored(data: bytes) -> Decoded:
    return decode(data, pytorch_fid_rgb)


RGB, RGBA = Image.fromarray(noise(9, 8, 3)), Image.fromarray(noise(9, 8, 4))


def image_of(mode: str) -> Image.Image:
    if mode.startswith("I;16"):
        return Image.frombytes(mode, (8, 9), noise(9, 8, dtype=np.uint16).tobytes())
    if mode == "I":
        return Image.fromarray(noise(9, 8, dtype=np.int32) // 9000 - 20)
    if mode == "F":
        return Image.fromarray(noise(9, 8).astype(np.float32) * 1.7 - 40)
    if mode == "PA":
        return RGB.quantize(9).convert("PA")
    return RGBA.convert(mode) if mode in ("RGBA", "LA") else RGB.convert(mode)


MODES = ["1", "L", "P", "RGB", "RGBA", "LA", "PA", "CMYK", "YCbCr", "LAB", "I", "F", "I;16", "I;16B"]
FORMATS = ["PNG", "TIFF", "WEBP", "GIF", "BMP", "PPM", "JPEG2000", "JPEG"]


def every_file() -> dict[str, bytes]:
    """Each mode in each format that has it, and the ways to be transparent that are no mode."""
    files = {}
    for mode in MODES:
        for format in FORMATS:
            try:
                data = file_of(image_of(mode), format)
                pytorch_fids(data)
            except (OSError, ValueError, KeyError):
                continue  # not a mode of this format; Pillow before 13 does not read the YCbCr TIFF that it writes
            files[f"{mode} {format}"] = data
    palette = RGB.quantize(4)
    files["P PNG with a transparent entry"] = file_of(palette, "PNG", transparency=1)
    files["P PNG with an alpha for each"] = file_of(palette, "PNG", transparency=bytes([255, 0, 128, 40]))
    files["P GIF with a transparent entry"] = file_of(palette, "GIF", transparency=1)
    files["L PNG with a transparent grey"] = file_of(RGB.convert("L"), "PNG", transparency=7)
    files["RGB PNG with a transparent colour"] = file_of(RGB, "PNG", transparency=RGB.getpixel((0, 0)))
    files["I;16 PNG with a transparent grey"] = file_of(image_of("I;16"), "PNG", transparency=7)
    frames = [RGBA, RGB.convert("RGBA")]
    for format in ("GIF", "PNG", "WEBP", "TIFF"):
        files[f"two frames {format}"] = file_of(frames[0], format, save_all=True, append_images=frames[1:])
    return files


FILES = every_file()


@pytest.mark.parametrize("name", FILES)
def test_scoring_sees_what_pytorch_fid_sees(name: str) -> None:
    np.testing.assert_array_equal(np.asarray(scored(FILES[name]).image), pytorch_fids(FILES[name]))


@settings(deadline=None, max_examples=120, derandomize=True)
@given(
    st.sampled_from([("I;16", np.uint16), ("RGBA", np.uint8), ("LA", np.uint8), ("P", np.uint8), ("I", np.int32)]),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 200, 300, 2**16, 2**31]),
)
def test_a_note_is_there_where_something_is_lost_and_only_there(kind: tuple[str, type], seed: int, values: int) -> None:
    mode, dtype = kind
    channels = {"RGBA": 4, "LA": 2}.get(mode, 1)
    top = min(values, np.iinfo(dtype).max + 1)
    random = np.random.default_rng(seed)
    pixels = random.integers(0, top, (3, 4, channels), dtype=dtype)
    alphas = pixels[..., -1]
    if channels > 1 and seed % 2:
        alphas[:] = 255
    lost = (alphas < 255).any() if channels > 1 else mode != "P" and (pixels > 255).any()
    if mode == "P":
        image = Image.frombytes("P", (4, 3), (pixels % 4).astype(np.uint8).tobytes())
        image.putpalette(list(range(12)))
        data, lost = file_of(image, "PNG", transparency=2), bool((pixels % 4 == 2).any())
    else:
        image = Image.frombytes(mode, (4, 3), pixels.tobytes())
        data = file_of(image, "TIFF" if mode == "I" else "PNG")
    found = scored(data)
    assert found.notes == (() if not lost else (CLIPPED,) if mode[0] == "I" else (ALPHA_DROPPED,))
    np.testing.assert_array_equal(np.asarray(found.image), pytorch_fids(data))


def test_whole_numbers_in_floating_point_lose_nothing_and_fractions_do() -> None:
    whole = noise(3, 4).astype(np.float32)
    assert scored(file_of(Image.fromarray(whole), "TIFF")).notes == ()
    assert scored(file_of(Image.fromarray(whole / 255), "TIFF")).notes == (CLIPPED,)


def test_sixteen_bit_rgb_is_scored_by_its_high_byte_without_a_word() -> None:
    data = b"P6 2 1 65535\n" + np.array([0x0102, 0x7F80, 0xFFFF, 0, 255, 256], ">u2").tobytes()
    assert (scored(data).notes, decode(data, AS_STORED).notes) == ((), (SIXTEEN_BIT,))
    np.testing.assert_array_equal(np.asarray(scored(data).image), pytorch_fids(data))


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_later_frames_are_missed(format: str) -> None:
    data = file_of(RGB, format, save_all=True, append_images=[RGBA.convert("RGB")])
    assert FRAMES_DROPPED in scored(data).notes and FIRST_FRAME in decode(data, AS_STORED).notes
    assert FRAMES_DROPPED not in scored(file_of(RGB, format)).notes


def test_pictures_carry_the_notes(tmp_path: Path) -> None:
    for name, data in (("1.png", file_of(RGBA, "PNG")), ("2.png", file_of(RGB, "PNG"))):
        (tmp_path / name).write_bytes(data)
    Image.fromarray(np.array([[7, 300]], np.uint16)).save(tmp_path / "3.png", transparency=7)
    transparent, plain, both = open_images(tmp_path).pictures()
    assert (transparent.notes, plain.notes, both.notes) == ((ALPHA_DROPPED,), (), (ALPHA_DROPPED, CLIPPED))
    np.testing.assert_array_equal(transparent.pixels, noise(9, 8, 4)[..., :3])


def test_losses_in_words() -> None:
    assert loss_sentence(ALPHA_DROPPED, 37, 1000) == (
        "37 of 1,000 images are transparent: scoring drops alpha as pytorch-fid does. Save them as RGB."
    )
    for note in (CLIPPED, FRAMES_DROPPED, SIDEWAYS):
        assert loss_sentence(note, 1, 2).startswith("1 of 2 images is ")


def test_what_pillow_does_not_convert_is_unreadable() -> None:
    with pytest.raises(Unreadable, match="mode La, which Pillow does not convert to RGB"):
        pytorch_fid_rgb(RGBA.convert("LA").convert("La"))


@pytest.mark.parametrize(
    ("mode", "format", "note"),
    [
        ("1", "PNG", "converted from black and white to RGB"),
        ("L", "JPEG", "converted from grey to RGB"),
        ("I;16", "PNG", "converted from grey to RGB"),
        ("P", "GIF", "converted from a palette to RGB"),
        ("CMYK", "JPEG", "converted from CMYK to RGB"),
        pytest.param(
            *("YCbCr", "TIFF", "converted from YCbCr to RGB"),
            marks=pytest.mark.skipif("YCbCr TIFF" not in FILES, reason="Pillow before 13 does not read what it writes"),
        ),
        ("LAB", "TIFF", "converted from LAB to RGB"),
        ("RGBA", "PNG", COMPOSITED),
        ("I;16", "TIFF", SIXTEEN_BIT),
    ],
)
def test_preparing_counts_what_it_converts(mode: str, format: str, note: str) -> None:
    assert note in decode(FILES[f"{mode} {format}"], AS_STORED).notes


def test_a_transparent_grey_of_sixteen_bits_is_composited() -> None:
    data = file_of(Image.fromarray(np.array([[7, 0x3456]], np.uint16)), "PNG", transparency=7)
    assert np.asarray(decode(data, AS_STORED).image)[0].tolist() == [[255] * 3, [0x34] * 3]


def turned(orientation: int, format: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return file_of(Image.fromarray(noise(20, 32, 3)), format, exif=exif)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 10))
def test_upright_is_as_the_camera_was_held(orientation: int, format: str) -> None:
    data = turned(orientation, format)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(np.asarray(decode(data, PreparedRgb(upright=True)).image), np.asarray(upright))
    np.testing.assert_array_equal(np.asarray(decode(data, AS_STORED).image), pytorch_fids(data))
    notes = [decode(data, way).notes for way in (AS_STORED, PreparedRgb(upright=True), pytorch_fid_rgb)]
    assert notes == ([(), (), ()] if orientation in (1, 9) else [(NOT_TURNED,), (TURNED,), (SIDEWAYS,)])


def test_damaged_exif_is_no_damaged_picture() -> None:
    data = file_of(RGB, "PNG", exif=b"Exif\0\0MM\0\x2a\xff\xff\xff\xff")
    assert decode(data, PreparedRgb(upright=True)).notes == ()


def profile_of(gamma: float, primaries: list[float]) -> bytes:
    """A matrix profile, ICC.1:2010: three colorants (XYZ, D50) and one curve, written by hand."""

    def fixed(value: float) -> bytes:
        return round(value * 65536).to_bytes(4, "big", signed=True)

    def xyz(values: list[float]) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(map(fixed, values))

    words = "Wide Gamut\x1b"
    text = b"desc\0\0\0\0" + (len(words) + 1).to_bytes(4, "big") + words.encode() + bytes(1 + 4 + 4 + 2 + 1 + 67)
    curve = b"curv\0\0\0\0" + (1).to_bytes(4, "big") + round(gamma * 256).to_bytes(2, "big") + b"\0\0"
    tags = {b"desc": text, b"wtpt": xyz([0.9642, 1, 0.8249]), b"cprt": b"text\0\0\0\0none\0"}
    tags |= {name: xyz(primaries[3 * at : 3 * at + 3]) for at, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    table, body = len(tags).to_bytes(4, "big"), b""
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += name + (start + len(body)).to_bytes(4, "big") + len(data).to_bytes(4, "big")
        body += data
    header = bytes(8) + bytes.fromhex("02400000") + b"mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28)
    header += b"".join(map(fixed, [0.9642, 1, 0.8249])) + bytes(48)
    whole = header + table + body
    return len(whole).to_bytes(4, "big") + whole[4:]


#: Adobe RGB (1998): its colorants adapted to D50, annex B of its specification, and gamma 563/256.
ADOBE = [0.60974, 0.31111, 0.01947, 0.20528, 0.62567, 0.06087, 0.14919, 0.06322, 0.74457]
WIDE = profile_of(563 / 256, ADOBE)


def adobe_to_srgb(pixels: Pixels) -> Pixels:
    """By the two specifications: decode gamma, to XYZ (D50), to linear sRGB (IEC 61966-2-1, adapted), encode, clip."""
    xyz = (pixels / 255) ** (563 / 256) @ np.array(ADOBE).reshape(3, 3)
    srgb = [0.43607, 0.22249, 0.01392, 0.38515, 0.71687, 0.09708, 0.14307, 0.06061, 0.71410]
    linear = np.clip(xyz @ np.linalg.inv(np.array(srgb).reshape(3, 3)), 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def test_an_icc_profile_is_converted_where_asked_for() -> None:
    pixels = noise(9, 8, 3)
    data = file_of(Image.fromarray(pixels), "PNG", icc_profile=WIDE)
    stored, converted = decode(data, AS_STORED), decode(data, PreparedRgb(srgb=True))
    np.testing.assert_array_equal(np.asarray(stored.image), pixels)
    assert np.abs(np.asarray(converted.image) - adobe_to_srgb(pixels)).max() < 2
    assert stored.notes == (PROFILE_NOT_APPLIED,)
    assert converted.notes == ("converted from Wide Gamut\\u001b to sRGB",)
    assert scored(data).notes == ()


def test_srgb_is_left_as_it_is() -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = file_of(RGB, "PNG", icc_profile=icc)
    for way in (AS_STORED, PreparedRgb(srgb=True)):
        assert decode(data, way).notes == ()
        np.testing.assert_array_equal(np.asarray(decode(data, way).image), np.asarray(RGB))


@pytest.mark.parametrize("icc", [b"no profile", WIDE[:200]])
def test_a_damaged_profile_is_said_and_no_damaged_picture(icc: bytes) -> None:
    data = file_of(RGB, "PNG", icc_profile=icc)
    decoded = decode(data, PreparedRgb(srgb=True))
    np.testing.assert_array_equal(np.asarray(decoded.image), np.asarray(RGB))
    assert decoded.notes == (PROFILE_UNUSABLE,)


def test_a_profile_for_other_pixels_is_not_applied() -> None:
    data = file_of(RGB.convert("CMYK"), "JPEG", icc_profile=WIDE)
    decoded = decode(data, PreparedRgb(srgb=True))
    assert PROFILE_UNUSABLE in decoded.notes
    np.testing.assert_array_equal(np.asarray(decoded.image), pytorch_fids(data))


def test_prepare_says_what_it_converted_and_which_option_does_more(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "in").mkdir()
    wide = file_of(RGB, "PNG", icc_profile=WIDE)
    for name, data in {"1.jpg": turned(6), "2.png": wide, "3.png": file_of(RGBA, "PNG")}.items():
        (tmp_path / "in" / name).write_bytes(data)
    hashes = {}
    for options in ({}, {"upright": True}, {"srgb": True}):
        prepared = prepare(tmp_path / "in", tmp_path / "out", size=8, workers=1, **options)
        assert not prepared.reused
        hashes[prepared.sha256] = capsys.readouterr().err
    stored, upright, srgb = hashes.values()
    assert f"1 image was {NOT_TURNED}. Add --upright" in stored
    assert f"1 image was {PROFILE_NOT_APPLIED}. Add --srgb" in stored
    assert f"1 image was {COMPOSITED}." in stored
    assert f"1 image was {TURNED}." in upright and "converted from Wide Gamut\\u001b to sRGB" in srgb
