"""prepare, from photographs to a dataset on disk."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, Resize

from facegen.data import dataset as format
from facegen.data.dataset import FaceDataset
from facegen.errors import EnvironmentProblem, FacegenError, InputError
from facegen.locks import sole_use
from facegen.stages.prepare import prepare

COUNT = 70  # three chunks


def photograph(number: int) -> Image.Image:
    pixels = np.random.default_rng(number).integers(0, 256, (27, 22, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A zip of 70 photographs, img/1.png to img/70.png."""
    path = tmp_path / "faces.zip"
    with zipfile.ZipFile(path, "w") as file:
        for number in range(COUNT, 0, -1):
            file.writestr(f"img/{number}.png", png(photograph(number)))
    return path


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A folder of three photographs of which 2.png is cut short."""
    (tmp_path / "photos").mkdir()
    for number in (1, 2, 3):
        (tmp_path / "photos" / f"{number}.png").write_bytes(png(photograph(number))[: 200 if number == 2 else None])
    return tmp_path / "photos"


def partition(path: Path, numbers: range, name: str = "list_eval_partition.txt") -> Path:
    """A partition that sends each number to split number modulo 3."""
    (path / name).write_text("".join(f"{number}.png {number % 3}\n" for number in numbers))
    return path / name


def test_pixels_equal_torchvisions_in_natural_order(archive: Path, tmp_path: Path) -> None:
    prepared = prepare(archive, tmp_path / "out", size=16)
    dataset = FaceDataset.open(tmp_path / "out")
    transform = Compose([Resize(16), CenterCrop(16)])
    assert dataset.names == tuple(f"img/{number}.png" for number in range(1, COUNT + 1))
    for number, image in enumerate(dataset.images, start=1):
        np.testing.assert_array_equal(image, np.asarray(transform(photograph(number))))
    assert (prepared.images, prepared.skipped, prepared.reused) == (COUNT, 0, False)
    assert prepared.sha256 == dataset.sha256


def test_manifest_tells_how_it_was_made_and_no_private_path(archive: Path, tmp_path: Path) -> None:
    prepare(archive, tmp_path / "out", size=16, limit=5)
    text = (tmp_path / "out" / "manifest.json").read_text(encoding="utf-8")
    manifest = json.loads(text)
    assert manifest["source"]["name"] == "faces.zip"
    assert manifest["options"] == {
        "split": "all",
        "limit": 5,
        "partition_sha256": None,
        "upright": False,
        "srgb": False,
    }
    assert set(manifest["versions"]) == {"facegen", "python", "pillow", "numpy"}
    assert manifest["skipped"] == []
    assert str(tmp_path) not in text


def test_a_crop_is_named_and_makes_another_dataset(archive: Path, tmp_path: Path) -> None:
    whole = prepare(archive, tmp_path / "out", size=8, limit=2)
    without = FaceDataset.open(tmp_path / "out").manifest
    cropped = prepare(archive, tmp_path / "out", size=8, limit=2, crop=15)
    dataset = FaceDataset.open(tmp_path / "out")
    assert (without["crop"], dataset.manifest["crop"]) == (None, 15)
    assert dataset.manifest["transform"] == "RGB as stored, CenterCrop(15), Resize(8) bilinear antialiased"
    expected = np.asarray(Compose([CenterCrop(15), Resize(8)])(photograph(1)))
    np.testing.assert_array_equal(dataset.images[0], expected)
    assert not cropped.reused and cropped.sha256 != whole.sha256
    assert prepare(archive, tmp_path / "out", size=8, limit=2, crop=15).reused
    assert not prepare(archive, tmp_path / "out", size=8, limit=2).reused


def test_images_smaller_than_the_crop_are_skipped(archive: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("large.png", png(photograph(0).resize((60, 40))))
    assert prepare(archive, tmp_path / "out", size=8, crop=40, workers=1).skipped == COUNT
    with pytest.raises(
        InputError,
        match=r"None of the 71 images .* 22×27 pixels, smaller than the crop of 99×99\. Use a smaller --crop",
    ):
        prepare(archive, tmp_path / "out", size=8, crop=99, workers=1)


def test_preview_shows_images_of_the_dataset_evenly(archive: Path, tmp_path: Path) -> None:
    for name in ("new.png", "reused.png"):
        prepare(archive, tmp_path / "out", size=8, preview=tmp_path / "made" / name, workers=1)
    images = FaceDataset.open(tmp_path / "out").images
    sheets = [np.asarray(Image.open(tmp_path / "made" / name)) for name in ("new.png", "reused.png")]
    np.testing.assert_array_equal(*sheets)
    assert sheets[0].shape == (8 * 10 + 2, 8 * 10 + 2, 3)
    np.testing.assert_array_equal(sheets[0][2:10, 2:10], images[0])
    np.testing.assert_array_equal(sheets[0][-10:-2, -10:-2], images[-1])


@pytest.mark.parametrize(
    ("preview", "words"),
    [
        ("preview.jpg", "does not end in .png"),
        ("out/preview.png", "would lie in the dataset"),
        ("photos/inner/preview.png", "would be one of the images"),
        ("folder.png", "Cannot write the preview .*: Is a directory"),
        ("file.png/preview.png", "Cannot write the preview .*: Not a directory"),
    ],
)
def test_a_preview_that_cannot_be_is_told_before_the_work(
    damaged: Path, tmp_path: Path, preview: str, words: str
) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file.png").touch()
    with pytest.raises((InputError, EnvironmentProblem), match=words):
        prepare(damaged, tmp_path / "out", preview=tmp_path / preview)
    assert not (tmp_path / "out").exists()


def test_workers_do_not_change_a_byte_of_it(archive: Path, tmp_path: Path) -> None:
    for workers in (1, 2):
        prepare(archive, tmp_path / str(workers), size=8, workers=workers)
    for name in (format.IMAGES, format.INDEX, format.MANIFEST):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_limit_takes_the_first_in_natural_order(archive: Path, tmp_path: Path) -> None:
    prepare(archive, tmp_path / "out", size=8, limit=11)
    assert FaceDataset.open(tmp_path / "out").names[-1] == "img/11.png"


def test_partition_gives_the_splits(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    table = partition(tmp_path / "elsewhere", range(1, COUNT + 1))
    prepared = prepare(archive, tmp_path / "out", size=8, partition=table, limit=6)
    assert FaceDataset.open(tmp_path / "out").splits == ("valid", "test", "train") * 2
    assert prepared.splits == {"train": 2, "valid": 2, "test": 2}


def test_partition_beside_the_images_is_found(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    partition(tmp_path, range(1, COUNT + 1))
    prepare(archive, tmp_path / "out", size=8, limit=3)
    assert FaceDataset.open(tmp_path / "out").splits == ("valid", "test", "train")
    assert "list_eval_partition.txt, found beside" in capsys.readouterr().err


def test_partition_of_other_images_beside_is_left_aside(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    partition(tmp_path, range(1000, 1003))
    assert prepare(archive, tmp_path / "out", size=8).splits["train"] == COUNT
    assert "it is not used" in capsys.readouterr().err


def test_a_stray_image_is_left_out_said_and_counted(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    partition(tmp_path, range(1, COUNT))
    prepared = prepare(archive, tmp_path / "out", size=8)
    dataset = FaceDataset.open(tmp_path / "out")
    assert (prepared.images, dataset.names[-1]) == (COUNT - 1, "img/69.png")
    assert dataset.manifest["not_in_partition"] == ["img/70.png"]
    said = capsys.readouterr().err
    assert (
        f"warning: 1 of 70 images of faces.zip is not in the partition {tmp_path / 'list_eval_partition.txt'} " in said
    )
    assert "(img/70.png): it is left out." in said


def test_photographs_that_are_there_twice_are_said(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """As where PNG copies lie beside the photographs, or a folder was unpacked twice."""
    for name in ("1.jpg", "2.jpg", "png/1.png", "png/2.png", "again/2.jpg"):
        (tmp_path / "f" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9)).save(tmp_path / "f" / name)
    (tmp_path / "list_eval_partition.txt").write_text("1.jpg 0\n2.jpg 1\n")
    assert prepare(tmp_path / "f", tmp_path / "d", workers=0).splits == {"train": 2, "valid": 3, "test": 0}
    said = "3 images have names that others in f have, in another folder or format. All are used."
    assert said in capsys.readouterr().err


def test_what_the_images_lack_of_the_partition_is_said_in_a_line(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    partition(tmp_path, range(1, COUNT + 31))
    prepare(archive, tmp_path / "out", size=8)
    assert "The partition names 100 images, of which 30 are not in faces.zip.\n" in capsys.readouterr().err


def test_a_partition_of_other_images_is_an_error_where_it_was_named(archive: Path, tmp_path: Path) -> None:
    table = partition(tmp_path, range(60, 90))
    with pytest.raises(InputError, match=r"59 of 70 images of faces\.zip are not in .*\(img/1\.png, .*, …\)"):
        prepare(archive, tmp_path / "out", partition=table)


def test_one_that_was_found_is_left_aside_and_no_option_is_spoken_of_that_was_not_given(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    partition(tmp_path, range(60, 90))
    assert prepare(archive, tmp_path / "out", size=8).splits["train"] == COUNT
    said = capsys.readouterr().err
    assert "warning: " in said
    assert "names 11 of the 70 images of faces.zip: it is not used, and every image goes to the train split.\n" in said
    with pytest.raises(InputError, match="so the test split is not known") as caught:
        prepare(archive, tmp_path / "out", split="test")
    assert "leave" not in str(caught.value)


@pytest.mark.parametrize(("numbers", "unlike"), [(range(1, COUNT + 1), 47), (range(1, 11), 67)])
def test_two_partitions_that_differ_are_told_and_which_is_used(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture, numbers: range, unlike: int
) -> None:
    used = partition(tmp_path, range(1, COUNT + 1), "list_eval_partition (1).txt")
    (tmp_path / "list_eval_partition.csv").write_text("".join(f"{number}.jpg,0\n" for number in numbers))
    if len(numbers) == COUNT:  # the nearer of two that fit is used
        used = used.rename(tmp_path / "list_eval_partition.txt")
    prepare(archive, tmp_path / "out", size=8, limit=3)
    assert FaceDataset.open(tmp_path / "out").splits == ("valid", "test", "train")
    assert f".csv puts {unlike} images into other splits than {used}, which is used.\n" in capsys.readouterr().err


def test_partition_in_kaggles_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as file:
        file.writestr("list_eval_partition.csv", "image_id,partition\n000001.jpg,0\n000002.jpg,2\n")
        for number in (1, 2):
            name = f"img_align_celeba/img_align_celeba/{number:06d}.jpg"
            file.writestr(name, png(photograph(number)))
    prepare(tmp_path / "archive.zip", tmp_path / "out", size=8, split="test")
    assert FaceDataset.open(tmp_path / "out").names == ("img_align_celeba/img_align_celeba/000002.jpg",)


def test_split_keeps_its_images_before_the_limit_counts(archive: Path, tmp_path: Path) -> None:
    partition(tmp_path, range(1, COUNT + 1))
    prepare(archive, tmp_path / "out", size=8, split="test", limit=2)
    assert FaceDataset.open(tmp_path / "out").names == ("img/2.png", "img/5.png")


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_split_without_a_partition_says_why_not(archive: Path, tmp_path: Path, split: str) -> None:
    with pytest.raises(InputError, match=rf"The {split} split of faces\.zip is not known without a partition"):
        prepare(archive, tmp_path / "out", split=split)
    with pytest.raises(InputError, match=rf"synthetic:2 has no {split} split\."):
        prepare("synthetic:2", tmp_path / "out", split=split)
    assert not (tmp_path / "out").exists()


def test_a_split_without_images_is_an_error(archive: Path, tmp_path: Path) -> None:
    table = tmp_path / "all_train.txt"
    table.write_text("".join(f"{number}.png 0\n" for number in range(1, COUNT + 1)))
    with pytest.raises(InputError, match=r"None of the 70 images .* valid split"):
        prepare(archive, tmp_path / "out", partition=table, split="valid")


def test_unreadable_image_is_skipped_and_listed(damaged: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    prepared = prepare(damaged, tmp_path / "out", size=8)
    assert (prepared.images, prepared.skipped) == (2, 1)
    (skipped,) = FaceDataset.open(tmp_path / "out").manifest["skipped"]
    assert skipped["name"] == "2.png"
    assert skipped["reason"]
    assert "warning: Skipped 1 unreadable image, listed in manifest.json: 2.png" in capsys.readouterr().err


def test_strict_makes_it_fatal_and_writes_nothing(damaged: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Cannot read 2\.png in .*photos"):
        prepare(damaged, tmp_path / "out", strict=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["photos"]


def test_nothing_readable_is_an_error(damaged: Path, tmp_path: Path) -> None:
    for number in (1, 3):
        (damaged / f"{number}.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"None of the 3 images .* 1\.png: the file is empty"):
        prepare(damaged, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_composited_images_are_counted_and_said(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "photos").mkdir()
    for number in (1, 2):
        photograph(number).convert("RGBA").save(tmp_path / "photos" / f"{number}.png")
    prepare(tmp_path / "photos", tmp_path / "out", size=8)
    assert FaceDataset.open(tmp_path / "out").manifest["converted"] == {"composited on white": 2}
    assert "2 images were composited on white" in capsys.readouterr().err


def test_synthetic_goes_through_like_any_source(tmp_path: Path) -> None:
    one = prepare("synthetic:3", tmp_path / "one", size=16)
    other = prepare("synthetic:3", tmp_path / "other", size=16, seed=1)
    assert (one.images, one.splits["train"]) == (3, 3)
    assert one.sha256 != other.sha256


def test_a_dataset_called_synthetic_is_not_taken_for_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    prepare("synthetic:2", Path("synthetic"), size=8)
    assert not prepare("synthetic:2", Path("synthetic"), size=9).reused


def test_the_same_again_is_reused(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    first = prepare(archive, tmp_path / "out", size=8)
    written = (tmp_path / "out" / format.IMAGES).stat().st_mtime_ns
    again = prepare(archive, tmp_path / "out", size=8, workers=1)
    assert again.reused
    assert again.sha256 == first.sha256
    assert (tmp_path / "out" / format.IMAGES).stat().st_mtime_ns == written
    assert "already prepared" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change", [{"size": 9}, {"limit": 3}, {"crop": 9}, {"force": True}], ids=lambda change: next(iter(change))
)
def test_other_options_or_force_prepare_anew(archive: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    prepare(archive, tmp_path / "out", size=8)
    assert not prepare(archive, tmp_path / "out", **({"size": 8} | change)).reused


def test_another_source_content_prepares_anew(damaged: Path, tmp_path: Path) -> None:
    prepare(damaged, tmp_path / "out", size=8)
    (damaged / "2.png").write_bytes(png(photograph(2)))
    assert prepare(damaged, tmp_path / "out", size=8).images == 3


def test_strict_does_not_reuse_a_dataset_with_gaps(damaged: Path, tmp_path: Path) -> None:
    prepare(damaged, tmp_path / "out", size=8)
    with pytest.raises(InputError, match=r"2\.png"):
        prepare(damaged, tmp_path / "out", size=8, strict=True)


def test_a_damaged_dataset_is_made_anew(archive: Path, tmp_path: Path) -> None:
    prepare(archive, tmp_path / "out", size=8)
    (tmp_path / "out" / format.IMAGES).write_bytes(b"")
    assert not prepare(archive, tmp_path / "out", size=8).reused
    assert len(FaceDataset.open(tmp_path / "out")) == COUNT


def test_dataset_on_its_own_source_is_refused(damaged: Path) -> None:
    for destination in (damaged, damaged.parent):
        with pytest.raises(InputError, match="would replace its source"):
            prepare(damaged, destination)


def test_a_dataset_as_source_is_told(archive: Path, tmp_path: Path) -> None:
    prepare(archive, tmp_path / "out", size=8)
    with pytest.raises(InputError, match="prepared dataset already"):
        prepare(tmp_path / "out", tmp_path / "again")


def test_too_little_room_is_told_beforehand(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(EnvironmentProblem, match="are free there"):
        prepare(archive, tmp_path / "a" / "b" / "out")


def test_a_disk_that_fills_up_is_told_and_leaves_nothing(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(format.DatasetWriter, "append", full)
    with pytest.raises(EnvironmentProblem, match=r"Cannot write the dataset .*out: No space left"):
        prepare(archive, tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["faces.zip"]


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


class Killed(BaseException):
    """In place of a SIGKILL: nothing that comes after it is done."""


@pytest.fixture
def broken_off(damaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A preparation of ``damaged`` that was killed after some images, one of them unreadable, and another written."""
    monkeypatch.setattr("facegen.data.sources.CHUNK", 1)
    append, left = format.DatasetWriter.append, iter(range(2))

    def until_killed(*arguments: Any) -> None:
        append(*arguments)
        if next(left, None) is None:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(format.DatasetWriter, "append", until_killed)
        patched.setattr("shutil.rmtree", lambda *_, **__: None)
        with pytest.raises(Killed):
            prepare(damaged, tmp_path / "out", workers=1)
    return tmp_path / ".out.part"


def test_a_killed_preparation_goes_on_and_ends_the_same_to_the_byte(
    broken_off: Path, damaged: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    prepare(damaged, tmp_path / "whole", workers=1)
    prepare(damaged, tmp_path / "out", workers=1)
    assert "Resuming after" in capsys.readouterr().err
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "whole")
    assert not broken_off.exists()


@pytest.mark.parametrize("file", ["images.npy", "journal"])
def test_what_is_damaged_of_a_killed_preparation_is_made_again(
    broken_off: Path, damaged: Path, tmp_path: Path, file: str
) -> None:
    data = bytearray((broken_off / file).read_bytes())
    data[len(data) // 2] ^= 1
    (broken_off / file).write_bytes(data[:-3])
    prepare(damaged, tmp_path / "whole", workers=1)
    prepare(damaged, tmp_path / "out", workers=1)
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "whole")


def test_a_killed_preparation_of_other_options_is_not_taken_up(
    broken_off: Path, damaged: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    prepare(damaged, tmp_path / "out", workers=1, size=32)
    assert "Going on" not in capsys.readouterr().err and not broken_off.exists()


def test_a_second_preparation_of_one_dataset_is_refused(archive: Path, tmp_path: Path) -> None:
    with sole_use(tmp_path / "out", "prepares it"), pytest.raises(EnvironmentProblem, match="Another process"):
        prepare(archive, tmp_path / "out")


def changed(path: Path) -> None:
    os.utime(path, (1, 1))


def removed(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


@pytest.mark.parametrize(
    ("source", "happens", "said", "goes_on"),
    [
        ("archive", removed, r"Cannot read .*faces\.zip: No such file", True),
        ("archive", changed, r"faces\.zip changed while it was read", False),
        ("damaged", removed, r"Cannot read .*photos.*, which existed a moment ago: No such file", True),
        ("damaged", changed, r"photos changed while it was read", False),
    ],
)
def test_a_source_that_goes_or_changes_meanwhile_makes_no_dataset(
    source: str,
    happens: Callable[[Path], None],
    said: str,
    goes_on: bool,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = request.getfixturevalue(source)
    monkeypatch.setattr("facegen.data.sources.CHUNK", 1)
    append, left = format.DatasetWriter.append, iter([path if path.is_file() or happens is removed else path / "3.png"])

    def then(*arguments: Any) -> None:
        append(*arguments)
        for one in left:
            happens(one)

    monkeypatch.setattr(format.DatasetWriter, "append", then)
    with pytest.raises(FacegenError, match=said):
        prepare(path, tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()
    assert (tmp_path / ".out.part").exists() == goes_on


@pytest.mark.parametrize("name", ["d" * 255, "얼" * 85])
def test_a_dataset_may_have_the_longest_name_there_is(archive: Path, tmp_path: Path, name: str) -> None:
    prepare(archive, tmp_path / name, limit=1, workers=1)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted([name, "faces.zip"])


def test_what_is_there_of_a_killed_preparation_needs_no_more_room(
    broken_off: Path, damaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = (broken_off / "images.npy").stat().st_size
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=3 * 64 * 64 * 3 - kept))
    assert prepare(damaged, tmp_path / "out", workers=1).images == 2


def test_a_destination_under_a_file_is_told(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="Cannot write the dataset"):
        prepare(archive, archive / "out", limit=1)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for another process")
def test_interrupt_ends_the_workers_and_leaves_what_the_next_run_takes_up(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "facegen", "prepare", "synthetic:50000", str(tmp_path / "out"), "--workers", "2"]
    # A background job of a script ignores SIGINT, and would hand that down.
    listens = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        words, start_new_session=True, preexec_fn=listens, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        deadline = time.monotonic() + 30
        while not list(tmp_path.glob(".out.*/images.npy")) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
        try:
            said, _ = process.communicate(timeout=30)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130, said
    assert b"Traceback" not in said
    assert {entry.name for entry in tmp_path.iterdir()} <= {".out.part"}
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_real_celeba_equals_torchvision(celeba: Path, tmp_path: Path) -> None:
    prepare(celeba / "img_align_celeba.zip", tmp_path / "out", limit=40)
    dataset = FaceDataset.open(tmp_path / "out")
    transform = Compose([Resize(64), CenterCrop(64)])
    with zipfile.ZipFile(celeba / "img_align_celeba.zip") as archive:
        for name, pixels in zip(dataset.names, dataset.images, strict=True):
            image = Image.open(io.BytesIO(archive.read(name))).convert("RGB")
            np.testing.assert_array_equal(pixels, np.asarray(transform(image)))


def invert(dataset: Path) -> None:
    np.save(dataset / format.IMAGES, 255 - np.load(dataset / format.IMAGES))


def move_a_split(dataset: Path) -> None:
    text = (dataset / format.INDEX).read_text(encoding="utf-8")
    (dataset / format.INDEX).write_text(text.replace("train", "valid", 1), encoding="utf-8", newline="\n")


def rename_in_the_manifest(dataset: Path) -> None:
    text = (dataset / format.MANIFEST).read_text(encoding="utf-8")
    (dataset / format.MANIFEST).write_text(text.replace("faces.zip", "other.zip"), encoding="utf-8", newline="\n")


@pytest.mark.parametrize("change", [invert, move_a_split, rename_in_the_manifest])
def test_a_dataset_that_changed_is_not_called_prepared(
    change: Callable[[Path], None], archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = prepare(archive, tmp_path / "out", size=8, limit=5)
    change(tmp_path / "out")
    again = prepare(archive, tmp_path / "out", size=8, limit=5)
    assert not again.reused and again.sha256 == first.sha256 == FaceDataset.open(tmp_path / "out").sha256
    said = capsys.readouterr().err
    assert "changed since it was prepared" in said and "It is replaced." in said


def touch_one(folder: Path) -> None:
    os.utime(folder / "1.png", (1, 1))


def replace_one(folder: Path) -> None:
    (folder / "1.png").write_bytes((folder / "3.png").read_bytes())


def rename_one(folder: Path) -> None:
    (folder / "1.png").rename(folder / "4.png")


@pytest.mark.parametrize("change", [touch_one, replace_one, rename_one])
def test_a_folder_is_prepared_anew_where_a_file_has_another_name_size_or_time(
    change: Callable[[Path], None], damaged: Path, tmp_path: Path
) -> None:
    prepare(damaged, tmp_path / "out", size=8)
    assert prepare(damaged, tmp_path / "out", size=8).reused
    change(damaged)
    assert not prepare(damaged, tmp_path / "out", size=8).reused


@pytest.mark.parametrize(
    "fields", [{"skipped": 1}, {"images": None}, {"splits": None}], ids=["skipped", "images", "splits"]
)
def test_a_manifest_that_lacks_fields_is_made_anew(archive: Path, tmp_path: Path, fields: dict[str, Any]) -> None:
    """Manifests from before there were hashes of them are read by their fields alone."""
    prepare(archive, tmp_path / "out", size=8, limit=3)
    path = tmp_path / "out" / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8")) | fields
    lacking = {"pixels_sha256", "index_sha256", "manifest_sha256"}
    kept = {name: value for name, value in manifest.items() if name not in lacking and value is not None}
    path.write_text(json.dumps(kept), encoding="utf-8")
    assert not prepare(archive, tmp_path / "out", size=8, limit=3).reused
