"""HDF5 files of images: which of their datasets are, and what is said of the others."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from facegen.data import hdf5_chunks
from facegen.data.images import open_images
from facegen.data.opening import open_container
from facegen.errors import EnvironmentProblem, InputError

BYTES = np.random.default_rng(3).integers(0, 256, (5, 8, 6, 3), dtype=np.uint8)
Png = Callable[[int], bytes]


def write(path: Path, datasets: dict[str, Any]) -> Path:
    with h5py.File(path, "w") as file:
        for name, data in datasets.items():
            file.create_dataset(name, data=data)
    return path


def test_a_groups_datasets_are_named_in_natural_order(tmp_path: Path) -> None:
    path = write(tmp_path / "x.h5py", {f"img_align_celeba/{at}.jpg": BYTES[at % 5] for at in range(12)})
    images = open_images(path)
    assert list(images.names) == [f"img_align_celeba/{at}.jpg" for at in range(12)]
    np.testing.assert_array_equal([pixels for _, pixels in images], [BYTES[at % 5] for at in range(12)])


def test_images_of_a_group_may_differ_in_size(tmp_path: Path) -> None:
    path = write(tmp_path / "x.h5", {"1": BYTES[0], "2": BYTES[1, :4]})
    assert [pixels.shape for _, pixels in open_images(path)] == [(8, 6, 3), (4, 6, 3)]


@pytest.mark.parametrize("kind", ["vlen", "bytes", "opaque"])
def test_a_column_of_encoded_images(tmp_path: Path, png: Png, kind: str) -> None:
    files = [png(1), png(2)]
    with h5py.File(tmp_path / "x.h5", "w") as file:
        if kind == "vlen":
            column = file.create_dataset("x", (2,), h5py.vlen_dtype(np.uint8))
            for row, data in enumerate(files):
                column[row] = np.frombuffer(data, np.uint8)
        else:
            width = max(map(len, files))
            file["x"] = np.array(files, f"S{width}" if kind == "bytes" else f"V{width}")
        file["label"] = np.arange(2)
    container = open_container(tmp_path / "x.h5")
    assert [member.read().rstrip(b"\0") for member in container.members(container.names)] == files


def test_a_block_of_the_users_may_come_first(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.mat", "w", userblock_size=512) as file:
        file["images"] = BYTES
    np.testing.assert_array_equal([pixels for _, pixels in open_images(tmp_path / "x.mat")], BYTES)


@pytest.mark.parametrize(
    ("datasets", "words"),
    [
        ({}, "holds no array"),
        ({"x": BYTES / np.float32(255)}, r"x in .* is float32 \[5, 8, 6, 3\].*h5py\.File\('x\.h5'\)\['x'\]\[:\]"),
        ({"a/x": BYTES, "b/x": BYTES}, r"several arrays of images: a/x uint8"),
        ({"labels": np.arange(5), "z": np.zeros((5, 2))}, r"no array of images.*labels int64 \[5\], z float64"),
        ({"one": BYTES[0]}, "that is one image"),
    ],
)
def test_what_is_no_image_is_told_in_words(tmp_path: Path, datasets: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        open_container(write(tmp_path / "x.h5", datasets))


def external_link(file: Any, other: Path) -> None:
    file["images"] = h5py.ExternalLink(str(other), "/images")


def external_storage(file: Any, other: Path) -> None:
    file.create_dataset("images", BYTES.shape, np.uint8, external=[(str(other), 0, BYTES.nbytes)])


def virtual(file: Any, other: Path) -> None:
    layout = h5py.VirtualLayout(BYTES.shape, np.uint8)
    layout[:] = h5py.VirtualSource(str(other), "images", BYTES.shape)
    file.create_virtual_dataset("images", layout)


@pytest.mark.parametrize("refer", [external_link, external_storage, virtual])
def test_another_file_of_the_machine_is_not_opened(
    tmp_path: Path, refer: Callable[[Any, Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    other = write(tmp_path / "secret.h5", {"images": BYTES})
    with h5py.File(tmp_path / "x.h5", "w") as file:
        refer(file, other)
    with pytest.raises(InputError, match=r"x\.h5 refers to other files, which facegen does not open: .*secret\.h5"):
        open_container(tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5", "a") as file:
        file["own"] = BYTES[:2]
    assert len(open_container(tmp_path / "x.h5").names) == 2
    assert "refers to other files, which facegen does not open: images" in capsys.readouterr().err


@pytest.mark.parametrize("keep", [100, 1000, -2000])
def test_a_file_cut_short_is_told(tmp_path: Path, keep: int) -> None:
    path = write(tmp_path / "x.h5", {"images": np.zeros((50, 8, 6, 3), np.uint8)})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"x\.h5 is a truncated or damaged HDF5 file"):
        list(open_images(path))


def test_without_h5py_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "x.h5", {"images": BYTES})
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(EnvironmentProblem, match=r"x\.h5 needs h5py\. .*pip install 'facegen\[hdf5\]'"):
        open_container(path)


def test_each_chunk_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("images", data=BYTES, chunks=(2, 8, 6, 3), compression="gzip")
    images = open_images(tmp_path / "x.h5")
    asked = []
    get = h5py.Dataset.__getitem__

    def count(dataset: h5py.Dataset, rows: Any) -> Any:
        asked.append(rows)
        return get(dataset, rows)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", count)
    assert len(list(images)) == 5
    assert asked == [slice(0, 2), slice(2, 4), slice(4, 6)]


def test_a_heap_whose_objects_lead_nowhere_is_damaged_and_not_gone_round_for_ever(tmp_path: Path, png: Png) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        column = file.create_dataset("x", (1,), h5py.vlen_dtype(np.uint8))
        column[0] = np.frombuffer(png(1), np.uint8)
    whole = path.read_bytes()
    first = whole.index(b"GCOL") + 16
    length = int.from_bytes(whole[first + 8 : first + 16], "little")
    free = first + 16 + -(-length // 8) * 8  # the free space follows the one object
    assert whole[free : free + 2] == b"\0\0"
    path.write_bytes(whole[: free + 8] + bytes(8) + whole[free + 16 :])
    with pytest.raises(InputError, match="damaged HDF5 file: the heap of"):
        open_container(path)


def packed(path: Path, chunk: bytes, **options: Any) -> Path:
    """Four images in one chunk that is packed as it is given."""
    with h5py.File(path, "w") as file:
        images = file.create_dataset("images", (4, 8, 6, 3), np.uint8, chunks=(4, 8, 6, 3), **options)
        images.id.write_direct_chunk((0, 0, 0, 0), chunk)
    return path


def test_a_chunk_of_more_bytes_than_its_shape_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_chunks, "LARGEST_IMAGE", 1 << 20)  # quicker than the real one
    path = packed(tmp_path / "x.h5", zlib.compress(bytes(2 << 20)), compression="gzip")
    with pytest.raises(InputError, match=r"A chunk of /images in .* has more bytes than its shape \[4, 8, 6, 3\]"):
        open_container(path)


def test_a_chunk_of_its_own_length_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_chunks, "LARGEST_IMAGE", 1)  # so that each is compared
    path = packed(tmp_path / "x.h5", zlib.compress(BYTES[:4].tobytes()), compression="gzip", fletcher32=False)
    np.testing.assert_array_equal([pixels for _, pixels in open_images(path)], BYTES[:4])


def test_a_chunk_that_is_packed_twice_is_refused(tmp_path: Path) -> None:
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((4, 8, 6, 3))
    properties.set_deflate(1)
    properties.set_shuffle()
    with h5py.File(tmp_path / "x.h5", "w") as file:
        space = h5py.h5s.create_simple((4, 8, 6, 3))
        h5py.h5d.create(file.id, b"images", h5py.h5t.NATIVE_UINT8, space, properties)
    with pytest.raises(InputError, match="packed by deflate and then packed again"):
        open_container(tmp_path / "x.h5")


def test_groups_are_no_deeper_than_anybody_makes_them(tmp_path: Path) -> None:
    path = write(tmp_path / "x.h5", {"g/" * 70 + "images": BYTES})
    with pytest.raises(InputError, match="nests groups more than 64 deep"):
        open_container(path)


def test_a_name_that_is_no_text_is_told(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset(b"\xfaces", data=BYTES)
    with pytest.raises(InputError, match=r"x\.h5 has a name that is not UTF-8"):
        open_container(tmp_path / "x.h5")
