"""NumPy's files as images: which arrays are, which are not, and what is said of those."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facegen.data.images import open_images
from facegen.data.opening import open_container
from facegen.data.places import Window
from facegen.errors import InputError

BYTES = np.random.default_rng(3).integers(0, 256, (5, 8, 6, 3), dtype=np.uint8)
UNIT = BYTES / np.float32(255)


def store(path: Path, arrays: Any) -> Path:
    """An ``.npy`` of an array, or an ``.npz`` of a dictionary of them."""
    if isinstance(arrays, dict):
        np.savez(path.with_suffix(".npz"), **arrays)
        return path.with_suffix(".npz")
    np.save(path.with_suffix(".npy"), arrays)
    return path.with_suffix(".npy")


@pytest.mark.parametrize("shape", [(5, 8, 6), (5, 8, 6, 1), (5, 1, 8, 6)])
def test_grey_becomes_rgb_and_is_said(tmp_path: Path, shape: tuple[int, ...], capsys: Any) -> None:
    grey = BYTES[..., 0].reshape(shape)
    images = [pixels for _, pixels in open_images(store(tmp_path / "x", grey))]
    np.testing.assert_array_equal(np.stack(images), np.repeat(BYTES[..., :1], 3, axis=3))
    assert "the images are grey" in capsys.readouterr().err


def test_channels_first_are_said(tmp_path: Path, capsys: Any) -> None:
    open_container(store(tmp_path / "x", BYTES.transpose(0, 3, 1, 2).copy()))
    assert "the channels come first" in capsys.readouterr().err


def test_a_fourth_channel_goes_the_way_of_a_png_with_transparency(tmp_path: Path) -> None:
    alpha = np.concatenate([BYTES, BYTES[..., :1]], axis=3)
    (tmp_path / "folder").mkdir()
    for row, pixels in enumerate(alpha):
        Image.fromarray(pixels).save(tmp_path / "folder" / f"{row}.png")
    of_array, of_files = open_images(store(tmp_path / "x", alpha)), open_images(tmp_path / "folder")
    np.testing.assert_array_equal([pixels for _, pixels in of_array], [pixels for _, pixels in of_files])


NOT_IMAGES = {
    "0 to 1": (UNIT, r"float32 \[5, 8, 6, 3\].*\(x \* 255\)\.round\(\)"),
    "-1 to 1": (UNIT * 2 - 1, r"\(\(x \+ 1\) \* 127\.5\)\.round\(\)"),
    "0 to 255 as float": (BYTES.astype(np.float64), r"\(x\)\.round\(\)"),
    "0 to 255 as int": ({"arr_0": BYTES.astype(np.int64)}, r"np\.load\('x\.npz'\)\['arr_0'\]"),
    "normalised by ImageNet's means": ((UNIT - 0.45) / 0.225, r"Scale (them|its values) to 0 to 255"),
    "not finite": (UNIT * np.float32(np.nan), r"Scale (them|its values) to 0 to 255"),
    "features": (np.zeros((5, 2048), np.float32), r"float32 \[5, 2048\]"),
    "one image": (BYTES[0], r"that is one image"),
    "one image, channels first": (BYTES[0].transpose(2, 0, 1), r"3 grey images, or the channels of one"),
    "two ways": (np.zeros((5, 3, 8, 3), np.uint8), r"either its second or its last axis"),
    "none": (BYTES[:0], r"holds no image"),
    "Fortran order": (np.asfortranarray(BYTES), r"Fortran order"),
    "several": ({"a": BYTES, "b": BYTES}, r"several arrays of images: a uint8 \[5, 8, 6, 3\], b uint8"),
    "statistics": ({"mu": np.zeros(4), "sigma": np.eye(4)}, r"holds statistics \(mu and sigma\)"),
    "labels": ({"labels": np.arange(5), "ids": np.arange(5)}, r"no array of images.*labels int64 \[5\]"),
}


@pytest.mark.parametrize("case", NOT_IMAGES)
def test_what_is_no_image_is_told_in_words(tmp_path: Path, case: str) -> None:
    arrays, words = NOT_IMAGES[case]
    with pytest.raises(InputError, match=words):
        open_container(store(tmp_path / "x", arrays))


@pytest.mark.parametrize(("case", "tolerance"), [("0 to 1", 0), ("-1 to 1", 0), ("0 to 255 as int", 0)])
def test_the_line_of_python_that_is_told_gives_the_images(
    tmp_path: Path, case: str, tolerance: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = store(tmp_path / "x", NOT_IMAGES[case][0])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as told:
        open_container(path)
    exec(str(told.value.remedy).split("In Python: ")[1], {"np": np})
    images = [pixels for _, pixels in open_images(tmp_path / "x-uint8.npy")]
    np.testing.assert_allclose(np.stack(images), BYTES, atol=tolerance)


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("the pickle was loaded",))


@pytest.mark.parametrize("form", ["npy", "npz"])
def test_objects_are_never_loaded(tmp_path: Path, form: str) -> None:
    objects = np.array([Malicious()] * 5, dtype=object)
    path = store(tmp_path / "x", objects if form == "npy" else {"arr_0": objects})
    with pytest.raises(InputError, match="Python objects"):
        open_container(path)


def cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-200])
    return path


def spoilt(path: Path) -> Path:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)
    return path


def compressed(path: Path) -> Path:
    np.savez_compressed(path.with_suffix(".npz"), arr_0=BYTES)
    return path.with_suffix(".npz")


def lying(path: Path) -> Path:
    """An array in a zip that is shorter than its header says."""
    file = io.BytesIO()
    np.save(file, BYTES)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("arr_0.npy", file.getvalue()[:-200])
    return path


def several(path: Path) -> Path:
    """What np.save makes of one open file, and np.load reads the first of."""
    with path.open("wb") as file:
        np.save(file, BYTES[:2])
        np.save(file, BYTES[2:])
    return path


DAMAGED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "npy, cut": (lambda path: cut(store(path, BYTES)), "cut short: it has 3 of its 5 images"),
    "npy, no header": (lambda path: cut(cut(cut(cut(cut(store(path, BYTES[:1])))))), "damaged|cut short|empty file"),
    "npy, several": (several, r"has \d+ bytes behind its array uint8 \[2, 8, 6, 3\].*np.concatenate"),
    "npz, cut": (lambda path: cut(store(path, {"a": BYTES})), "truncated or damaged"),
    "npz, a bit": (lambda path: spoilt(store(path, {"a": BYTES})), "CRC-32"),
    "npz, compressed, a bit": (lambda path: spoilt(compressed(path)), "damaged"),
    "npz, short inside": (lying, "cut short"),
}


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_the_format_is_read(tmp_path: Path, version: tuple[int, int]) -> None:
    with (tmp_path / "x.npy").open("wb") as file:
        np.lib.format.write_array(file, BYTES, version=version)
    np.testing.assert_array_equal([pixels for _, pixels in open_images(tmp_path / "x.npy")], BYTES)


def test_a_part_of_a_compressed_array_is_compared_with_its_checksum_too(tmp_path: Path) -> None:
    path = compressed(tmp_path / "x")
    entry = zipfile.ZipFile(path).infolist()[0]
    data = bytearray(path.read_bytes())
    for at in range(14, 18), range(data.rfind(b"PK\1\2") + 16, data.rfind(b"PK\1\2") + 20):
        data[at.start : at.stop] = (entry.CRC ^ 1).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(InputError, match="CRC-32"):
        list((container := open_container(path)).members(container.names[:1]))


@pytest.mark.parametrize("case", DAMAGED)
def test_damage_is_told(tmp_path: Path, case: str) -> None:
    damage, words = DAMAGED[case]
    with pytest.raises(InputError, match=words):
        list(open_images(damage(tmp_path / "x")))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_memory_does_not_grow_with_the_array(tmp_path: Path, save: Callable[..., None]) -> None:
    """200 images of 48 kB, 9.8 MB in all, of which never more than a few are there."""
    import tracemalloc

    save(tmp_path / "x.npz", np.zeros((200, 128, 128, 3), np.uint8))
    images = open_images(tmp_path / "x.npz")
    tracemalloc.start()
    try:
        assert sum(1 for _ in images) == 200
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def test_a_stored_array_is_not_copied(tmp_path: Path) -> None:
    container = open_container(store(tmp_path / "x", {"arr_0": BYTES}))
    (member,) = container.members(container.names[2:3])
    place = member.file  # type: ignore[attr-defined]
    assert isinstance(place, Window) and place.path == tmp_path / "x.npz"
