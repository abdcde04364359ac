"""What a few bytes may claim, and what is no regular file: refused in words, before time or memory goes into it."""

from __future__ import annotations

import gzip
import io
import os
import struct
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from facegen.data import caps
from facegen.data import decode as rules
from facegen.data.compressed import Decompressed
from facegen.data.decode import Unreadable, decode
from facegen.data.images import open_images
from facegen.data.opening import open_container
from facegen.data.partition import read_partition
from facegen.data.rgb import AS_STORED
from facegen.data.sources import MOST_SYNTHETIC, open_source
from facegen.errors import InputError
from facegen.files import open_regular, read_regular, sha256_file

needs_pipes = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in folders")


def png(side: int) -> bytes:
    """A black picture: few bytes for its pixels."""
    file = io.BytesIO()
    Image.new("RGB", (side, side)).save(file, "PNG")
    return file.getvalue()


def with_zeros(path: Path, header: bytes, count: int) -> None:
    """A gzip file of a header and so many zeros, that is a thousandth of that."""
    with gzip.open(path, "wb", 1) as file:
        file.write(header + bytes(count))


def overlapping(path: Path) -> None:
    """A zip whose directory lists one member twice."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", png(8))
        archive.filelist.append(archive.filelist[0])


def packed_twice(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(60):
            archive.writestr(f"{number}.bmp", bytes(1 << 20))


def many_names(path: Path) -> None:
    """A tar of one image with a thousand names."""
    with tarfile.open(path, "w:gz") as tar:
        for number in range(1000):
            entry = tarfile.TarInfo(f"{number}.png")
            entry.type, entry.linkname = (tarfile.LNKTYPE, "0.png") if number else (tarfile.REGTYPE, "")
            entry.size = 0 if number else 100_000
            tar.addfile(entry, io.BytesIO(bytes(100_000)))


def long_name(path: Path) -> None:
    entry = tarfile.TarInfo("././@LongLink")
    entry.type, entry.size = tarfile.GNUTYPE_LONGNAME, 1 << 40
    path.write_bytes(entry.tobuf(tarfile.GNU_FORMAT))


def huge_array(path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (10**12, 64, 64, 3)})
    path.write_bytes(header.getvalue())


def link_by_bzip2(path: Path) -> None:
    """A link is read as its archive is opened."""
    link = zipfile.ZipInfo("a.png")
    link.external_attr, link.compress_type = 0o120777 << 16, zipfile.ZIP_BZIP2
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, "b.png")


def sparse_map(path: Path) -> None:
    """A map of a million parts, in blocks that go on and on."""
    header = bytearray(tarfile.TarInfo("a").tobuf(tarfile.GNU_FORMAT))
    header[156:157], header[482] = b"S", 1
    header[148:156] = b"%06o\0 " % (256 + sum(header[:148]) + sum(header[156:]))
    with gzip.open(path, "wb", 1) as file:
        file.write(bytes(header) + (b"00000000001\0" * 42 + b"\1".ljust(8, b"\0")) * 3000)


def parts_of_sparse_files(path: Path) -> None:
    """Maps that are short each, and long together."""
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as tar:
        for number in range(20):
            entry = tarfile.TarInfo(f"{number}.png")
            entry.pax_headers = {"GNU.sparse.map": ",".join(["0"] * 40_000), "GNU.sparse.size": "9"}
            tar.addfile(entry)


BOMBS = {
    "overlapping.zip": (overlapping, "members overlap"),
    "bytes.zip": (packed_twice, "more than 100 times as many"),
    "zeros.tar.gz": (
        lambda path: with_zeros(path, tarfile.TarInfo("a").tobuf(), 40 << 20),
        "more than 100 times as many",
    ),
    "names.tar.gz": (many_names, "more than 100 times as many"),
    "name.tar": (long_name, "more than 1,048,576 bytes of names, attributes"),
    "link.zip": (link_by_bzip2, "'a.png' is compressed by another method than deflate"),
    "map.tar.gz": (sparse_map, "more than 1,048,576 bytes of names, attributes and sparse-file maps"),
    "array.npy": (huge_array, "claims more than 2,000,000 entries"),
    "header.npy": (
        lambda path: path.write_bytes(b"\x93NUMPY\2\0" + struct.pack("<I", 1 << 31)),
        "its header is damaged",
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_words(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caps, "FREE_TOTAL", 32 << 20)  # quicker than the real one
    make, words = BOMBS[name]
    make(tmp_path / name)
    with pytest.raises(InputError, match=words):
        open_container(tmp_path / name)


def test_images_of_too_many_pixels_for_their_archive_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caps, "FREE_PIXELS", 500_000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(9):
            archive.writestr(f"{number}.png", png(300))
    with pytest.raises(InputError, match=r"images have more than 540,000 pixels, more than 100 per byte"):
        list(open_images(tmp_path / "a.zip"))


def test_an_image_of_too_many_pixels_for_its_bytes_is_unreadable() -> None:
    with pytest.raises(Unreadable, match=r"9,006,001 pixels in [\d,]+ bytes, which looks like a decompression bomb"):
        decode(png(3001), AS_STORED)


def test_a_jpeg_of_endless_scans_is_unreadable() -> None:
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    last = data[data.rfind(b"\xff\xda") : -2]
    with pytest.raises(Unreadable, match=r"a JPEG of 1,\d\d\d scans"):
        decode(data[:-2] + last * 1000 + data[-2:], AS_STORED)


def test_a_member_that_claims_more_than_its_bytes_can_be_is_unreadable(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.bmp", bytes(8 << 20))
    container = open_container(tmp_path / "a.zip")
    with pytest.raises(Unreadable, match="which looks like a decompression bomb"):
        next(iter(container.members(container.names))).read()


@pytest.mark.parametrize("number", ["0", "1000001", "9" * 5000, "-1", "1e3", "²"])
def test_drawn_faces_have_a_range(number: str) -> None:
    with pytest.raises(InputError, match="from 1 to 1,000,000"):
        open_source(f"synthetic:{number}")
    assert MOST_SYNTHETIC == 1_000_000


@needs_pipes
@pytest.mark.parametrize(
    "read", [open_container, read_partition, sha256_file, open_regular, lambda p: read_regular(p, 9)]
)
def test_a_named_pipe_is_never_waited_for(read: object, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.zip")
    with pytest.raises((InputError, OSError), match="a named pipe, not a regular file"):
        read(tmp_path / "pipe.zip")  # type: ignore[operator]


@needs_pipes
def test_a_link_to_a_device_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "zeros.npz").symlink_to("/dev/zero")
    with pytest.raises(InputError, match="a device, not a regular file"):
        open_container(tmp_path / "zeros.npz")


def test_a_file_beyond_its_cap_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(zlib.compress(b""))
    assert read_regular(tmp_path / "file", 8) == zlib.compress(b"")
    with pytest.raises(OSError, match="more than 7 bytes"):
        read_regular(tmp_path / "file", 7)


def test_the_parts_of_sparse_files_count_as_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caps, "MOST_ENTRIES", 100_000)
    parts_of_sparse_files(tmp_path / "a.tar.gz")
    with pytest.raises(InputError, match="claims more than 100,000 entries"):
        open_container(tmp_path / "a.tar.gz")


def starts(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One more for each time that a compressed file is unpacked from its beginning."""
    begun: list[None] = []
    start = Decompressed._start
    monkeypatch.setattr(Decompressed, "_start", lambda self: (begun.append(None), start(self))[1])
    return begun


def test_many_names_of_one_image_unpack_its_archive_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, image = starts(monkeypatch), png(8) + bytes(1 << 20)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz", compresslevel=1) as tar:
        for number in range(9):
            entry = tarfile.TarInfo(f"{number}.png")
            entry.type, entry.linkname = (tarfile.LNKTYPE, "0.png") if number else (tarfile.REGTYPE, "")
            entry.size = 0 if number else len(image)
            tar.addfile(entry, io.BytesIO(image))
    container = open_container(tmp_path / "a.tar.gz")
    assert {member.read() for member in container.members(container.names)} == {image}
    assert len(begun) == 2, "once for its list, and once for its images"


def test_many_joined_archives_are_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = starts(monkeypatch)
    joined = (tarfile.TarInfo("a").tobuf() + bytes(1024)) * 300
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(joined, 1))
    with pytest.raises(InputError, match="No image found"):
        open_container(tmp_path / "a.tar.gz")
    assert len(begun) <= 4, "for its list, and for what may lie in it"


def test_steps_back_in_a_compressed_file_read_the_same(tmp_path: Path) -> None:
    data = np.random.default_rng(0).bytes(2_000_000)
    (tmp_path / "a.gz").write_bytes(gzip.compress(data, 1))
    with Decompressed(tmp_path / "a.gz", "gz") as file:
        for offset in (0, 1_500_000, 1_400_000, 1_450_000, 3, 1_999_990, 1_500_000):
            assert file.seek(offset) == file.tell() == offset
            assert file.read(200_000) == data[offset:][: file.tell() - offset] and file.tell() > offset


def test_a_tile_of_a_tiff_is_unpacked_as_a_whole() -> None:
    """A tile of 20,000 by 20,000 of a picture of 64 by 64: what is compared is what takes the memory."""
    tags = [(256, 64), (257, 64), (258, 8), (259, 8), (262, 1), (277, 1), (322, 20_000), (323, 20_000)]
    tags += [(324, 150), (325, 9)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    data = struct.pack("<4sIH", b"II*\0", 8, len(tags)) + entries + bytes(4) + bytes(40)
    with pytest.raises(Unreadable, match="more than 89,478,485 pixels"):
        decode(data, AS_STORED)


def jpeg_2000(**options: Any) -> bytearray:
    file = io.BytesIO()
    Image.new("RGB", (96, 96)).save(file, "JPEG2000", no_jp2=True, num_resolutions=1, **options)
    return bytearray(file.getvalue())


@pytest.mark.skipif(not features.check("jpg_2000"), reason="this Pillow has no OpenJPEG")
@pytest.mark.parametrize("part", ["precincts", "code-blocks", "tiles"])
def test_a_jpeg_2000_of_too_many_parts_is_unreadable(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "MOST_PARTS", 500)  # so that a small picture can have more
    data = jpeg_2000(precinct_size=(256, 256))
    decode(bytes(data), AS_STORED)
    style, sizes = data.index(b"\xff\x52"), data.index(b"\xff\x51")
    if part == "precincts":
        data[style + 14] = 0x11
    elif part == "code-blocks":
        data[style + 10 : style + 12] = b"\0\0"
    else:
        data[sizes + 22 : sizes + 30] = struct.pack(">2I", 4, 4)
    with pytest.raises(Unreadable, match=r"a JPEG 2000 divided into [\d,]+ parts"):
        decode(bytes(data), AS_STORED)
