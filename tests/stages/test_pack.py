"""pack refuses what grade rejects, and what it packs is what was there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from facegen.data.dataset import new_dataset
from facegen.errors import InputError
from facegen.stages.pack import pack
from facegen.submission.reader import read_submission
from facegen.submission.rules import Limits, Rejection

CommandLine = Callable[..., Result]


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten images to spoil, where ten are asked for."""
    monkeypatch.setattr("facegen.stages.pack.limits_for", lambda size: Limits(count=10, size=size))
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(10):
        Image.new("RGB", (64, 64), (i, 0, 9)).save(folder / f"{i + 1:04d}.png")
    return folder


def test_packs_a_thousand_images_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for i in range(1000):
        Image.new("RGB", (64, 64), (i % 256, i // 256, 9)).save(tmp_path / "images" / f"{i + 1:04d}.png")
    result = pack(tmp_path / "images", "s123", out=tmp_path / "out")
    submission = read_submission(result.path)
    assert (result.path.name, result.images, submission.student_number) == ("s123.tar.gz", 1000, "s123")
    np.testing.assert_array_equal(submission.images[:, 0, 0, 0], np.arange(1000) % 256)
    assert list(submission.names) == [f"{i:04d}.png" for i in range(1, 1001)]


def test_packs_the_same_bytes_again(images: Path, tmp_path: Path) -> None:
    first, second = (pack(images, "s1", out=tmp_path / name) for name in ("a", "b"))
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.sha256 == second.sha256


@pytest.mark.parametrize(
    ("code", "spoil"),
    [
        ("wrong_count", lambda folder: (folder / "0007.png").unlink()),
        ("foreign_member", lambda folder: (folder / "notes.txt").write_text("x")),
        ("wrong_size", lambda folder: _replace(folder, Image.new("RGB", (178, 218)))),
        ("wrong_mode", lambda folder: _replace(folder, Image.new("L", (64, 64)))),
        ("unsafe_member", lambda folder: _move(folder, "a/b/0007.png")),
    ],
)
def test_refuses_what_grade_rejects(
    code: str, spoil: Callable[[Path], object], images: Path, tmp_path: Path, facegen: CommandLine
) -> None:
    spoil(images)
    outcome = facegen("pack", images, "s1", "--out", tmp_path / "out")
    assert outcome.exit_code == 1
    assert f"({code})" in outcome.stderr
    assert outcome.stdout == ""
    assert list((tmp_path / "out").iterdir()) == []


def _replace(folder: Path, image: Image.Image) -> None:
    (folder / "0007.png").unlink()
    image.save(folder / "0007.png")


def _move(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True)
    (folder / "0007.png").rename(folder / name)


def test_a_refusal_leaves_the_earlier_tarball(images: Path, tmp_path: Path) -> None:
    before = pack(images, "s1", out=tmp_path / "out").path.read_bytes()
    (images / "0001.png").unlink()
    with pytest.raises(Rejection):
        pack(images, "s1", out=tmp_path / "out")
    assert (tmp_path / "out" / "s1.tar.gz").read_bytes() == before


def test_an_empty_folder_is_refused(tmp_path: Path, facegen: CommandLine) -> None:
    outcome = facegen("pack", tmp_path, "s1", "--out", tmp_path / "out")
    assert outcome.exit_code == 1
    assert "(empty)" in outcome.stderr


@pytest.mark.parametrize("number", ["", "a b", "../x", "a/b", "a\\b", "-x", "con", "x" * 65, "é", "a.b"])
def test_a_student_number_must_name_a_file_everywhere(number: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="student number"):
        pack(tmp_path, number)


def test_images_must_be_a_folder_of_images(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with new_dataset(tmp_path / "dataset", 64) as writer:
        writer.finish({})
    for name, words in (("absent", "does not exist"), ("file", "is not a folder"), ("dataset", "prepared dataset")):
        with pytest.raises(InputError, match=words):
            pack(tmp_path / name, "s1")


def test_the_command_prints_the_path_alone(images: Path, tmp_path: Path, facegen: CommandLine) -> None:
    outcome = facegen("pack", images, "s1", "--out", tmp_path)
    assert outcome.exit_code == 0
    assert outcome.stdout == f"{tmp_path / 's1.tar.gz'}\n"
