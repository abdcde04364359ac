"""CelebA's partition file."""

from __future__ import annotations

from pathlib import Path

import pytest

from facegen.data.partition import find_partition, read_partition, splits_of
from facegen.errors import InputError


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list_eval_partition.txt", "000001.jpg 0\n000002.jpg 1\n\n000003.jpg 2\n"),
        ("windows.txt", "\ufeff000001.jpg 0\r\n000002.jpg 1\r\n000003.jpg 2"),
        ("list_eval_partition.csv", "image_id,partition\n000001.jpg,0\n000002.jpg,1\n000003.jpg,2\n"),
    ],
)
def test_reads_celebas_and_kaggles_form(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_bytes(text.encode())
    partition = read_partition(tmp_path / name)
    assert partition == {"000001.jpg": "train", "000002.jpg": "valid", "000003.jpg": "test"}


def test_names_with_spaces(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("my face.jpg 1\n")
    assert read_partition(tmp_path / "list.txt") == {"my face.jpg": "valid"}


@pytest.mark.parametrize("line", ["000002.jpg", "000002.jpg 3", "000002.jpg train", "<html>"])
def test_another_line_is_told_with_its_number(tmp_path: Path, line: str) -> None:
    (tmp_path / "list.txt").write_text(f"000001.jpg 0\n{line}\n")
    with pytest.raises(InputError, match=r"Line 2 of the partition .*list\.txt"):
        read_partition(tmp_path / "list.txt")


@pytest.mark.parametrize(
    ("data", "words"), [(b"", "empty"), (b"\xff\xfe\x00\x01", "not a text file"), (None, "Cannot read")]
)
def test_what_is_no_partition_is_told(tmp_path: Path, data: bytes | None, words: str) -> None:
    path = tmp_path / "list.txt"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(InputError, match=words):
        read_partition(path)


def test_images_are_looked_up_by_file_name(tmp_path: Path) -> None:
    partition = {"1.jpg": "train", "2.jpg": "test"}
    assert splits_of(["a/2.jpg", "1.jpg"], partition, tmp_path) == ["test", "train"]


def test_unknown_images_are_counted_and_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"2 of 3 images .* a/7\.jpg"):
        splits_of(["1.jpg", "a/7.jpg", "8.jpg"], {"1.jpg": "train"}, tmp_path / "list.txt")


def test_is_found_beside_a_folder_or_an_archive_and_in_the_folder(tmp_path: Path) -> None:
    folder, archive = tmp_path / "img_align_celeba", tmp_path / "img_align_celeba.zip"
    folder.mkdir()
    assert find_partition(folder) is None
    beside = tmp_path / "list_eval_partition.txt"
    beside.write_text("1.jpg 0\n")
    assert find_partition(folder) == find_partition(archive) == beside
    inside = folder / "list_eval_partition.txt"
    inside.write_text("1.jpg 0\n")
    assert find_partition(folder) == inside
