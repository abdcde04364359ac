"""Each kind of file is told by its content, under whatever name, and an ordinary one is not mistaken for it."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import sqlite3
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save
from tensorboard.summary.writer.record_writer import RecordWriter

from facegen.file_kinds import HEAD, kind_by_name, kind_of, kind_of_file


def written(write: Any, *words: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    write(*words, file, **options) if write is torch.save else write(file, *words, **options)
    return file.getvalue()


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.png"))
    return file.getvalue()


def hdf5() -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as content:
        content["x"] = [1]
    return file.getvalue()


def image(format: str, mode: str = "RGB", **options: Any) -> bytes:
    return written(lambda file, **more: Image.new(mode, (9, 8)).save(file, format, **more), **options)


def tfrecord() -> bytes:
    file = io.BytesIO()
    RecordWriter(file).write(b"example")
    return file.getvalue()


TFRECORD = tfrecord()
TABLE = pa.table({"x": [1]})
TENSORS = {"a": torch.zeros(2)}
PAGE = "<!DOCTYPE html><html><title>Google Drive - Quota exceeded</title></html>"
KINDS: dict[str, list[bytes]] = {
    "a 7-Zip archive": [b"7z\xbc\xaf\x27\x1c\0\4" + bytes(40)],
    "a RAR archive": [b"Rar!\x1a\x07\x01\x00more", b"Rar!\x1a\x07\x00more"],
    "a zip archive": [zipped("a.png"), zipped(), zipped("images/1.npy"), b"PK00PK\3\4" + bytes(30)],
    "a volume of a split zip": [b"PK\7\x08PK\3\4" + bytes(30)],
    "a gzip file": [gzip.compress(b"x", mtime=0)],
    "a bzip2 file": [bz2.compress(b"x")],
    "an xz file": [lzma.compress(b"x")],
    "an lzma file": [lzma.compress(b"x", format=lzma.FORMAT_ALONE)],
    "a zstd file": [pa.compress(b"x" * 99, "zstd", asbytes=True)],
    "an lz4 file": [pa.compress(b"x" * 99, "lz4", asbytes=True)],
    "an lzip file": [b"LZIP\1\x0c" + bytes(30)],
    "a compress (.Z) file": [b"\x1f\x9d\x90" + bytes(30)],
    "a plain tar archive": [tarred()],
    "a cpio archive": [b"070701" + b"0" * 104, b"070707" + b"0" * 70],
    "a Debian package": [b"!<arch>\ndebian-binary   1"],
    "an ar archive": [b"!<arch>\nfoo.o/"],
    "an HDF5 file": [hdf5()],
    "a Parquet file": [written(lambda file: pyarrow.parquet.write_table(TABLE, file))],
    "a Feather file": [b"FEA1" + b"\0" * 60],
    "an Arrow file": [written(lambda file: pyarrow.feather.write_feather(TABLE, file))],
    "a NumPy array (.npy)": [written(np.save, np.zeros(2))],
    "a NumPy .npz file": [written(np.savez, np.zeros(2)), written(np.savez_compressed, mu=np.zeros(2))],
    "an LMDB database": [bytes(16) + b"\xde\xc0\xef\xbe" + bytes(40)],
    "a TFRecord file": [TFRECORD],
    "a safetensors file": [save(TENSORS), save(TENSORS, {"format": "pt"})],
    "a PyTorch file (torch.save)": [written(torch.save, TENSORS)],
    "a PyTorch file of the format before 1.6": [
        written(torch.save, TENSORS, _use_new_zipfile_serialization=False),
    ],
    "a Python pickle": [pickle.dumps({"G_ema": 1}, protocol) for protocol in (2, 3, 4, 5)],
    "an ONNX model": [b"\x08\x08\x12\x07pytorch\x1a\x052.4.0"],
    "a GGUF model": [b"GGUF\3\0\0\0"],
    "an HTML page": [
        PAGE.encode(),
        b"\n\n  \t" + PAGE.lower().encode(),
        b"\xef\xbb\xbf" + PAGE.encode(),
        PAGE.encode("utf-16"),
        b"<!-- saved from url=(0014)about:internet -->\n" + PAGE.encode(),
        b'<?xml version="1.0" encoding="UTF-8"?>\n<!-- x --><html xmlns="http://www.w3.org/1999/xhtml">',
        b"<HEAD><META>",
        b"<script>location='x'</script>",
        b"<!-- " + b"x" * 2000,
    ],
    "an error message in JSON": [b'{"error": {"code": 403, "message": "Rate limit"}}', b'\n{"detail":"Not found"}'],
    "a JSON file": [json.dumps({"labels": [["1.png", 3]]}).encode(), b"[1, 2]"],
    "an error message in XML": [b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>'],
    "an XML file": [b'<?xml version="1.0"?><annotation/>'],
    "a Git LFS pointer": [b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"],
    "an internet shortcut": [
        b"[InternetShortcut]\r\nURL=https://drive.google.com/x\r\n",
        b'<?xml version="1.0"?><!DOCTYPE plist><plist version="1.0"><dict><key>URL</key><string>x</string></dict>',
        b"[Desktop Entry]\nType=Link\n",
    ],
    "a Windows shortcut": [b"L\0\0\0\1\x14\2\0" + bytes(60)],
    "a torrent": [b"d8:announce35:udp://tracker.example:80/announce"],
    "a PDF": [b"%PDF-1.7\n"],
    "an office document": [zipped("[Content_Types].xml")],
    "a text file": [b"name,partition\n1.jpg,0\n", "Łódź\n".encode() * 400],
    "an empty file": [b""],
    "a file of zeros": [bytes(512)],
    "a PNG image": [image("PNG")],
    "a JPEG image": [image("JPEG")],
    "a GIF image": [image("GIF")],
    "a BMP image": [image("BMP")],
    "a TIFF image": [image("TIFF")],
    "a WebP image": [image("WEBP")],
    "an AVIF image": [image("AVIF")],
    "a JPEG 2000 image": [image("JPEG2000"), image("JPEG2000", no_jp2=True)],
    "an ICO image": [image("ICO")],
    "a QOI image": [image("QOI")],
    "a PPM image": [image("PPM"), b"P5\n# made by hand\n2 2\n255\n\0\1\2\3"],
    "a HEIC image": [b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"],
    "an SVG image": [b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg">', b"<svg></svg>"],
    "a WAV sound": [b"RIFF\x24\0\0\0WAVEfmt "],
    "an AVI video": [b"RIFF\x24\0\0\0AVI LIST"],
    "an MP4 video": [b"\0\0\0\x18ftypisom\0\0\2\0"],
}


@pytest.mark.parametrize(("name", "data"), [(name, data) for name, instances in KINDS.items() for data in instances])
def test_a_kind_is_told_by_its_first_bytes(name: str, data: bytes) -> None:
    kind = kind_of(data[:HEAD])
    assert kind is not None and kind.name == name


@pytest.mark.parametrize("data", [b"BMW is a make of cars\n" * 9, b"P3 is a format\n", b"RIFF raff\n", b"PAR", b"MM\n"])
def test_a_text_that_begins_like_another_kind_is_a_text(data: bytes) -> None:
    kind = kind_of(data)
    assert kind is not None and kind.name == "a text file"


@pytest.mark.parametrize("data", [TFRECORD[:8] + b"\0\0\0\0more", bytes(range(1, 200)), b"\xfe" * 30])
def test_other_bytes_are_no_known_kind(data: bytes) -> None:
    assert kind_of(data) is None


@settings(deadline=None, max_examples=150, derandomize=True)
@given(st.binary(max_size=64), st.sampled_from([data for instances in KINDS.values() for data in instances]))
def test_no_bytes_make_it_fail(noise: bytes, whole: bytes) -> None:
    for data in (noise, whole[: len(noise)], whole[: len(noise)] + noise):
        kind = kind_of(data)
        assert kind is None or kind.name.startswith(("a ", "an "))


def disk_image(path: Path) -> None:
    with path.open("wb") as file:
        file.seek(32769)
        file.write(b"CD001")


def macos_image(path: Path) -> None:
    path.write_bytes(b"x\x01" + bytes(2000) + b"koly" + bytes(508))


def sparse_zeros(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 28)


def lmdb_folder(path: Path) -> None:
    path.mkdir()
    (path / "data.mdb").write_bytes(bytes(16) + b"\xde\xc0\xef\xbe" + bytes(4000))


def torchscript(path: Path) -> None:
    """The members that torch.jit.save of PyTorch 2.14 writes, in its order."""
    path.write_bytes(zipped("x/data/0", "x/data.pkl", "x/code/__torch__.py", "x/constants.pkl", "x/version"))


def database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("create table t (x)")
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (disk_image, "an ISO disk image"),
        (macos_image, "a macOS disk image"),
        (sparse_zeros, "a file of zeros"),
        (lmdb_folder, "an LMDB database"),
        (database, "an SQLite database"),
        (torchscript, "a TorchScript module"),
    ],
)
def test_a_kind_that_its_first_bytes_do_not_tell(tmp_path: Path, write: Any, name: str) -> None:
    write(tmp_path / "x")
    kind = kind_of_file(tmp_path / "x")
    assert kind is not None and kind.name == name


def test_a_file_that_only_begins_with_zeros_is_not_of_zeros(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(5000) + struct.pack("<d", 1.5))
    assert kind_of_file(tmp_path / "x") is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("celeba.zip.001", "archive"),
        ("celeba.zip.002", "archive"),
        ("celeba.tar.gz.aa", "archive"),
        ("celeba.tgz.ab", "archive"),
        ("celeba.tar.part-ac", "archive"),
        ("celeba.zip.part01", "archive"),
        ("celeba.z01", "zip"),
        ("celeba.7z.003", "7-Zip archive"),
        ("celeba.part2.rar", "RAR archive"),
        ("celeba.r00", "RAR archive"),
    ],
)
def test_a_volume_is_told_by_its_name(name: str, kind: str) -> None:
    found = kind_by_name(name)
    assert found is not None and found.name == f"a volume of a split {kind}" and found.remedy


@pytest.mark.parametrize("name", ["a.zip.crdownload", "a.zip.part", "A.ZIP.PARTIAL", "a.tar.gz.aria2"])
def test_an_unfinished_download_is_told_by_its_name(name: str) -> None:
    found = kind_by_name(name)
    assert found is not None and found.name == "an unfinished download"


@pytest.mark.parametrize(
    "name", ["a.zip", "a.tar.gz", "a.tar.bz2", "a.tar.bz", "a.tar.xz", "a.tgz", "a.npz", "001.png"]
)
def test_an_ordinary_name_is_none_of_either(name: str) -> None:
    assert kind_by_name(name) is None
