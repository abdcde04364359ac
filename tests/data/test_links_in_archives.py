"""Links, sparse files, joined archives and doubled names: no image of an archive is lost without a word."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import stat
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegen.data.compressed import Decompressed, TrailingDataError
from facegen.data.containers import Container
from facegen.data.decode import Unreadable
from facegen.data.opening import open_container
from facegen.errors import InputError

Store = Callable[..., Path]
Png = Callable[[int], bytes]
COMPRESS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
HARD, SYMBOLIC = tarfile.LNKTYPE, tarfile.SYMTYPE


def tar_of(path: Path, entries: Mapping[str, bytes | tuple[bytes, str]]) -> Path:
    """A tar of files (their bytes) and of links and the like (type and target), in order."""
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        for name, content in entries.items():
            header = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                header.size = len(content)
                tar.addfile(header, io.BytesIO(content))
            else:
                header.type, header.linkname = content
                tar.addfile(header)
    return path


def zip_of(path: Path, entries: Mapping[str, bytes | str]) -> Path:
    """A zip of files (bytes) and symbolic links (text)."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            entry = zipfile.ZipInfo(name)
            if isinstance(content, str):
                entry.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(entry, content)
    return path


def read(container: Container) -> dict[str, bytes | str]:
    """The bytes of each image by its name, or why it cannot be read."""
    found: dict[str, bytes | str] = {}
    for member in container.members(container.names):
        try:
            found[member.name] = member.read()
        except Unreadable as problem:
            found[member.name] = problem.reason
    return found


@pytest.mark.parametrize("form", ["faces.tar", "faces.tar.gz"])
def test_links_in_a_tar_are_what_tarfile_takes_them_for(form: str, tmp_path: Path, png: Png) -> None:
    path = tar_of(
        tmp_path / form,
        {
            "a/1.png": png(1),
            "a/2.png": (HARD, "a/1.png"),
            "a/3.png": (HARD, "a/2.png"),
            "b/4.png": (SYMBOLIC, "../a/1.png"),
            "b/5.png": (SYMBOLIC, "4.png"),
            "6.png": (SYMBOLIC, "./b/../a/2.png"),
            "7.png": (SYMBOLIC, "blob"),
            ".cache/8": png(8),
            "8.png": (HARD, ".cache/8"),
            "9.png": (SYMBOLIC, "later.png"),
            "later.png": png(9),
            "blob": png(7),
        },
    )
    with tarfile.open(path) as tar:
        truth = {entry.name: tar.extractfile(entry).read() for entry in tar if entry.name.endswith(".png")}  # type: ignore[union-attr]
    container = open_container(path)
    assert read(container) == truth
    assert (container.passed_over.warnings(path, 9), container.passed_over.total) == ((), 0)


def test_a_link_through_a_linked_folder_leads_on(tmp_path: Path, png: Png) -> None:
    path = tar_of(tmp_path / "x.tar", {"v2/1.png": png(1), "now": (SYMBOLIC, "v2"), "2.png": (SYMBOLIC, "now/1.png")})
    assert read(open_container(path)) == {"v2/1.png": png(1), "2.png": png(1)}


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("nowhere.png", "link to nowhere.png, which is not in the archive"),
        ("/etc/passwd", "outside of the archive"),
        ("../1.png", "outside of the archive"),
        ("2.png", "circle"),
        ("a", "not in the archive"),
    ],
)
@pytest.mark.parametrize("form", ["faces.tar", "faces.zip"])
def test_a_link_that_leads_to_no_image_says_why(form: str, target: str, words: str, tmp_path: Path, png: Png) -> None:
    files = {"1.png": png(1), "a/3.png": png(3)}
    if form.endswith("zip"):
        container = open_container(zip_of(tmp_path / form, {**files, "2.png": target}))
    else:
        container = open_container(tar_of(tmp_path / form, {**files, "2.png": (SYMBOLIC, target)}))
    found = read(container)
    assert words in str(found.pop("2.png"))
    assert found == files


def test_a_hard_link_to_nothing_says_so(tmp_path: Path, png: Png) -> None:
    container = open_container(tar_of(tmp_path / "faces.tar", {"1.png": png(1), "2.png": (HARD, "0.png")}))
    assert read(container) == {"1.png": png(1), "2.png": "a hard link to 0.png, which is not in the archive"}


@pytest.mark.parametrize("form", ["faces.tar", "faces.zip"])
def test_a_link_to_a_folder_outside_is_said_and_one_inside_is_not(form: str, tmp_path: Path, png: Png) -> None:
    links = {"train": "/data/celeba", "same": "a"}
    if form.endswith("zip"):
        path = zip_of(tmp_path / form, {"a/1.png": png(1), **links})
    else:
        path = tar_of(tmp_path / form, {"a/1.png": png(1)} | {name: (SYMBOLIC, to) for name, to in links.items()})
    (sentence,) = open_container(path).passed_over.warnings(path, 1)
    assert "train (a symbolic link to /data/celeba, which is outside of the archive)" in sentence
    assert "same" not in sentence


def test_links_in_a_zip_are_followed(tmp_path: Path, png: Png) -> None:
    path = zip_of(tmp_path / "x.zip", {"a/1.png": png(1), "b/2.png": "../a/1.png", "3.png": "b/2.png"})
    assert read(open_container(path)) == dict.fromkeys(["a/1.png", "b/2.png", "3.png"], png(1))


@pytest.mark.parametrize("kind", [tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, b"M"])
def test_what_is_no_file_is_said(kind: bytes, tmp_path: Path, png: Png) -> None:
    path = tar_of(tmp_path / "faces.tar", {"1.png": png(1), "2.png": (kind, "")})
    container = open_container(path)
    assert container.names == ["1.png"]
    assert any("2.png" in sentence for sentence in container.passed_over.warnings(path, 1))


@pytest.mark.parametrize("form", ["faces.tar", "faces.tar.gz", "faces.zip"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_one_name_twice_the_last_counts_and_it_is_said(form: str, tmp_path: Path, png: Png) -> None:
    path = tmp_path / form
    if form.endswith("zip"):
        with zipfile.ZipFile(path, "w") as archive:
            for seed in (1, 2, 3):
                archive.writestr("1.png", png(seed))
    else:
        with tarfile.open(path, "w:gz" if form.endswith("gz") else "w") as tar:
            for seed in (1, 2, 3):
                header = tarfile.TarInfo("1.png")
                header.size = len(png(seed))
                tar.addfile(header, io.BytesIO(png(seed)))
    container = open_container(path)
    assert read(container) == {"1.png": png(3)}
    (sentence,) = container.passed_over.warnings(path, 1)
    assert sentence.startswith("2 images in")


@pytest.mark.skipif(shutil.which("tar") is None, reason="there is no tar")
@pytest.mark.parametrize("form", ["gnu", "posix --sparse-version=0.0", "posix --sparse-version=0.1", "posix"])
def test_a_sparse_file_is_whole(form: str, store: Store) -> None:
    folder = store("faces", {"1.bmp": b"BM"})
    with (folder / "1.bmp").open("r+b") as file:
        for place in range(1 << 16, 1 << 20, 1 << 16):  # more pieces than a header has places for
            file.seek(place)
            file.write(f"at {place}".encode())
        file.truncate((1 << 20) + 7)
    path = folder.with_suffix(".tar")
    command = ["tar", f"--format={form.split()[0]}", *form.split()[1:], "--sparse", "-C", folder, "-cf", path, "1.bmp"]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("this tar makes no sparse files")
    with tarfile.open(path) as tar:
        if not tar.getmember("1.bmp").issparse():
            pytest.skip("this file system has no sparse files")
    assert read(open_container(path)) == {"1.bmp": (folder / "1.bmp").read_bytes()}


def test_a_sparse_file_that_claims_any_size_is_not_believed(tmp_path: Path) -> None:
    header = tarfile.TarInfo("1.bmp")
    header.pax_headers = {"GNU.sparse.map": "0,0", "GNU.sparse.size": str(1 << 50), "GNU.sparse.name": "1.bmp"}
    with tarfile.open(tmp_path / "faces.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(header)
    assert "1,125,899,906,842,624 bytes, too large for an image" in str(
        read(open_container(tmp_path / "faces.tar"))["1.bmp"]
    )


@pytest.mark.parametrize("compression", COMPRESS)
def test_joined_tars_are_read_to_their_end(compression: str, store: Store, png: Png) -> None:
    parts = [store(f"{at}.tar", {f"{at}/{at}.png": png(at)}).read_bytes() for at in range(3)]
    path = store("joined", {}).with_suffix(f".tar{compression}")
    path.write_bytes(b"".join(map(COMPRESS[compression], parts)))
    assert read(open_container(path)) == {f"{at}/{at}.png": png(at) for at in range(3)}


@pytest.mark.parametrize("compression", COMPRESS)
@pytest.mark.parametrize("tail", [b"garbage" * 99, b"\1" * 512, gzip.compress(b"x", mtime=0), bytes(700) + b"x"])
def test_what_follows_a_tar_and_is_none_is_refused_in_words(
    compression: str, tail: bytes, store: Store, png: Png
) -> None:
    path = store(f"faces.tar{compression}", {"1.png": png(1)})
    path.write_bytes(path.read_bytes() + tail)
    with pytest.raises(InputError, match=r"does not end where its tar archive ends: other data follow .*byte [\d,]+"):
        open_container(path)


@pytest.mark.parametrize("compression", COMPRESS)
def test_zeros_after_a_tar_are_padding(compression: str, store: Store, png: Png) -> None:
    path = store(f"faces.tar{compression}", {"1.png": png(1)})
    path.write_bytes(path.read_bytes() + bytes(300_000))
    assert read(open_container(path)) == {"1.png": png(1)}


@pytest.mark.parametrize("compression", COMPRESS)
def test_a_second_tar_that_is_cut_or_damaged_is_refused(compression: str, store: Store, png: Png) -> None:
    tar = store("faces.tar", {f"{at}.png": png(at) for at in range(3)}).read_bytes()
    damaged = bytearray(tar)
    damaged[1024 + 100] ^= 0xFF  # in the header of the second member
    for second in (tar[:1100], bytes(damaged)):
        path = store("joined", {}).with_suffix(f".tar{compression}")
        path.write_bytes(COMPRESS[compression](tar) + COMPRESS[compression](second))
        with pytest.raises(InputError, match="not a whole tar archive"):
            open_container(path)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4), st.lists(st.integers(0, 1300), max_size=6))
@settings(deadline=None, max_examples=15, derandomize=True)
@pytest.mark.parametrize("compression", ["gz", "bz2", "xz"])
def test_a_compressed_file_is_all_its_streams(
    compression: str, tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], places: list[int]
) -> None:
    path = tmp_path_factory.getbasetemp() / f"streams.{compression}"
    path.write_bytes(b"".join(COMPRESS[f".{compression}"](part) for part in parts))
    whole = io.BytesIO(b"".join(parts))
    with Decompressed(path, compression) as raw, io.BufferedReader(raw, 64) as stream:
        for place in places:
            assert stream.seek(place) >= 0
            whole.seek(place)
            assert stream.read(70) == whole.read(70)
        stream.seek(0)
        assert stream.read() == whole.getvalue()


def test_a_cut_stream_and_a_strange_tail_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"whole")[:-1])
    with pytest.raises(EOFError), Decompressed(path, "gz") as stream:
        stream.read()
    path.write_bytes(gzip.compress(b"whole") + b"tail")
    with pytest.raises(TrailingDataError), Decompressed(path, "gz") as stream:
        stream.read()


def test_joined_zips_are_refused_in_words(store: Store, png: Png) -> None:
    first, second = (store(f"{at}.zip", {f"{at}.png": png(at)}) for at in (1, 2))
    second.write_bytes(first.read_bytes() + second.read_bytes())
    with pytest.raises(InputError, match="several zips joined into one file"):
        open_container(second)


def test_names_of_a_zip_that_are_utf8_without_saying_so(tmp_path: Path, png: Png) -> None:
    path = zip_of(tmp_path / "faces.zip", {"읽기/é.png": png(1), "old-x.png": png(2)})
    data = path.read_bytes().replace(b"old-x", "öld".encode("cp437") + b"-x"[:2])
    for signature, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):  # the flag in each header, and in the directory
        start = data.index(signature) + at
        assert data[start + 1] & 0x08
        data = data[: start + 1] + bytes([data[start + 1] & ~0x08]) + data[start + 2 :]
    path.write_bytes(data)
    assert read(open_container(path)) == {"읽기/é.png": png(1), "öld-x.png": png(2)}


def test_plain_paths_of_every_spelling_are_only_names(tmp_path: Path, png: Png) -> None:
    names = ["./1.png", "../2.png", "/3.png", "a\\b\\4.png", "C:\\5.png", "a//6.png"]
    path = tmp_path / "faces.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for at, name in enumerate(names):
            entry = zipfile.ZipInfo("x")
            entry.filename = name
            archive.writestr(entry, png(at))
        entry = zipfile.ZipInfo("x")
        entry.filename = "a\\folder\\"
        archive.writestr(entry, b"")
    container = open_container(path)
    assert sorted(read(container).values()) == sorted(png(at) for at in range(6))
    assert container.passed_over.total == 0
    assert list(tmp_path.iterdir()) == [path]
