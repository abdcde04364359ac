"""Folders, zips and tars: the same images in the same order, and a sentence for each that is broken."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from facegen.data import archives, damage
from facegen.data.decode import Unreadable
from facegen.data.images import open_images
from facegen.data.opening import open_container
from facegen.errors import EnvironmentProblem, InputError

FORMS = ["faces", "faces.zip", "faces.tar", "faces.tar.gz", "faces.tgz", "faces.tar.bz2", "faces.tar.xz"]
Store = Callable[..., Path]
Png = Callable[[int], bytes]


@pytest.mark.parametrize("form", FORMS)
def test_members_come_in_natural_order_with_their_bytes(store: Store, png: Png, form: str) -> None:
    # Written out of order, so that a compressed tar has to be gone through before its members can be handed out.
    files = {f"b/{at}.png": png(at) for at in (10, 2, 1)} | {"a.PNG": png(99)}
    container = open_container(store(form, files))
    assert container.names == ["a.PNG", "b/1.png", "b/2.png", "b/10.png"]
    assert {member.name: member.read() for member in container.members(container.names)} == files


@pytest.mark.parametrize("form", FORMS)
def test_some_members_can_be_asked_for(store: Store, png: Png, form: str) -> None:
    container = open_container(store(form, {f"{at}.png": png(at) for at in range(6)}))
    assert [member.read() for member in container.members(["1.png", "4.png"])] == [png(1), png(4)]


@pytest.mark.parametrize("form", ["faces", "faces.zip", "faces.tar"])
def test_litter_is_passed_over(store: Store, png: Png, form: str) -> None:
    litter = dict.fromkeys(["._1.png", ".cache/2.png", "__MACOSX/1.png", "__MACOSX/._1.png", "readme.txt", "no"], b"x")
    assert open_container(store(form, {"1.png": png(1), **litter})).names == ["1.png"]


@pytest.mark.parametrize("form", ["faces", "faces.zip", "faces.tar.gz"])
def test_no_image_says_what_was_looked_for(store: Store, form: str) -> None:
    with pytest.raises(InputError, match=r"No image found in .*\.jpg.*\.png"):
        open_container(store(form, {"notes.txt": b"hello"}))


def test_a_folder_with_the_archive_in_it_names_the_archive(store: Store, png: Png, tmp_path: Path) -> None:
    store("downloads.zip", {"1.png": png(1)})
    with pytest.raises(InputError, match=r"Name the archive in it instead: .*downloads\.zip"):
        open_container(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere file names are Unicode")
@pytest.mark.parametrize("form", ["faces", "faces.tar"])
def test_a_name_that_is_not_utf8_is_spelt_out(store: Store, png: Png, form: str) -> None:
    container = open_container(store(form, {os.fsdecode(b"\xe9t\xe9.png"): png(1)}))
    (member,) = container.members(container.names)
    assert (member.name.encode(), member.read()) == (rb"\udce9t\udce9.png", png(1))


def test_windows_separators_in_a_zip(tmp_path: Path, png: Png) -> None:
    path = tmp_path / "faces.zip"
    entry = zipfile.ZipInfo("x")
    entry.filename = "faces\\1.png"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, png(1))
    container = open_container(path)
    assert [(member.name, member.read()) for member in container.members(container.names)] == [("faces/1.png", png(1))]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_zip_methods(tmp_path: Path, png: Png, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "faces.zip", "w", method) as archive:
        archive.writestr("1.png", png(1))
    (member,) = open_container(tmp_path / "faces.zip").members(["1.png"])
    assert member.read() == png(1)


def test_unusual_zip_method_is_told(tmp_path: Path, png: Png) -> None:
    with zipfile.ZipFile(tmp_path / "faces.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("1.png", png(1))
    with pytest.raises(InputError, match="deflate"):
        open_container(tmp_path / "faces.zip")


def test_archive_is_told_by_content_not_by_name(store: Store, png: Png) -> None:
    path = store("faces.zip", {"1.png": png(1)})
    assert open_container(path.rename(path.with_suffix(".download"))).kind == "zip"


def test_damaged_zip_member_is_unreadable_and_its_neighbour_is_not(tmp_path: Path, png: Png) -> None:
    path = tmp_path / "faces.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("1.png", png(1))
        archive.writestr("2.png", png(2))
    data = bytearray(path.read_bytes())
    data[data.index(png(1)) + 50] ^= 0xFF
    path.write_bytes(data)
    first, second = open_container(path).members(["1.png", "2.png"])
    with pytest.raises(Unreadable, match="CRC"):
        first.read()
    assert second.read() == png(2)


def test_a_vanished_file_ends_the_reading(store: Store, png: Png) -> None:
    path = store("faces", {"1.png": png(1)})
    (member,) = open_container(path).members(["1.png"])
    (path / "1.png").unlink()
    with pytest.raises(EnvironmentProblem, match=r"1\.png, which existed a moment ago: No such file"):
        member.read()


def encrypted(zip_bytes: bytes) -> bytes:
    """Set the encryption flag in the local header and in the directory."""
    data = bytearray(zip_bytes)
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    return bytes(data)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: b"\n<!DOCTYPE html><title>Google Drive - Quota exceeded</title>", "HTML page.*quota"),
        (lambda data: data[: len(data) // 2], "truncated or damaged zip"),
        (encrypted, "encrypted"),
        (lambda data: b"", "empty file"),
        (lambda data: b"7z\xbc\xaf\x27\x1c" + data, "7-Zip"),
        (lambda data: b"Rar!\x1a\x07\x01\x00" + data, "RAR"),
        (lambda data: b"\x89PNG" + data[:20], "neither a folder nor a"),
    ],
    ids=["html", "truncated", "encrypted", "empty", "7z", "rar", "other"],
)
def test_what_is_no_readable_zip_is_told(store: Store, png: Png, damage: Callable[[bytes], bytes], words: str) -> None:
    path = store("img_align_celeba.zip", {"1.png": png(1)})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=words) as caught:
        open_container(path)
    assert "img_align_celeba.zip" in caught.value.message


@pytest.mark.parametrize("form", ["faces.tar", "faces.tar.gz", "faces.tar.xz"])
def test_truncated_tar_is_told(store: Store, png: Png, form: str) -> None:
    path = store(form, {f"{at}.png": png(at) for at in range(9)})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 3])
    with pytest.raises(InputError, match="not a whole tar archive"):
        open_container(path)


def test_absent_source_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.zip does not exist"):
        open_container(tmp_path / "nowhere.zip")


def test_dangling_link_is_unreadable(store: Store, png: Png) -> None:
    path = store("faces", {"1.png": png(1)})
    try:
        (path / "2.png").symlink_to("nowhere.png")
    except OSError:
        pytest.skip("this account may not make links")
    container = open_container(path)
    assert container.identity
    _, link = container.members(container.names)
    with pytest.raises(Unreadable, match="cannot be read"):
        link.read()


@pytest.mark.parametrize("form", ["faces", "faces.zip", "faces.tar"])
def test_identity_follows_the_content(store: Store, png: Png, form: str) -> None:
    first = open_container(store(form, {"1.png": png(1)})).identity
    assert open_container(store(form, {"1.png": png(1) + b"more"})).identity != first


def test_out_of_order_tar_leaves_no_file_behind(
    store: Store, png: Png, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = store("faces.tar.gz", {"2.png": png(2), "1.png": png(1)})
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    container = open_container(path)
    assert len(list(container.members(container.names))) == 2
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize("at", ["root", "root/celeba"])
@pytest.mark.parametrize("unpacked", [True, False])
def test_torchvisions_celeba_root(store: Store, png: Png, tmp_path: Path, at: str, unpacked: bool) -> None:
    images = {f"img_align_celeba/{number:06d}.jpg": png(number) for number in (1, 2)}
    other = {"celeba/diagrams/plot.png": png(9)}
    if unpacked:
        store("root", {f"celeba/{name}": data for name, data in images.items()} | other)
    else:
        store("root", other)
        store("root/celeba/img_align_celeba.zip", images)
    assert open_container(tmp_path / at).names == list(images)


def told(path: Path) -> list[str]:
    """Why more images may belong to those at ``path``: part of the warnings of whatever reads them."""
    container = open_container(path)
    sentences = container.passed_over.incomplete
    assert set(sentences) <= set(container.passed_over.warnings(path, len(container.names)))
    return sentences


@pytest.mark.parametrize("form", ["faces.zip", "faces.tar", "faces.tar.gz", "faces.tgz"])
@pytest.mark.parametrize("source", ["faces", "."])
def test_a_half_unpacked_folder_beside_its_archive_is_warned_of(
    store: Store, png: Png, tmp_path: Path, form: str, source: str
) -> None:
    files = {f"a/{at}.png": png(at) for at in range(3)}
    store("faces", dict(list(files.items())[:2]))
    archive = store(form, files)
    assert len(open_container(tmp_path / source).names) == 2
    (said,) = told(tmp_path / source)
    assert said.startswith(f"{tmp_path / 'faces'} holds 2 images, but {form} beside it holds 3: ")
    assert said.endswith(f"name {archive}.")
    store("faces", files)
    assert told(tmp_path / source) == []


@pytest.mark.parametrize("source", ["archive/img", "archive/img/img"])
@pytest.mark.parametrize("own", ["", "archive/"])
def test_a_part_of_a_half_unpacked_archive(store: Store, png: Png, tmp_path: Path, source: str, own: str) -> None:
    store("archive/img/img", {f"{at}.png": png(at) for at in range(2)})
    other = {f"{own}other/{at}.png": png(at) for at in range(3)}
    store("archive.zip", other | {f"{own}img/img/{at}.png": png(at) for at in range(2)})
    assert told(tmp_path / source) == []
    store("archive.zip", other | {f"{own}img/img/{at}.png": png(at) for at in range(3)})
    assert f"{tmp_path / source} holds 2 images, but archive.zip beside it holds 3" in told(tmp_path / source)[0]


@pytest.mark.parametrize("root", ["celeba/img_align_celeba", "Img/img_align_celeba"])
def test_celebas_own_folder_half_unpacked(store: Store, png: Png, tmp_path: Path, root: str) -> None:
    files = {f"img_align_celeba/{at}.jpg": png(at) for at in range(3)}
    store(root, {"1.jpg": png(1)})
    store(f"{root}.zip", files)
    assert len(open_container(tmp_path).names) == 1
    assert f"{tmp_path / root} holds 1 image, but img_align_celeba.zip beside it holds 3" in told(tmp_path)[0]


def test_an_empty_folder_beside_its_archive_is_no_obstacle(store: Store, png: Png, tmp_path: Path) -> None:
    for name in ("img_align_celeba", "faces"):
        (tmp_path / name).mkdir()
        archive = store(f"{name}.zip", {"1.png": png(1)})
    assert open_container(tmp_path).path == tmp_path / "img_align_celeba.zip"
    with pytest.raises(InputError) as caught:
        open_container(tmp_path / "faces")
    assert caught.value.remedy == f"Name the archive beside it instead: {archive}"


def test_a_damaged_archive_beside_a_folder_is_not_its_matter(store: Store, png: Png, tmp_path: Path) -> None:
    (tmp_path / "faces.zip").write_bytes(b"PK\3\4")
    assert open_container(store("faces", {"1.png": png(1)})).names == ["1.png"]


@pytest.mark.parametrize("root", [".", "CelebA"])
def test_celebas_own_tree_gives_its_archive(store: Store, png: Png, tmp_path: Path, root: str) -> None:
    (tmp_path / root / "Img").mkdir(parents=True)
    archive = store(f"{root}/Img/img_align_celeba.zip", {"1.jpg": png(1)})
    assert open_container(tmp_path).path == archive


def end_in_zeros(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes(1 << 17)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.zip", lambda whole: whole[:-40], "a.zip is a truncated or damaged zip: its end is missing.*again, whole"),
        ("a.zip", end_in_zeros, "at least its last 131,072 bytes are zeros.*again, whole"),
        ("a.zip.001", lambda whole: whole[:-40], "a.zip.001 is a volume of a split archive.*Join the volumes"),
        ("a.zip.crdownload", lambda whole: whole[:-40], "is an unfinished download, and cannot be read by itself"),
        ("a.zip", lambda whole: whole[:-18] + b"\2" + whole[-17:], "last volume of a split zip.*zip -s 0 a.zip"),
        ("a.zip", lambda whole: b"\xfe" + whole[1:-18] + b"\2" + whole[-17:], "last volume of a split zip"),
        ("a.zip.002", lambda whole: b"\xfe\xfd" * 99, "a.zip.002 is a volume of a split archive"),
        ("a.zip", lambda whole: bytes(1 << 18), "is a file of zeros, .*never filled it"),
        ("a.zip", lambda whole: b"\x89HDF\r\n\x1a\n" + bytes(99), "is a truncated or damaged HDF5 file"),
        ("a.zip", lambda whole: b'{"error": {"code": 403}}', "is an error message in JSON"),
        ("a.zip", lambda whole: b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer.*git lfs pull"),
        ("a.zip", lambda whole: b"RIFF\0\0\0\0WAVE", "is a WAV sound, not a folder or an archive of images"),
        ("a.csv", lambda whole: b"image,male\n1.jpg,1\n", "is a text file, neither a folder nor a"),
    ],
)
def test_each_file_is_called_what_it_is(
    store: Store, png: Png, tmp_path: Path, name: str, data: Callable[[bytes], bytes], words: str
) -> None:
    (tmp_path / name).write_bytes(data(store("whole.zip", {"1.png": png(1)}).read_bytes()))
    with pytest.raises(InputError, match=words):
        open_container(tmp_path / name)


def test_an_image_in_place_of_its_folder_names_the_folder(png: Png, tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(png(1))
    with pytest.raises(InputError, match=rf"1\.jpg is a PNG image, .* Name the folder it is in: {tmp_path}"):
        open_container(tmp_path / "1.jpg")


def test_a_zip_behind_something_else_is_read(store: Store, png: Png, tmp_path: Path) -> None:
    path = store("faces.zip", {"1.png": png(1)})
    path.write_bytes(b"#!/bin/sh\nexec unzip $0\n" + b"\xfe" * 99 + path.read_bytes())
    found = open_container(path)
    assert [member.read() for member in found.members(found.names)] == [png(1)]


def test_a_bomb_is_not_inflated(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "LARGEST_IMAGE", 1000)
    for name in ("faces.zip", "faces.tar.gz"):
        found = open_container(store(name, {"1.png": bytes(1001)}))
        with pytest.raises(Unreadable, match="1,001 bytes, too large for an image"):
            next(iter(found.members(found.names))).read()


def test_weights_in_place_of_images_are_called_what_they_are(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:  # as torch.save names its members
        archive.writestr("archive/data.pkl", b"")
        archive.writestr("archive/version", b"3")
    with pytest.raises(InputError, match=r"faces\.zip is a PyTorch file \(torch\.save\), not a folder"):
        open_container(tmp_path / "faces.zip")


@pytest.mark.parametrize(
    ("form", "inside", "words"),
    [
        ("a.gz", gzip.compress(b"\x93NUMPY\1\0v", mtime=0), "a gzip file that holds a NumPy array"),
        (
            "a.tar.gz",
            gzip.compress(gzip.compress(b"x" * 999, mtime=0), mtime=0),
            "a gzip file that holds a gzip file, not a tar",
        ),
        ("a.tar.bz2", bz2.compress(b"<html>quota"), "a bzip2 file that holds an HTML page"),
        ("a.tar.xz", lzma.compress(b"\xff\xd8\xff\xe0" * 99), " an xz file that holds a JPEG image"),
        ("a.tar.gz", gzip.compress(b"\xfe\xfd\xfc" * 999, mtime=0), "a gzip file that holds other data, not a tar"),
        ("a.tar.gz.aa", gzip.compress(b"ustar" * 999, mtime=0)[:-20], "a volume of a split archive"),
    ],
)
def test_what_is_compressed_and_no_tar_is_named(tmp_path: Path, form: str, inside: bytes, words: str) -> None:
    (tmp_path / form).write_bytes(inside)
    with pytest.raises(InputError, match=words) as caught:
        open_container(tmp_path / form)
    assert "again" not in str(caught.value)


@pytest.mark.parametrize("names", [("xaa", "xab", "xac"), ("faces.001", "faces.002", "faces.003")])
def test_pieces_of_split_are_told_by_those_beside_them(
    store: Store, png: Png, tmp_path: Path, names: tuple[str, ...]
) -> None:
    whole = store("whole.zip", {"1.png": png(1)}).read_bytes()
    for at, name in enumerate(names):
        (tmp_path / name).write_bytes(whole[at::3] if at else whole[:-40])
    for name in names:
        with pytest.raises(InputError, match=r"is a volume of a split archive.*cat (x|faces.)[?]+ > whole"):
            open_container(tmp_path / name)
    (tmp_path / names[1]).unlink()
    with pytest.raises(InputError, match="its end is missing"):
        open_container(tmp_path / names[0])


def test_a_zip_over_4_gib_without_zip64_is_said(
    store: Store, png: Png, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In small: offsets wrap at 512 bytes in place of 4 GiB."""
    path = store("faces.zip", {f"{at}.png": png(at) for at in range(3)})
    assert open_container(path).names == ["0.png", "1.png", "2.png"]
    data = bytearray(path.read_bytes())
    for at in (found.start() for found in re.finditer(b"PK\1\2", data)):
        data[at + 42 : at + 46] = (int.from_bytes(data[at + 42 : at + 46], "little") % 512).to_bytes(4, "little")
    data[-6:-2] = (int.from_bytes(data[-6:-2], "little") % 512).to_bytes(4, "little")
    path.write_bytes(data)
    monkeypatch.setattr(damage, "_FOUR_GIB", 512)
    with pytest.raises(InputError, match=r"over 4 GB without ZIP64 records, as macOS makes them.*not damaged"):
        open_container(path)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind this account")
def test_a_file_that_may_not_be_read_is_not_called_damaged(store: Store, png: Png) -> None:
    path = store("faces.zip", {"1.png": png(1)})
    path.chmod(0)
    with pytest.raises(InputError, match=r"Cannot read .*Permission denied"):
        open_container(path)


def test_a_folder_with_a_database_in_place_of_images_says_so(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(bytes(16) + b"\xde\xc0\xef\xbe" + bytes(4000))
    with pytest.raises(InputError, match=r"No image found in .*It is an LMDB database.*data.py export"):
        open_container(tmp_path)


def test_a_file_in_an_images_place_is_called_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    with pytest.raises(InputError, match=r"Cannot read the image 1\.png in .*: not an image but a Git LFS pointer"):
        list(open_images(tmp_path))
