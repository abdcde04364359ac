"""The dataset format: what is written is read back, whole or not at all."""

from __future__ import annotations

import csv
import errno
import json
from pathlib import Path

import numpy as np
import pytest

from facegen.data.dataset import FaceDataset, is_dataset, new_dataset
from facegen.errors import InputError

PIXELS = np.random.default_rng(3).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
NAMES = [f"{at}, with a comma.jpg" for at in range(5)]
SPLITS = ["train", "valid", "train", "test", "valid"]


def write(path: Path, pieces: tuple[int, ...] = (5,)) -> FaceDataset:
    with new_dataset(path, 8) as writer:
        at = 0
        for count in pieces:
            writer.append(PIXELS[at : at + count], NAMES[at : at + count], SPLITS[at : at + count])
            at += count
        writer.finish({"skipped": []})
    return FaceDataset.open(path)


def test_round_trip(tmp_path: Path) -> None:
    dataset = write(tmp_path / "faces")
    np.testing.assert_array_equal(dataset.images, PIXELS)
    assert (list(dataset.names), list(dataset.splits)) == (NAMES, SPLITS)
    assert (len(dataset), dataset.size) == (5, 8)
    assert dataset.manifest["splits"] == {"train": 2, "valid": 2, "test": 1}


def test_names_that_cannot_be_seen_are_spelt_out_and_end_no_row(tmp_path: Path) -> None:
    names = ["Icon\r", "a\nb.png", 'a\r\nb,".png', "\u202e\x1b.png", "김철수 é.png"]
    with new_dataset(tmp_path / "faces", 8) as writer:
        writer.append(PIXELS, names, SPLITS)
        writer.finish({"skipped": []})
    seen = ("Icon\\u000d", "a\\u000ab.png", 'a\\u000d\\u000ab,".png', "\\u202e\\u001b.png", "김철수 é.png")
    assert FaceDataset.open(tmp_path / "faces").names == seen


def test_files_are_plain_npy_csv_and_json(tmp_path: Path) -> None:
    write(tmp_path / "faces")
    np.testing.assert_array_equal(np.load(tmp_path / "faces" / "images.npy", allow_pickle=False), PIXELS)
    with (tmp_path / "faces" / "index.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["name", "split"], *map(list, zip(NAMES, SPLITS, strict=True))]
    assert json.loads((tmp_path / "faces" / "manifest.json").read_text(encoding="utf-8"))["images"] == 5


def test_images_are_memory_mapped(tmp_path: Path) -> None:
    assert isinstance(write(tmp_path / "faces").images, np.memmap)


def test_bytes_do_not_depend_on_how_they_were_appended(tmp_path: Path) -> None:
    write(tmp_path / "one", (5,))
    write(tmp_path / "many", (1, 3, 1))
    for name in ("images.npy", "index.csv", "manifest.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "many" / name).read_bytes()


@pytest.mark.parametrize("what", ["pixels", "names", "splits"])
def test_sha256_tells_another_content(tmp_path: Path, what: str) -> None:
    before = write(tmp_path / "faces").sha256
    pixels, names, splits = PIXELS.copy(), list(NAMES), list(SPLITS)
    if what == "pixels":
        pixels[0, 0, 0, 0] ^= 1
    elif what == "names":
        names[0] = "other.jpg"
    else:
        splits[0] = "valid"
    with new_dataset(tmp_path / "other", 8) as writer:
        writer.append(pixels, names, splits)
        writer.finish({})
    assert FaceDataset.open(tmp_path / "other").sha256 != before


def test_rows_of_a_split(tmp_path: Path) -> None:
    dataset = write(tmp_path / "faces")
    assert dataset.rows("valid").tolist() == [1, 4]
    assert dataset.training_rows().tolist() == [0, 2]


def test_without_a_train_split_every_row_trains(tmp_path: Path) -> None:
    with new_dataset(tmp_path / "faces", 8) as writer:
        writer.append(PIXELS, NAMES, ["test"] * 5)
        writer.finish({})
    assert FaceDataset.open(tmp_path / "faces").training_rows().tolist() == [0, 1, 2, 3, 4]


def test_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), new_dataset(tmp_path / "faces", 8) as writer:
        writer.append(PIXELS, NAMES, SPLITS)
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_failure_keeps_the_dataset_that_was_there(tmp_path: Path) -> None:
    before = write(tmp_path / "faces").sha256
    with pytest.raises(RuntimeError), new_dataset(tmp_path / "faces", 8):
        raise RuntimeError
    assert FaceDataset.open(tmp_path / "faces").sha256 == before


@pytest.mark.parametrize("beside_a_dataset", [False, True])
def test_what_is_not_a_dataset_is_not_replaced(tmp_path: Path, beside_a_dataset: bool) -> None:
    if beside_a_dataset:
        write(tmp_path / "faces")
    (tmp_path / "faces").mkdir(exist_ok=True)
    (tmp_path / "faces" / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"thesis\.tex"), new_dataset(tmp_path / "faces", 8):
        pass
    assert (tmp_path / "faces" / "thesis.tex").read_text() == "years of work"


def test_a_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "faces").write_text("mine")
    with pytest.raises(InputError, match="faces exists"), new_dataset(tmp_path / "faces", 8):
        pass


def test_unequal_lengths_are_a_programming_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected"), new_dataset(tmp_path / "faces", 8) as writer:
        writer.append(PIXELS, NAMES[:4], SPLITS[:4])


def damage_index(folder: Path) -> None:
    (folder / "index.csv").write_text("name,split\na.jpg,train\n")


def damage_images(folder: Path) -> None:
    whole = (folder / "images.npy").read_bytes()
    (folder / "images.npy").write_bytes(whole[: len(whole) // 2])


def empty_images(folder: Path) -> None:
    (folder / "images.npy").write_bytes(b"")


def damage_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text("{")


def replace_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text("[1, 2]")


def age_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"schema": 0}')


@pytest.mark.parametrize(
    "damage", [damage_index, damage_images, empty_images, damage_manifest, replace_manifest, age_manifest]
)
def test_damage_is_an_input_error_with_a_remedy(tmp_path: Path, damage: object) -> None:
    write(tmp_path / "faces")
    damage(tmp_path / "faces")  # type: ignore[operator]
    with pytest.raises(InputError, match="Prepare it again"):
        FaceDataset.open(tmp_path / "faces")


def test_no_dataset_says_how_to_make_one(tmp_path: Path) -> None:
    assert not is_dataset(tmp_path)
    with pytest.raises(InputError, match=rf"facegen prepare {tmp_path} DATASET"):
        FaceDataset.open(tmp_path)
    with pytest.raises(InputError, match=r"it does not exist\. Make one with: facegen prepare SOURCE"):
        FaceDataset.open(tmp_path / "none")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\3\4" + bytes(40), "is a zip archive, not .* facegen prepare .*faces.zip DATASET"),
        (b"<!DOCTYPE html>", "is an HTML page, not .* download again"),
    ],
)
def test_a_file_in_place_of_a_dataset_is_called_what_it_is(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "faces.zip").write_bytes(content)
    with pytest.raises(InputError, match=words):
        FaceDataset.open(tmp_path / "faces.zip")


def test_too_many_open_files_are_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "faces")

    def refused(path: Path, most: int) -> bytes:
        raise OSError(errno.EMFILE, "Too many open files", str(path))

    monkeypatch.setattr("facegen.data.dataset.read_regular", refused)
    with pytest.raises(OSError, match="Too many open files"):
        FaceDataset.open(tmp_path / "faces")
