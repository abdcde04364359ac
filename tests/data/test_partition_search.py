"""Where CelebA's partition is found when nobody names it."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from facegen.data.opening import open_container
from facegen.data.partition_search import find_partitions
from facegen.errors import InputError

Store = Callable[..., Path]
LINES, TABLE = b"000001.jpg 0\n", b"image_id,partition\n000001.jpg,0\n"


def found(source: Path) -> list[str]:
    """Labels without the temporary folder."""
    return [Path(partition.label).as_posix() for partition in find_partitions(open_container(source))]


#: The images' file or folder, what is named as SOURCE, and where the partition lies.
LAYOUTS = {
    "beside the zip": ("x.zip", "x.zip", "list_eval_partition.txt"),
    "beside the tar": ("x.tar.gz", "x.tar.gz", "list_eval_partition.txt"),
    "CelebA's tree": ("CelebA/Img/img_align_celeba.zip", "CelebA/Img/img_align_celeba.zip", "CelebA/Eval/{}.txt"),
    "CelebA's tree, root": ("CelebA/Img/img_align_celeba.zip", "CelebA", "CelebA/Eval/list_eval_partition.txt"),
    "above CelebA's tree": ("CelebA/Img/img_align_celeba.zip", ".", "CelebA/Eval/list_eval_partition.txt"),
    "CelebA's tree, unpacked": ("CelebA/Img/img_align_celeba", "CelebA/Img/img_align_celeba", "CelebA/Eval/{}.txt"),
    "CelebA's tree, root, unpacked": ("CelebA/Img/img_align_celeba", "CelebA", "CelebA/Eval/{}.txt"),
    "CelebA's tree, doubled": (
        "Img/img_align_celeba/img_align_celeba",
        "Img/img_align_celeba/img_align_celeba",
        "Eval/{}.txt",
    ),
    "CelebA's PNGs, unpacked": ("Img/faces_png.7z/faces_png", "Img/faces_png.7z/faces_png", "Eval/{}.txt"),
    "Anno": ("Img/faces", "Img/faces", "Anno/list_eval_partition.txt"),
    "lower case": ("img/faces", "img/faces", "eval/LIST_EVAL_PARTITION.TXT"),
    "torchvision's root": ("root/celeba/img_align_celeba", "root", "root/celeba/list_eval_partition.txt"),
    "torchvision's images": ("root/celeba/img_align_celeba", "root/celeba/img_align_celeba", "root/celeba/{}.txt"),
    "Kaggle's folder": ("archive/img_align_celeba/img_align_celeba", "archive", "archive/list_eval_partition.csv"),
    "Kaggle's images": (
        "archive/img_align_celeba/img_align_celeba",
        "archive/img_align_celeba/img_align_celeba",
        "archive/list_eval_partition.csv",
    ),
    "in the folder": ("faces", "faces", "faces/list_eval_partition.csv"),
    "a second download": ("faces", "faces", "list_eval_partition (1).txt"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_is_found_in_the_layouts_people_have(
    store: Store, png: Callable[[int], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    images, source, partition = LAYOUTS[layout]
    partition = partition.format("list_eval_partition")
    for path in (images, partition):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    store(images, {"000001.jpg": png(1)})
    (tmp_path / partition).write_bytes(TABLE if partition.endswith("csv") else LINES)
    monkeypatch.chdir(tmp_path)
    assert found(Path(source)) == [partition]
    assert found(tmp_path / source) == [partition]


@pytest.mark.parametrize("form", ["archive", "archive.zip", "archive.tar", "archive.tar.gz"])
@pytest.mark.parametrize(
    "name",
    ["list_eval_partition.csv", "x/Eval/list_eval_partition.txt", "a/b/c/List_Eval_Partition.csv"],
)
def test_is_found_anywhere_in_an_archive_or_a_folder(
    store: Store, png: Callable[[int], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, name: str
) -> None:
    """Among the same files, packed or not, the same is found."""
    monkeypatch.chdir(tmp_path)
    image = "kaggle/img_align_celeba/000001.jpg"
    litter = "__MACOSX/._list_eval_partition.csv"
    archive = store(form, {litter: b"\0", image: png(1), name: TABLE})
    assert found(archive) == [f"{form}/{name}" if archive.is_dir() else f"{name} in {form}"]
    assert open_container(archive).names == [image]


def test_it_is_not_looked_for_further_away(store: Store, png: Callable[[int], bytes], tmp_path: Path) -> None:
    images = store("home/a/b/faces", {"1.jpg": png(1)})
    for far in ("home", "home/a/other", "home/a/b/other"):
        (tmp_path / far).mkdir(exist_ok=True)
        (tmp_path / far / "list_eval_partition.txt").write_bytes(LINES)
    assert found(images) == []


def test_a_link_is_followed_to_what_lies_around_its_target(
    store: Store, png: Callable[[int], bytes], tmp_path: Path
) -> None:
    images = store("CelebA/Img/faces", {"1.jpg": png(1)})
    store("CelebA/Eval", {"list_eval_partition.txt": LINES})
    link = tmp_path / "elsewhere" / "project" / "data"
    link.parent.mkdir(parents=True)
    try:
        link.symlink_to(images, target_is_directory=True)
    except OSError:
        pytest.skip("this account may not make links")
    assert found(link) == [(tmp_path / "CelebA/Eval/list_eval_partition.txt").as_posix()]


def test_the_nearest_comes_first_and_celebas_own_name_before_copies(
    store: Store, png: Callable[[int], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["list_eval_partition (1).txt", "list_eval_partition.csv", "list_eval_partition.txt"]
    store("a", dict.fromkeys(names, LINES))
    store("a/x.zip", {"1.jpg": png(1), "list_eval_partition.csv": TABLE})
    store("Eval", {"list_eval_partition.txt": LINES})
    expected = ["list_eval_partition.csv in x.zip", *(f"a/{name}" for name in names[::-1])]
    assert found(Path("a/x.zip")) == [*expected, "Eval/list_eval_partition.txt"]


def test_one_that_cannot_be_read_is_warned_of_where_another_can(
    store: Store, png: Callable[[int], bytes], capsys: pytest.CaptureFixture
) -> None:
    images = store("faces", {"1.jpg": png(1), "list_eval_partition.txt": b"<html>"})
    with pytest.raises(InputError, match="is an HTML page, not a text file"):
        found(images)
    store("faces", {"list_eval_partition.csv": TABLE})
    assert [Path(label).name for label in found(images)] == ["list_eval_partition.csv"]
    assert "list_eval_partition.txt is an HTML page, not a text file. It is not used." in capsys.readouterr().err


@pytest.mark.parametrize("name", ["list_eval_partition.csv.zip", "list_eval_partition.txt.gz"])
def test_one_that_is_still_packed_is_not_taken_for_none(store: Store, png: Callable[[int], bytes], name: str) -> None:
    images = store("archive/img_align_celeba", {"000001.jpg": png(1)})
    pack = gzip.compress(LINES) if name.endswith("gz") else store("x.zip", {"list.csv": TABLE}).read_bytes()
    (images.parent / name).write_bytes(pack)
    with pytest.raises(InputError, match="Unpack it"):
        found(images)
