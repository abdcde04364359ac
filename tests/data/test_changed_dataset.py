"""A dataset whose files are not those that were prepared is an error that says which; the same content never is."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facegen.data import dataset as format
from facegen.data.dataset import FaceDataset, new_dataset
from facegen.data.images import open_images
from facegen.errors import InputError
from facegen.files import fields_sha256

PIXELS = np.random.default_rng(3).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
NAMES = tuple(f"{at}2, with a comma.jpg" for at in range(6))
SPLITS = ("train", "valid", "train", "test", "valid", "train")
FILES = ("images.npy", "index.csv", "manifest.json")


def write(path: Path, pixels: np.ndarray = PIXELS, splits: tuple[str, ...] = SPLITS) -> Path:
    with new_dataset(path, 8) as writer:
        writer.append(pixels, NAMES, splits)
        writer.finish({"skipped": [], "crop": None})
    return path


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    return write(tmp_path / "faces")


def edit_bytes(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes())) and None


def edit_manifest(**changes: object) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        (folder / "manifest.json").write_text(json.dumps({**manifest, **changes}), encoding="utf-8")

    return edit


def lose_a_hash(folder: Path) -> None:
    fields = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    del fields["index_sha256"], fields["manifest_sha256"]
    (folder / "manifest.json").write_text(json.dumps({**fields, "manifest_sha256": fields_sha256(fields)}))
    sorted_index = sorted_rows((folder / "index.csv").read_bytes())
    (folder / "index.csv").write_bytes(sorted_index)


def save_images(pixels: np.ndarray) -> Callable[[Path], None]:
    return lambda folder: np.save(folder / "images.npy", pixels)


def sorted_rows(data: bytes) -> bytes:
    head, *rows = data.splitlines(keepends=True)
    return head + b"".join(sorted(rows, reverse=True))


def swap(*names: str) -> Callable[[Path], None]:
    """These files are those of another dataset of as many images, as large files."""

    def swapped(folder: Path) -> None:
        other = write(folder.with_name("other"), 255 - PIXELS, SPLITS[::-1])
        for name in names:
            shutil.copy(other / name, folder / name)

    return swapped


#: What was done to the files, and what is said of it.
CHANGES = {
    "every pixel inverted": (save_images(255 - PIXELS), "changed .*: images.npy holds other pixels"),
    "one bit of a pixel": (edit_bytes("images.npy", lambda data: data[:-1] + bytes([data[-1] ^ 1])), "other pixels"),
    "two images exchanged": (save_images(PIXELS[[1, 0, 2, 3, 4, 5]]), "images.npy holds other pixels"),
    "another shape": (save_images(PIXELS.reshape(3, 16, 8, 3)), "damaged: images.npy holds uint8 [3, 16, 8, 3], not"),
    "fewer images": (save_images(PIXELS[:5]), "but index.csv has 6 rows"),
    "another type": (save_images(PIXELS.astype(np.int16)), "images.npy holds int16"),
    "Fortran's order": (save_images(np.asfortranarray(PIXELS)), "images.npy is stored in Fortran order"),
    "bytes beyond the array": (edit_bytes("images.npy", lambda data: data + b"xy"), "has 2 bytes behind its array"),
    "a damaged header": (edit_bytes("images.npy", lambda data: data[:88] + b"(" + data[89:]), "is not a whole array"),
    "a name": (edit_bytes("index.csv", lambda data: data.replace(b"32,", b"33,")), "index.csv has other names"),
    "a split, to another of as many letters": (
        edit_bytes("index.csv", lambda data: data.replace(b",valid", b",train", 1).replace(b",train", b",valid", 1)),
        "index.csv has other names or splits, or another order",
    ),
    "a split that there is not": (edit_bytes("index.csv", lambda data: data.replace(b"test", b"tost")), "row 4 of"),
    "a manifest too deep to read": (edit_bytes("manifest.json", lambda data: b"[" * 100_000), "is damaged: "),
    "splits counted otherwise": (
        edit_bytes("index.csv", lambda data: data.replace(b"valid", b"train")),
        "manifest.json says splits .*, but index.csv has",
    ),
    "rows sorted": (edit_bytes("index.csv", sorted_rows), "or another order"),
    "a quote that never ends": (edit_bytes("index.csv", lambda data: data.replace(b"\n", b'\n"', 1)), "index.csv"),
    "rows cut": (edit_bytes("index.csv", lambda data: data[: data[:-1].rfind(b"\n") + 1]), "but index.csv has 5 rows"),
    "another hash in the manifest": (edit_manifest(sha256="0" * 64), "manifest.json does not match its own hash"),
    "another count in the manifest": (edit_manifest(images=7), "manifest.json does not match its own hash"),
    "another crop in the manifest": (edit_manifest(crop=148), "manifest.json does not match its own hash"),
    "one hash of three gone": (lose_a_hash, "manifest.json lacks some of its hashes"),
    "images of another dataset": (swap("images.npy"), "images.npy holds other pixels"),
    "an index of another dataset": (swap("index.csv"), "index.csv has other names or splits"),
    "a manifest of another dataset": (swap("manifest.json"), "images.npy holds other pixels, and index.csv has other"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_is_said(change: str, faces: Path) -> None:
    do, said = CHANGES[change]
    do(faces)
    with pytest.raises(InputError, match=re.escape(said).replace(r"\.\*", ".*")) as told:
        open_images(faces)
    assert str(faces) in told.value.message and "Prepare it again" in (told.value.remedy or "")


@pytest.mark.parametrize("name", FILES)
def test_no_flipped_bit_changes_a_value_in_silence(name: str, faces: Path) -> None:
    """A bit of some hundred bytes, the header of the array among them: what is read without an error is the same."""
    before, data = FaceDataset.open(faces), (faces / name).read_bytes()
    for at in range(0, len(data), 1 + 5 * (name == "manifest.json"))[:130]:
        flipped = bytearray(data)
        flipped[at] ^= 1 << at % 8
        (faces / name).write_bytes(flipped)
        try:
            found = FaceDataset.open(faces)
            found.verify()
        except InputError:
            continue
        assert (found.names, found.splits, found.manifest) == (before.names, before.splits, before.manifest), at
        np.testing.assert_array_equal(found.images, PIXELS)


def touched(folder: Path) -> Path:
    for name in FILES:
        os.utime(folder / name, (1, 1))
    return folder


def copied(folder: Path) -> Path:
    return Path(shutil.copytree(folder, folder.with_name("copy"), copy_function=shutil.copyfile))


def indented(folder: Path) -> Path:
    edit_manifest()(folder)
    return folder


@pytest.mark.parametrize("move", [touched, copied, indented])
def test_the_same_content_is_the_same_dataset(
    move: Callable[[Path], Path], faces: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = FaceDataset.open(faces).sha256
    assert open_images(move(faces)).sha256 == before and capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.replace(b"train", b'"train"'),
    ],
    ids=["Windows' line ends", "byte order mark", "more quotes"],
)
def test_an_index_that_an_editor_saved_is_said_and_names_the_same(
    rewrite: Callable[[bytes], bytes], faces: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = open_images(faces).sha256
    edit_bytes("index.csv", rewrite)(faces)
    found = open_images(faces)
    assert (found.sha256, tuple(found.names), tuple(found.splits)) == (before, NAMES, SPLITS)
    assert "index.csv has other line ends or quotes" in capsys.readouterr().err


def older(folder: Path) -> None:
    """Its manifest as it was written before there were hashes of each file."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    kept = {key: value for key, value in manifest.items() if key == "sha256" or not key.endswith("_sha256")}
    (folder / "manifest.json").write_text(json.dumps(kept), encoding="utf-8")


def test_a_dataset_from_before_is_verified_by_the_one_hash_it_has(faces: Path) -> None:
    older(faces)
    index = (faces / "index.csv").read_bytes()
    assert FaceDataset.open(faces).sha256 == hashlib.sha256(PIXELS.tobytes() + index).hexdigest()
    save_images(255 - PIXELS)(faces)
    with pytest.raises(InputError, match=r"changed since it was prepared: images\.npy or index\.csv differs"):
        open_images(faces)


def test_content_is_read_once_until_a_file_has_other_times(faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(format, "_SETTLED", 0.0)
    read: list[Path] = []
    blocks = format._blocks
    monkeypatch.setattr(format, "_blocks", lambda path, offset: read.append(path) or blocks(path, offset))

    def times_read() -> int:
        read.clear()
        time.sleep(0.02)  # a tick of the file system's clock
        open_images(faces)
        return len(read)

    assert [times_read(), times_read()] == [1, 0]
    touched(faces)
    assert times_read() == 1
    before = (faces / "images.npy").stat()
    save_images(255 - PIXELS)(faces)
    os.utime(faces / "images.npy", ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(InputError, match="other pixels"):
        times_read()


@pytest.mark.parametrize("old", [False, True], ids=["", "from before"])
def test_who_has_the_pixels_mapped_is_told_of_changes_in_place_alone(old: bool, faces: Path, tmp_path: Path) -> None:
    if old:
        older(faces)
    opened = FaceDataset.open(faces)
    touched(faces)
    opened.require_unchanged()
    with (faces / "images.npy").open("rb+") as file:
        file.seek(-1, os.SEEK_END)
        file.write(bytes([PIXELS.flat[-1] ^ 1]))
    with pytest.raises(InputError, match="changed since it was prepared"):
        opened.require_unchanged()
    again = FaceDataset.open(write(tmp_path / "faces"))
    write(tmp_path / "faces", 255 - PIXELS)  # what is mapped is the former file
    again.require_unchanged()
    shutil.rmtree(tmp_path / "faces")
    again.require_unchanged()
