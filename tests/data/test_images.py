"""Images from any of a command's arguments, at their native size."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facegen.data.dataset import new_dataset
from facegen.data.images import open_images
from facegen.data.origin import Origin, png_info
from facegen.errors import InputError

Store = Callable[..., Path]
Png = Callable[[int], bytes]


@pytest.mark.parametrize(
    ("form", "kind"), [("faces", "folder"), ("faces.zip", "zip"), ("faces.tar", "tar"), ("faces.tar.gz", "tar")]
)
def test_yields_names_and_rgb_arrays(store: Store, png: Png, form: str, kind: str) -> None:
    files = {f"{at}.png": png(at) for at in (1, 2, 10)}
    images = open_images(store(form, files))
    assert (images.kind, len(images)) == (kind, 3)
    for (name, pixels), (expected_name, data) in zip(images, files.items(), strict=True):
        assert name == expected_name
        assert (pixels.shape, pixels.dtype) == ((12, 10, 3), np.uint8)
        np.testing.assert_array_equal(pixels, np.asarray(Image.open(io.BytesIO(data))))


def test_yields_a_datasets_images(tmp_path: Path) -> None:
    pixels = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    with new_dataset(tmp_path / "faces", 4) as writer:
        writer.append(pixels, ["1", "2"], ["train", "valid"])
        sha256 = writer.finish({})["sha256"]
    images = open_images(tmp_path / "faces")
    assert (images.kind, len(images), images.sha256) == ("dataset", 2, sha256)
    assert [name for name, _ in images] == ["1", "2"]
    np.testing.assert_array_equal(np.stack([image for _, image in images]), pixels)


@pytest.mark.parametrize("form", ["faces", "faces.zip", "faces.tar.gz"])
def test_pictures_say_where_they_come_from(store: Store, png: Png, form: str) -> None:
    file = io.BytesIO()
    Image.open(io.BytesIO(png(1))).save(file, "PNG", pnginfo=png_info(Origin("truncation 0.8", "effnet-lite0")))
    images = open_images(store(form, {"1.png": file.getvalue(), "2.png": png(1)}))
    told, plain = images.pictures()
    assert (told.origin, plain.origin) == (Origin("truncation 0.8", "effnet-lite0"), Origin())
    np.testing.assert_array_equal(told.pixels, plain.pixels)


def test_can_be_gone_through_twice(store: Store, png: Png) -> None:
    images = open_images(store("faces.tar.gz", {"1.png": png(1)}))
    assert [name for name, _ in images] == [name for name, _ in images] == ["1.png"]


@pytest.mark.parametrize("form", ["faces", "faces.zip", "faces.tar.gz"])
def test_an_unreadable_image_is_an_error_that_names_it(store: Store, png: Png, form: str) -> None:
    images = open_images(store(form, {"1.png": png(1), "2.png": png(2)[:60]}))
    with pytest.raises(InputError, match=r"2\.png in .*faces"):
        list(images)


def test_an_archives_sha256_is_the_files(store: Store, png: Png) -> None:
    path = store("faces.zip", {"1.png": png(1)})
    assert open_images(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_folders_sha256_is_of_names_and_bytes_alone(store: Store, png: Png) -> None:
    files = {"1.png": png(1), "b/2.png": png(2)}
    first = open_images(store("one", files)).sha256
    assert open_images(store("two", {**files, "notes.txt": b"x"})).sha256 == first
    assert open_images(store("three", {"1.png": png(1), "b/3.png": png(2)})).sha256 != first
    assert open_images(store("four", {"1.png": png(1), "b/2.png": png(3)})).sha256 != first


def test_an_empty_dataset_is_told(tmp_path: Path) -> None:
    with new_dataset(tmp_path / "faces", 4) as writer:
        writer.finish({})
    with pytest.raises(InputError, match="holds no image"):
        open_images(tmp_path / "faces")


@pytest.mark.parametrize("form", ["faces", "faces.zip", "faces.tar.gz"])
def test_some_rows_are_a_collection_too(store: Store, png: Png, form: str) -> None:
    whole = open_images(store(form, {f"{at}.png": png(at) for at in range(6)}))
    some = whole.take([1, 3, 4]).take([0, 2])
    assert (len(some), [name for name, _ in some], list(some.names)) == (2, ["1.png", "4.png"], ["1.png", "4.png"])
    assert some.sha256 == whole.take([1, 4]).sha256
    assert len({whole.sha256, some.sha256, whole.take([1, 3]).sha256}) == 3


def test_a_datasets_splits_go_with_its_rows(tmp_path: Path) -> None:
    pixels = np.arange(3 * 4 * 4 * 3, dtype=np.uint8).reshape(3, 4, 4, 3)
    with new_dataset(tmp_path / "faces", 4) as writer:
        writer.append(pixels, ["1", "2", "3"], ["train", "valid", "test"])
        writer.finish({})
    images = open_images(tmp_path / "faces")
    rest = images.take(np.flatnonzero(images.splits != "train"))
    assert list(rest.splits) == ["valid", "test"]
    np.testing.assert_array_equal(np.stack([image for _, image in rest]), pixels[1:])


@pytest.mark.parametrize("rows", [[1, 0], [0, 0], [0, 3], [-1, 0]])
def test_rows_that_do_not_rise_are_refused(store: Store, png: Png, rows: list[int]) -> None:
    with pytest.raises(ValueError, match="must rise"):
        open_images(store("faces", {f"{at}.png": png(at) for at in range(3)})).take(rows)
