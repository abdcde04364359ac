"""Parquet tables of encoded images, as Hugging Face keeps CelebA."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from facegen.data.decode import Unreadable
from facegen.data.opening import open_container
from facegen.data.selection import select
from facegen.data.sources import open_source
from facegen.errors import EnvironmentProblem, InputError

Png = Callable[[int], bytes]
Read = dict[str, bytes]


def write(path: Path, images: Sequence[Any], **options: Any) -> Path:
    """A table whose column ``image`` is these bytes, or these structs of bytes and path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"image": pa.array(images)}), path, **options)
    return path


def rows(png: Png, named: Mapping[str | None, int]) -> list[dict[str, Any]]:
    return [{"bytes": png(seed), "path": name} for name, seed in named.items()]


def read(path: Path) -> Read:
    container = open_container(path)
    return {member.name: member.read() for member in container.members(container.names)}


def test_a_column_of_bytes_is_called_by_its_rows(tmp_path: Path, png: Png) -> None:
    assert read(write(tmp_path / "x.parquet", [png(1), png(2)])) == {"00000000": png(1), "00000001": png(2)}


@pytest.mark.parametrize("paths", [["1.jpg", "1.jpg", "2.jpg"], [None, "1.jpg", "2.jpg"], ["", "1.jpg", "2.jpg"]])
def test_paths_that_do_not_name_every_image_are_left_aside(tmp_path: Path, png: Png, paths: list[str | None]) -> None:
    images = [{"bytes": png(at), "path": name} for at, name in enumerate(paths)]
    assert read(write(tmp_path / "x.parquet", images)) == {f"{at:08d}": png(at) for at in range(3)}


@pytest.mark.parametrize("group", [1, 3, 100])
def test_rows_out_of_order_are_brought_in_order(tmp_path: Path, png: Png, group: int) -> None:
    named: dict[str | None, int] = {f"{at * 7 % 20}.png": at * 7 % 20 for at in range(20)}
    path = write(tmp_path / "x.parquet", rows(png, named), row_group_size=group)
    assert list(read(path).items()) == [(f"{at}.png", png(at)) for at in range(20)]


def test_a_dictionary_cannot_stand_for_any_number_of_images(tmp_path: Path, png: Png) -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 20_000, pa.int32()), pa.array([png(1)], pa.binary()))
    pq.write_table(pa.table({"image": column}), tmp_path / "x.parquet", store_schema=False)
    with pytest.raises(InputError, match="claims to hold 20,000 images"):
        open_container(tmp_path / "x.parquet")


def test_shards_are_one_source_and_tell_the_splits(tmp_path: Path, png: Png) -> None:
    for at, (shard, number) in enumerate({"train": 0, "train ": 1, "validation": 0, "test": 0}.items()):
        name = f"{shard.strip()}-{number:05d}-of-0000{2 if 'train' in shard else 1}.parquet"
        write(tmp_path / "data" / name, rows(png, {f"{at:06d}.jpg": at}))
    selection = select(open_source(tmp_path), None, "all", None)
    expected = ["train", "train", "valid", "test"]
    assert selection.splits == {f"{at:06d}.jpg": split for at, split in enumerate(expected)}
    assert select(open_source(tmp_path), None, "valid", None).names == ["000002.jpg"]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train-00000-of-00001-a09b74b3ef9c3b56.parquet", "train"),
        ("celeba_validation.parquet", "valid"),
        ("test/0000.parquet", "test"),
        ("partial-train/0001.parquet", "train"),
        ("0000.parquet", None),
        ("train_test.parquet", None),
        ("contest.parquet", None),
    ],
)
def test_a_split_is_a_word_of_the_name(tmp_path: Path, png: Png, name: str, split: str | None) -> None:
    write(tmp_path / "faces" / name, [png(1)])
    splits = open_container(tmp_path / "faces").splits  # type: ignore[attr-defined]
    assert splits == (None if split is None else {"00000000": split})


def test_shards_that_are_missing_are_said(tmp_path: Path, png: Png) -> None:
    for at in (0, 1, 3):
        write(tmp_path / f"train-{at:05d}-of-00005.parquet", [png(at)])
    container = open_container(tmp_path)
    (said,) = container.passed_over.incomplete
    assert len(container.names) == 3
    assert "Only 3 of the 5 shards of train are read: train-00002-of-00005 is missing" in said
    (said,) = open_container(tmp_path / "train-00001-of-00005.parquet").passed_over.incomplete
    assert "train-00000-of-00005 lies beside it, and 3 more" in said


def test_a_row_without_bytes_is_unreadable_and_its_neighbour_is_not(tmp_path: Path, png: Png) -> None:
    images = [{"bytes": png(1), "path": "1.png"}, {"bytes": None, "path": "2.png"}, None]
    container = open_container(write(tmp_path / "x.parquet", [*images, {"bytes": png(4), "path": "4.png"}]))
    first, second, third, fourth = container.members(container.names)
    assert (first.read(), fourth.read()) == (png(1), png(4))
    for member in (second, third):
        with pytest.raises(Unreadable, match="no bytes"):
            member.read()


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"photo": [b"1"], "mask": [b"2"]}, "several columns that may be images: photo, mask"),
        ({"pixels": [[1, 2]], "label": [1]}, r"no column of encoded images.*pixels \(list.*label \(int64\)"),
        ({"image": pa.array([], pa.binary())}, "has no rows"),
    ],
)
def test_a_table_without_one_column_of_images_is_told(tmp_path: Path, columns: dict[str, Any], words: str) -> None:
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    with pytest.raises(InputError, match=words):
        open_container(tmp_path / "x.parquet")


def test_the_column_called_image_is_taken_of_several(tmp_path: Path, png: Png, capsys: Any) -> None:
    pq.write_table(pa.table({"mask": [png(1)], "image": [png(2)]}), tmp_path / "x.parquet")
    assert read(tmp_path / "x.parquet") == {"00000000": png(2)}
    assert "column image" in capsys.readouterr().err


def test_a_shard_that_is_something_else_is_called_what_it_is(tmp_path: Path, png: Png) -> None:
    write(tmp_path / "faces/train-00000-of-00002.parquet", [png(1)])
    (tmp_path / "faces/train-00001-of-00002.parquet").write_text("<!DOCTYPE html>")
    with pytest.raises(
        InputError, match=r"00001-of-00002\.parquet is an HTML page, not a parquet file.*download again"
    ):
        open_container(tmp_path / "faces")


def test_the_checksums_of_pages_are_compared(tmp_path: Path) -> None:
    options = {"use_dictionary": False, "compression": "none", "write_statistics": False}
    path = write(tmp_path / "x.parquet", [b"GIF89a" + bytes(500)], write_page_checksum=True, **options)
    path.write_bytes(path.read_bytes().replace(b"GIF89a", b"GIF87a"))
    with pytest.raises(InputError, match=r"truncated or damaged parquet file.*CRC"):
        read(path)


@pytest.mark.parametrize("keep", [8, 300, -20])
def test_a_file_cut_short_is_told(tmp_path: Path, png: Png, keep: int) -> None:
    path = write(tmp_path / "x.parquet", [png(1)])
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"x\.parquet is a truncated or damaged parquet file"):
        open_container(path)


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, png: Png, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "x.parquet", [png(1)])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(EnvironmentProblem, match=r"x\.parquet needs pyarrow\. .*pip install 'facegen\[parquet\]'"):
        open_container(path)


@pytest.mark.parametrize("name", ["data-00000-of-00001.arrow", "dataset_dict.json"])
def test_a_folder_of_arrow_files_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\xff\xff\xff\xff")
    with pytest.raises(InputError, match=r"save_to_disk.*to_parquet"):
        open_container(tmp_path)


def test_one_row_group_is_not_read_whole(tmp_path: Path) -> None:
    """400 rows of 50 kB in one row group, 20 MB: never more than a few are there."""
    images = [bytes([at % 256]) * 50_000 for at in range(400)]
    pages = {"write_batch_size": 4, "data_page_size": 200_000}
    path = write(tmp_path / "x.parquet", images, use_dictionary=False, compression="none", **pages)
    container = open_container(path)
    base, most = pa.total_allocated_bytes(), 0
    for _ in container.members(container.names):
        most = max(most, pa.total_allocated_bytes() - base)
    assert most < 8e6


def test_a_name_that_is_no_text_is_damage(tmp_path: Path, png: Png) -> None:
    offsets = pa.array([0, 1], pa.int32()).buffers()[1]
    paths = pa.StringArray.from_buffers(1, offsets, pa.py_buffer(b"\xff"))
    images = pa.StructArray.from_arrays([pa.array([png(1)]), paths], ["bytes", "path"])
    pq.write_table(pa.table({"image": images}), tmp_path / "x.parquet")
    with pytest.raises(InputError, match=r"x\.parquet is a truncated or damaged parquet file: 'utf-?8' codec"):
        open_container(tmp_path / "x.parquet")
