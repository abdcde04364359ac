"""Folders are walked as os.walk walks them, links followed; but a circle ends, and nothing that blocks is opened."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from facegen.data.folders import Folder
from facegen.data.opening import open_container
from facegen.data.walk import State, walk
from facegen.errors import InputError

Store = Callable[..., Path]
Png = Callable[[int], bytes]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="not every account may make links there")


def files(folder: Path) -> list[str]:
    return [found.path for found in walk(folder) if found.state is State.FILE]


def test_links_are_followed_as_os_walk_follows_them(store: Store, tmp_path: Path) -> None:
    store("elsewhere", {"deep/3.png": b"", "4.png": b""})
    root = store("faces", {"1.png": b"", "a/2.png": b"", "a.b/c": b""})
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "a" / "twice").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (root / "5.png").symlink_to("../elsewhere/4.png")
    truth = [
        os.path.relpath(Path(at, name), root) for at, _, names in os.walk(root, followlinks=True) for name in names
    ]
    assert sorted(files(root)) == sorted(truth)
    assert len(truth) == 8


@pytest.mark.parametrize("target", [".", "..", "../..", "../../faces/a", "/"])
def test_a_circle_of_links_ends_and_is_said(store: Store, png: Png, target: str) -> None:
    root = store("faces", {"a/1.png": png(1)})
    (root / "a" / "loop").symlink_to(target)
    container = Folder(root)
    assert (container.names, container.passed_over.loops) == (["a/1.png"], ["a/loop"])
    assert any("a/loop" in sentence for sentence in container.passed_over.warnings(root, 1))


def test_two_folders_that_link_to_each_other_are_read_once_more_each(store: Store) -> None:
    root = store("faces", {"a/1.png": b"", "b/2.png": b""})
    (root / "a" / "b").symlink_to("../b")
    (root / "b" / "a").symlink_to("../a")
    assert files(root) == ["a/1.png", "a/b/2.png", "b/2.png", "b/a/1.png"]


def test_links_whose_ways_multiply_are_an_error_and_not_an_endless_walk(store: Store) -> None:
    """None of them is a circle: 40 folders, each with two links to the next, have 2^40 ways to the last."""
    root = store("faces", {f"{at}/1.png": b"" for at in range(41)})
    for at in range(40):
        for name in ("a", "b"):
            (root / str(at) / name).symlink_to(f"../{at + 1}")
    with pytest.raises(InputError, match="lead to one folder in more than 1,000 ways"):
        files(root)


def test_a_link_back_above_the_subfolder_is_a_circle_too(store: Store) -> None:
    root = store("root", {"img_align_celeba/1.png": b"", "other/2.png": b""})
    (root / "img_align_celeba" / "up").symlink_to("..")
    container = open_container(root)
    assert (container.names, container.passed_over.loops) == (["img_align_celeba/1.png"], ["img_align_celeba/up"])


@pytest.mark.parametrize("kind", ["pipe", "socket", "link to a pipe"])
def test_what_would_block_is_never_opened(kind: str, store: Store, png: Png, monkeypatch: pytest.MonkeyPatch) -> None:
    root = store("faces", {"1.png": png(1)})
    monkeypatch.chdir(root)  # a socket's path is short
    if kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("2.png")
    else:
        os.mkfifo("2.png" if kind == "pipe" else "../pipe")
    if kind == "link to a pipe":
        Path("2.png").symlink_to("../pipe")
    os.mkfifo("noimage")
    container = Folder(root)
    assert (container.names, container.passed_over.special) == (["1.png"], ["2.png"])
    assert any("2.png" in sentence for sentence in container.passed_over.warnings(root, 1))


@pytest.mark.parametrize("target", ["nowhere.png", "2.png"])
def test_a_link_to_no_image_is_an_image_that_cannot_be_read(target: str, store: Store, png: Png) -> None:
    root = store("faces", {"1.png": png(1)})
    (root / "2.png").symlink_to(target)
    assert Folder(root).names == ["1.png", "2.png"]


def test_a_link_to_no_folder_is_said_with_its_target(store: Store, png: Png) -> None:
    root = store("faces", {"1.png": png(1)})
    (root / "train").symlink_to("/unmounted/celeba")
    (sentence,) = Folder(root).passed_over.warnings(root, 1)
    assert "train (a link to /unmounted/celeba)" in sentence


def test_a_folder_that_cannot_be_read_is_an_error(store: Store, png: Png, monkeypatch: pytest.MonkeyPatch) -> None:
    root = store("faces", {"1.png": png(1), "locked/2.png": png(2)})
    scandir = os.scandir

    def locked(path: str | Path) -> os._ScandirIterator[str]:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)
    with pytest.raises(InputError, match=r"Cannot read the folder .*locked: Permission denied"):
        Folder(root)


@pytest.mark.skipif(sys.platform != "linux", reason="macOS takes both names for one")
def test_both_normal_forms_of_a_name_are_taken_and_said(store: Store, png: Png) -> None:
    root = store("faces", {"e\u0301.png": png(1), "\u00e9.png": png(1), "o\u0308.png": png(2)})
    container = Folder(root)
    assert len(container.names) == 3
    (sentence,) = container.passed_over.warnings(root, 3)
    assert "1 image in" in sentence and "Unicode normal form" in sentence


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere file names are Unicode")
def test_a_name_spelt_out_does_not_swallow_another(store: Store, png: Png) -> None:
    root = store("faces", {os.fsdecode(b"\xe9.png"): png(1), r"\udce9.png": png(2)})
    container = Folder(root)
    assert {member.name: member.read() for member in container.members(container.names)} == {
        r"\udce9 (2).png": png(1),
        r"\udce9.png": png(2),
    }
