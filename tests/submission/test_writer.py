"""Tarballs are the same bytes each time, and hold what the folder holds."""

from __future__ import annotations

import gzip
import os
import sys
import tarfile
import zlib
from pathlib import Path

import pytest

from facegen.submission.rules import Limits, Rejection
from facegen.submission.writer import find_files, is_ours, write_tarball


def _folder(path: Path, names: list[str]) -> Path:
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(name.encode())
    return path


def test_bytes_depend_on_names_and_contents_alone(tmp_path: Path) -> None:
    names = ["b.png", "a.png", "sub/c.png"]
    first, second = _folder(tmp_path / "1", names), _folder(tmp_path / "2", names[::-1])
    os.utime(second / "a.png", (1, 1))
    (second / "b.png").chmod(0o600)
    for folder in (first, second):
        write_tarball(find_files(folder).files, folder.with_suffix(".tar.gz"))
    assert (tmp_path / "1.tar.gz").read_bytes() == (tmp_path / "2.tar.gz").read_bytes()


def test_headers_tell_nothing_of_the_machine(tmp_path: Path) -> None:
    files = find_files(_folder(tmp_path / "images", ["b.png", "a.png", "é.png"])).files
    write_tarball(files, tmp_path / "x.tar.gz")
    with tarfile.open(tmp_path / "x.tar.gz") as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == ["a.png", "b.png", "é.png"]
    for member in members:
        told = (member.mode, member.uid, member.gid, member.uname, member.gname, member.mtime)
        assert told == (0o644, 0, 0, "", "", 0)
    zipped = (tmp_path / "x.tar.gz").read_bytes()
    assert zipped[3:8] == bytes(5)  # no file name, no date
    deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    assert zipped[10:-8] == deflate.compress(gzip.decompress(zipped)) + deflate.flush()


@pytest.mark.parametrize("other", ["", "mtime", "uid", "gid", "uname", "gname"])
def test_a_tarball_with_a_date_or_an_owner_is_not_ours(other: str, tmp_path: Path) -> None:
    header = tarfile.TarInfo("a.png")
    if other:
        setattr(header, other, "a" if other.endswith("name") else 1)
    (tmp_path / "x").write_bytes(gzip.compress(header.tobuf() + bytes(1024), mtime=0))
    assert is_ours(tmp_path / "x") is (not other)


@pytest.mark.parametrize("data", [b"", b"a" * 99, gzip.compress(b"", mtime=0), gzip.compress(bytes(1024), mtime=1)])
def test_nor_is_what_is_none_or_whose_stream_has_a_date(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(data)
    assert not is_ours(tmp_path / "x")


def test_plain_names_make_a_plain_ustar(tmp_path: Path) -> None:
    files = find_files(_folder(tmp_path / "images", ["0001.png"])).files
    write_tarball(files, tmp_path / "x.tar.gz")
    with tarfile.open(tmp_path / "x.tar.gz") as tar:
        assert tar.getmembers()[0].pax_headers == {}


def test_litter_is_left_out(tmp_path: Path) -> None:
    names = ["a.png", ".DS_Store", "._a.png", "__MACOSX/._a.png", "Thumbs.db"]
    contents = find_files(_folder(tmp_path, names))
    assert list(contents.files) == ["a.png"]
    assert contents.litter == [".DS_Store", "._a.png", "Thumbs.db", "__MACOSX"]


@pytest.mark.skipif(sys.platform == "win32", reason="not every account may make links there")
class TestLinks:
    def test_links_to_folders_are_followed_and_a_circle_ends(self, tmp_path: Path) -> None:
        folder = _folder(tmp_path / "images", ["a.png"])
        (folder / "more").symlink_to(_folder(tmp_path / "elsewhere", ["b.png"]))
        (folder / "more" / "back").symlink_to("../images")
        contents = find_files(folder)
        assert (list(contents.files), contents.loops) == (["a.png", "more/b.png"], ["more/back"])
        assert contents.files["more/b.png"].read_bytes() == b"b.png"

    @pytest.mark.parametrize("target", ["nowhere.png", "0.png"])
    def test_a_link_that_leads_nowhere_is_refused_by_name(self, target: str, tmp_path: Path) -> None:
        (_folder(tmp_path, ["a.png"]) / "0.png").symlink_to(target)
        with pytest.raises(Rejection, match=r"unsafe_member.*'0\.png' in .* is a link that leads nowhere"):
            find_files(tmp_path)

    def test_a_pipe_is_refused_unopened(self, tmp_path: Path) -> None:
        os.mkfifo(_folder(tmp_path, ["a.png"]) / "0.png")
        with pytest.raises(Rejection, match=r"unsafe_member.*'0\.png' in .* is a named pipe"):
            find_files(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="macOS takes both names for one")
def test_of_two_normal_forms_of_a_name_neither_swallows_the_other(tmp_path: Path) -> None:
    with pytest.raises(Rejection, match="duplicate_member"):
        find_files(_folder(tmp_path, ["e\u0301.png", "\u00e9.png"]))


def test_a_folder_at_the_caps_is_taken(tmp_path: Path) -> None:
    assert len(find_files(_folder(tmp_path, ["a.png", "b.png", "c.png"]), Limits(members=3, bytes=15)).files) == 3


@pytest.mark.parametrize(("limits", "code"), [(Limits(members=2), "too_many_members"), (Limits(bytes=14), "too_large")])
def test_a_huge_folder_is_refused_early(tmp_path: Path, limits: Limits, code: str) -> None:
    with pytest.raises(Rejection) as caught:
        find_files(_folder(tmp_path, ["a.png", "b.png", "c.png"]), limits)
    assert caught.value.code.value == code
