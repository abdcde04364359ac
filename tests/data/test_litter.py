"""One rule of what is litter, for every command."""

from __future__ import annotations

import io
import shutil
import tarfile
from contextlib import nullcontext
from pathlib import Path

import pytest
from PIL import Image

from facegen.data.dataset import new_dataset
from facegen.data.litter import came_by_itself, is_litter
from facegen.data.opening import open_container
from facegen.errors import InputError
from facegen.grading.found import find_submissions
from facegen.stages.sample import _require_replaceable
from facegen.submission.reader import read_submission
from facegen.submission.rules import Limits
from facegen.submission.writer import find_files
from facegen.training.recipe import load_recipe
from facegen.training.starting import checkpoint_to_continue

#: What systems and programs leave, as files.
LITTER = [
    ".DS_Store",
    "._1.png",
    ".ipynb_checkpoints/1-checkpoint.png",
    "a/.ipynb_checkpoints/deep/1.png",
    "desktop.ini",
    "Desktop.ini",
    "Thumbs.db",
    "a/thumbs.db",
    "Icon\r",
    ".gitkeep",
    "@eaDir/1.png/SYNOPHOTO_THUMB_M.jpg",
    "__MACOSX/._1.png",
    "__macosx/a/1.png",
    "$RECYCLE.BIN/1.png",
    "lost+found/1.png",
    "1.png:Zone.Identifier",
]
#: None of it, though some look alike.
KEPT = [
    "1.png",
    "./1.png",
    "../1.png",
    "a/./1.png",
    "my.DS_Store.png",
    "Icon.png",
    "thumbs.db/1.png",
    "eaDir/1.png",
    ".",
    "",
]
IMAGE = io.BytesIO()
Image.new("RGB", (64, 64)).save(IMAGE, "PNG")


@pytest.mark.parametrize("path", LITTER)
def test_litter(path: str) -> None:
    assert is_litter(path)
    assert is_litter(path + "/") and is_litter("./" + path)


@pytest.mark.parametrize("path", KEPT)
def test_no_litter(path: str) -> None:
    assert not is_litter(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One image with all the litter, below a hidden folder, which is no litter itself."""
    root = tmp_path / ".hidden" / "faces"
    for name in ["1.png", *LITTER]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(IMAGE.getvalue())
    return root


@pytest.mark.parametrize("form", ["folder", "zip", "tar"])
def test_prepare_and_fid_pass_it_over_without_a_word(form: str, folder: Path, tmp_path: Path) -> None:
    path = folder if form == "folder" else Path(shutil.make_archive(str(tmp_path / "faces"), form, folder))
    container = open_container(path)
    assert [name.removeprefix("./") for name in container.names] == ["1.png"]
    assert (container.passed_over.total, container.passed_over.warnings(path, 1)) == (0, ())


def test_pack_leaves_it_out_and_grade_ignores_it(folder: Path, tmp_path: Path) -> None:
    contents = find_files(folder)
    assert list(contents.files) == ["1.png"]
    with tarfile.open(tmp_path / "s1.tar.gz", "w:gz") as tar:
        for name in ["1.png", *LITTER]:
            tar.add(folder / name, name)
    submission = read_submission(tmp_path / "s1.tar.gz", limits=Limits(count=1))
    assert submission.names == ("1.png",)
    assert submission.notes == (f"Ignored {len(LITTER)} files that systems and programs left in the archive.",)


@pytest.mark.parametrize("name", [".DS_Store", "desktop.ini", "Thumbs.db", "Icon\r", "._s1.tar.gz"])
def test_it_is_no_submission(name: str, tmp_path: Path) -> None:
    for each in ("s1.tar.gz", name):
        (tmp_path / each).touch()
    assert [found.file for found in find_submissions(tmp_path)] == ["s1.tar.gz"]


@pytest.mark.parametrize(
    "name", [".DS_Store", "desktop.ini", ".ipynb_checkpoints", "._index.csv", ".gitkeep", "@eaDir"]
)
def test_a_dataset_with_it_is_replaced_all_the_same(name: str, tmp_path: Path) -> None:
    assert came_by_itself(name)
    for _ in range(2):
        with new_dataset(tmp_path / "faces", 4) as writer:
            writer.finish({})
        (tmp_path / "faces" / name).mkdir()


@pytest.mark.parametrize("name", [".git", ".env", ".dvc", "notes.txt"])
def test_what_somebody_put_beside_a_dataset_is_not_deleted_though_it_be_hidden(name: str, tmp_path: Path) -> None:
    (tmp_path / "faces" / name).mkdir(parents=True)
    with pytest.raises(InputError, match="not part of one"), new_dataset(tmp_path / "faces", 4):
        pass


@pytest.mark.parametrize(("name", "replaceable"), [(".DS_Store", True), ("Thumbs.db", True), (".git", False)])
def test_a_sample_with_it_is_replaced_all_the_same(name: str, replaceable: bool, tmp_path: Path) -> None:
    images, grid = tmp_path / "images", tmp_path / "grid.png"
    images.mkdir()
    for path in (grid, images / "0001.png", images / name):
        path.touch()
    with nullcontext() if replaceable else pytest.raises(InputError, match="is not a sample"):
        _require_replaceable(images, grid)


def test_a_folder_of_litter_alone_is_free_for_a_run(tmp_path: Path) -> None:
    (tmp_path / ".gitkeep").touch()
    assert checkpoint_to_continue(tmp_path, load_recipe("quick"), None, is_writer=True) is None  # type: ignore[arg-type]
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match="not a run"):
        checkpoint_to_continue(tmp_path, load_recipe("quick"), None, is_writer=True)  # type: ignore[arg-type]
