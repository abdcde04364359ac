"""The reader takes what honest writers write, and rejects each kind of bad tarball with its code."""

from __future__ import annotations

import errno
import gzip
import io
import os
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from facegen.data.origin import Origin, png_info
from facegen.submission import decode, gzipped
from facegen.submission.decode import decode_image
from facegen.submission.reader import Submission, read_submission
from facegen.submission.rules import Code, Limits, Rejection, student_number_of

Packer = Callable[..., Path]
Encoder = Callable[..., bytes]


def code_of(path: Path, limits: Limits) -> str:
    """The code for which the tarball at ``path`` is rejected; ``"accepted"`` where it is not."""
    try:
        read_submission(path, limits=limits)
    except Rejection as rejection:
        return rejection.code.value
    return "accepted"


def special(name: str, kind: bytes) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.type, header.linkname = kind, "0.png"
    return header


# What is accepted


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("folder", ["", "images/", "./", "a" * 120 + "/", "fünf/"])
def test_reads_the_pixels_of_every_tar_format(
    form: int, folder: str, picture: Encoder, pack_members: Packer, limits: Limits
) -> None:
    if form == tarfile.USTAR_FORMAT and "ü" in folder:
        pytest.skip("ustar names are bytes without an encoding")
    data = [picture(i) for i in range(3)]
    path = pack_members({f"{folder}{i}.png": data[i] for i in range(3)}, format=form)
    submission = read_submission(path, limits=limits)
    truth = np.stack([np.asarray(Image.open(io.BytesIO(image))) for image in data])
    assert submission.student_number == "s1"
    assert [name.split("/")[-1] for name in submission.names] == ["0.png", "1.png", "2.png"]
    np.testing.assert_array_equal(submission.images, truth)


def test_what_images_say_of_where_they_come_from_is_summed_up(
    picture: Encoder, pack_members: Packer, limits: Limits
) -> None:
    info = png_info(Origin("truncation 0.8", "effnet-lite0"))
    path = pack_members({"0.png": picture(0), **{f"{i}.png": picture(i, pnginfo=info) for i in (1, 2)}})
    expected = Origin("truncation 0.8 (2 of 3 images)", "effnet-lite0 (2 of 3 images)")
    assert read_submission(path, limits=limits).origin == expected


def test_jpeg_is_accepted(picture: Encoder, pack_members: Packer, limits: Limits) -> None:
    path = pack_members({f"{i}.{suffix}": picture(i, "JPEG") for i, suffix in enumerate(["jpg", "JPG", "jpeg"])})
    assert code_of(path, limits) == "accepted"


def test_junk_is_ignored_with_a_note(three: dict[str, bytes], pack_members: Packer, limits: Limits) -> None:
    junk = ("._0.png", ".DS_Store", "__MACOSX/a/b/._0.png", "Thumbs.db", "images/._1.png")
    path = pack_members({**dict.fromkeys(junk, b"junk"), **three})
    assert read_submission(path, limits=limits).notes == (
        "Ignored 5 files that systems and programs left in the archive.",
    )
    path = pack_members({"Icon\r": b"junk", **three})
    assert read_submission(path, limits=limits).notes == (
        "Ignored 1 file that systems and programs left in the archive.",
    )


def test_folder_members_are_fine(three: dict[str, bytes], pack_members: Packer, limits: Limits) -> None:
    headers = [(special(name, tarfile.DIRTYPE), b"") for name in (".", "images")]
    path = pack_members(headers + [(tarfile.TarInfo(f"images/{name}"), data) for name, data in three.items()])
    assert code_of(path, limits) == "accepted"


def test_several_gzip_members_and_zero_padding_are_fine(
    three: dict[str, bytes], pack_members: Packer, limits: Limits
) -> None:
    path = pack_members(three)
    tar = gzip.decompress(path.read_bytes())
    path.write_bytes(b"".join(gzip.compress(tar[i : i + 7000]) for i in range(0, len(tar), 7000)) + bytes(5000))
    assert code_of(path, limits) == "accepted"


def test_a_tar_without_its_closing_zeros_is_fine(three: dict[str, bytes], pack_members: Packer, limits: Limits) -> None:
    path = pack_members(three)
    with tarfile.open(path) as tar:
        last = tar.getmembers()[-1]
    end = last.offset_data + -(-last.size // 512) * 512
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:end]))
    assert code_of(path, limits) == "accepted"


# What is rejected: the file


@pytest.mark.parametrize(
    "name",
    [
        *("s 1.tar.gz", "s1.tgz", "s1.zip", ".tar.gz", "s1 (1).tar.gz", "-s1.tar.gz", "s1.tar.gz.part", "NUL.tar.gz"),
        *("é.tar.gz", "a.b.tar.gz", "x" * 65 + ".tar.gz", "s1.TAR.GZ", "Com1.tar.gz", "lpt9.tar.gz"),
    ],
)
def test_bad_name(name: str, three: dict[str, bytes], pack_members: Packer, limits: Limits, tmp_path: Path) -> None:
    path = pack_members(three).replace(tmp_path / name)
    assert code_of(path, limits) == "bad_name"


@pytest.mark.parametrize("name", ["com0", "com10", "x" * 64])
def test_names_that_are_almost_bad(name: str) -> None:
    assert student_number_of(f"{name}.tar.gz") == name


@pytest.mark.parametrize("data", [b"PK\3\4 zip", b"hello", b"\x1f", b"<html>", bytes(1024)])
def test_not_gzip(data: bytes, tmp_path: Path, limits: Limits) -> None:
    path = tmp_path / "s1.tar.gz"
    path.write_bytes(data)
    assert code_of(path, limits) == "not_gzip"


def test_a_folder_is_not_gzip(tmp_path: Path, limits: Limits) -> None:
    (tmp_path / "s1.tar.gz").mkdir()
    assert code_of(tmp_path / "s1.tar.gz", limits) == "not_gzip"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX")
def test_a_named_pipe_is_not_waited_for(tmp_path: Path, limits: Limits, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, file = tmp_path / "s1.tar.gz", tmp_path / "file"
    os.mkfifo(pipe)
    file.write_bytes(b"")
    assert code_of(pipe, limits) == "not_gzip"
    state = file.stat()
    monkeypatch.setattr(Path, "stat", lambda *_, **__: state)  # it has taken a file's name since that was looked at
    assert code_of(pipe, limits) == "not_gzip"


def test_a_plain_tar_is_told(three: dict[str, bytes], pack_members: Packer, limits: Limits) -> None:
    path = pack_members(three)
    path.write_bytes(gzip.decompress(path.read_bytes()))
    with pytest.raises(Rejection, match="it is a plain tar"):
        read_submission(path, limits=limits)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"PK\3\4" + bytes(99), "it is a zip archive"),
        (b"\xef\xbb\xbf\n<!-- x -->\n<html>", "it is an HTML page"),
        (b'{"error": "not found"}', "it is an error message in JSON"),
        (b"\xfd7zXZ\0" + bytes(99), "it is an xz file"),
        (bytes(1024), "it is a file of zeros"),
        (gzip.compress(gzip.compress(bytes(10240), mtime=0), mtime=0), "data is a gzip file, not a tar archive"),
        (gzip.compress(b"\x89PNG\r\n\x1a\n" + bytes(999), mtime=0), "data is a PNG image, not a tar archive"),
    ],
)
def test_what_is_no_tarball_is_called_what_it_is(data: bytes, words: str, tmp_path: Path, limits: Limits) -> None:
    (tmp_path / "s1.tar.gz").write_bytes(data)
    with pytest.raises(Rejection, match=words):
        read_submission(tmp_path / "s1.tar.gz", limits=limits)


@pytest.mark.parametrize("data", [b"", gzip.compress(b"", mtime=0), gzip.compress(bytes(10240), mtime=0)])
def test_empty(data: bytes, tmp_path: Path, limits: Limits) -> None:
    path = tmp_path / "s1.tar.gz"
    path.write_bytes(data)
    assert code_of(path, limits) == "empty"


def test_an_archive_of_junk_alone_is_empty(pack_members: Packer, limits: Limits) -> None:
    assert code_of(pack_members({".DS_Store": b"x"}), limits) == "empty"


def _wrong_crc(data: bytes) -> bytes:
    return data[:-8] + bytes([data[-8] ^ 1]) + data[-7:]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        _wrong_crc,
        lambda data: data + b"junk",
        lambda data: data + bytes(99) + b"x",
        lambda data: data + gzip.compress(b"junk after the end"),
        lambda data: gzip.compress(b"not a tar at all" * 99),
        lambda data: gzip.compress(gzip.decompress(data)[:700]),
        lambda data: gzip.compress(gzip.decompress(data)[:100] + b"\1" + gzip.decompress(data)[101:]),
        lambda data: data[:2],
    ],
    ids=["cut", "half", "crc", "junk", "padded-junk", "second-archive", "no-tar", "short-tar", "header", "stub"],
)
def test_damaged(
    spoil: Callable[[bytes], bytes], three: dict[str, bytes], pack_members: Packer, limits: Limits
) -> None:
    path = pack_members(three)
    path.write_bytes(spoil(path.read_bytes()))
    assert code_of(path, limits) == "damaged"


# What is rejected: the archive


def test_a_bomb_is_too_large(pack_members: Packer, tmp_path: Path, limits: Limits) -> None:
    path = tmp_path / "s1.tar.gz"
    path.write_bytes(gzip.compress(bytes(1 << 22)))
    assert code_of(path, limits) == "too_large"


def test_a_large_member_is_too_large_by_its_header(pack_members: Packer, tmp_path: Path, limits: Limits) -> None:
    header = tarfile.TarInfo("0.png")
    header.size = 1 << 50  # base 256: past octal's reach
    path = tmp_path / "s1.tar.gz"
    path.write_bytes(gzip.compress(header.tobuf(tarfile.GNU_FORMAT)))
    assert code_of(path, limits) == "too_large"


def test_a_large_file_is_too_large(tmp_path: Path, limits: Limits) -> None:
    path = tmp_path / "s1.tar.gz"
    path.write_bytes(b"\x1f\x8b" + bytes(limits.compressed_bytes))
    assert code_of(path, limits) == "too_large"


def test_many_gzip_members_are_too_large(tmp_path: Path, limits: Limits) -> None:
    (tmp_path / "s1.tar.gz").write_bytes(gzip.compress(b"") * (limits.gzip_members + 1))
    assert code_of(tmp_path / "s1.tar.gz", limits) == "too_large"


def test_a_large_pax_header_is_too_large(pack_members: Packer, limits: Limits) -> None:
    header = tarfile.TarInfo("0.png")
    header.pax_headers = {"comment": "x" * (limits.header_bytes + 1)}
    assert code_of(pack_members([(header, b"")], format=tarfile.PAX_FORMAT), limits) == "too_large"


def test_many_small_pax_records_are_too_large(pack_members: Packer, limits: Limits) -> None:
    header = tarfile.TarInfo("0.png")
    header.pax_headers = {f"k{i}": "v" for i in range(limits.header_records + 1)}
    assert code_of(pack_members([(header, b"")], format=tarfile.PAX_FORMAT), limits) == "too_large"


def test_too_many_members(pack_members: Packer, limits: Limits) -> None:
    assert code_of(pack_members({f"{i}.png": b"" for i in range(21)}), limits) == "too_many_members"


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"S", b"M", b"V", b"Z"],
)
def test_links_and_devices_are_unsafe(
    kind: bytes, three: dict[str, bytes], pack_members: Packer, limits: Limits
) -> None:
    path = pack_members([*((tarfile.TarInfo(n), d) for n, d in three.items()), (special("3.png", kind), b"")])
    assert code_of(path, limits) == "unsafe_member"


@pytest.mark.parametrize(
    "name",
    [
        *(
            "/0.png",
            "../0.png",
            "a/../0.png",
            "a/../../0.png",
            "C:/0.png",
            "c:0.png",
            "..\\0.png",
            "a\\0.png",
            "a/b/0.png",
        ),
        *("x" * 256 + ".png", "a/" + "é" * 130 + ".png", "a\n.png", "a\x1b[31m.png", "a\u202egnp.png", "."),
    ],
)
@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_unsafe_names(name: str, form: int, picture: Encoder, pack_members: Packer, limits: Limits) -> None:
    assert code_of(pack_members({name: picture()}, format=form), limits) == "unsafe_member"


def test_a_nul_in_a_pax_path_is_unsafe(picture: Encoder, pack_members: Packer, limits: Limits) -> None:
    header = tarfile.TarInfo("0.png")
    header.pax_headers = {"path": "0.png\0.exe"}
    assert code_of(pack_members([(header, picture())], format=tarfile.PAX_FORMAT), limits) == "unsafe_member"


def test_a_pax_sparse_file_is_unsafe(picture: Encoder, pack_members: Packer, limits: Limits) -> None:
    header = tarfile.TarInfo("0.png")
    header.pax_headers = {"GNU.sparse.major": "1"}
    assert code_of(pack_members([(header, picture())], format=tarfile.PAX_FORMAT), limits) == "unsafe_member"


def test_a_global_header_may_comment_but_not_rename(
    three: dict[str, bytes], pack_members: Packer, limits: Limits
) -> None:
    options = {"format": tarfile.PAX_FORMAT}
    assert code_of(pack_members(three, pax_headers={"comment": "a commit"}, **options), limits) == "accepted"
    assert code_of(pack_members(three, pax_headers={"path": "../x"}, **options), limits) == "unsafe_member"


@pytest.mark.parametrize("second", ["0.png", "./0.png", "0.PNG"])
def test_duplicate_member(second: str, picture: Encoder, pack_members: Packer, limits: Limits) -> None:
    pairs = [(tarfile.TarInfo(name), picture()) for name in ("0.png", second)]
    assert code_of(pack_members(pairs), limits) == "duplicate_member"


@pytest.mark.parametrize("name", ["notes.txt", "README", "0.png.exe", "hidden."])
def test_foreign_member(name: str, three: dict[str, bytes], pack_members: Packer, limits: Limits) -> None:
    assert code_of(pack_members({**three, name: b"x"}), limits) == "foreign_member"


@pytest.mark.parametrize("count", [1, 2, 4])
def test_wrong_count(count: int, picture: Encoder, pack_members: Packer, limits: Limits) -> None:
    assert code_of(pack_members({f"{i}.png": picture(i) for i in range(count)}), limits) == "wrong_count"


def test_the_archive_comes_before_its_images(three: dict[str, bytes], pack_members: Packer, limits: Limits) -> None:
    spoilt = {**three, "0.png": b""}
    assert code_of(pack_members({**spoilt, "notes.txt": b"x"}), limits) == "foreign_member"
    with pytest.raises(Rejection, match=r"wrong_count.* 4 images, not 3\. Besides, '0\.png' is not an image"):
        read_submission(pack_members({**spoilt, "3.png": b"x"}), limits=limits)
    with pytest.raises(Rejection, match=r"bad_image.*'0\.png'"):  # the first of those that are wrong
        read_submission(pack_members({**spoilt, "2.png": b""}), limits=limits)


def test_why_an_image_cannot_be_decoded_is_told(picture: Encoder) -> None:
    with pytest.raises(Rejection, match=r"cannot be decoded: image file is truncated"):
        decode_image(picture(0, "JPEG")[:800], "0.jpg", Limits())


# What is rejected: an image


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png16() -> bytes:
    """A 64x64 PNG of 16-bit RGB, which Pillow opens as mode RGB."""
    rows = b"".join(b"\0" + bytes(64 * 6) for _ in range(64))
    header = struct.pack(">IIBBBBB", 64, 64, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def animated() -> bytes:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def bomb() -> bytes:
    """A PNG whose header promises 64x64 but for a text chunk that inflates to 20 MB."""
    rows = zlib.compress(b"".join(b"\0" + bytes(64 * 3) for _ in range(64)))
    header = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
    text = chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(20 << 20), 9))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + text + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def with_chunks(chunks: bytes) -> bytes:
    """A sound 64x64 PNG with further chunks before its pixels."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "PNG")
    return buffer.getvalue()[:33] + chunks + buffer.getvalue()[33:]


def with_segments(segments: bytes, **options: Any) -> bytes:
    """A sound 64x64 JPEG with further segments after its first bytes."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "JPEG", **options)
    return buffer.getvalue()[:2] + segments + buffer.getvalue()[2:]


def with_scans(count: int) -> bytes:
    """A progressive JPEG with further scans, which refine nothing."""
    scan = b"\xff\xda" + struct.pack(">HB", 12, 3) + bytes((1, 0, 2, 0, 3, 0, 0, 0, 0x10))
    return with_segments(b"", progressive=True)[:-2] + scan * count + b"\xff\xd9"


#: Exif of one tag, which claims more than there is.
EXIF = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 700, 7, 1 << 20, 26, 0)

IMAGES: list[tuple[str, str, Callable[[Encoder], bytes]]] = [
    ("wrong_format", "0.gif", lambda p: p(0, "GIF")),
    ("wrong_format", "0.bmp", lambda p: p(0, "BMP")),
    ("wrong_format", "0.webp", lambda p: p(0, "WEBP")),
    ("wrong_format", "0.png", lambda p: p(0, "GIF")),
    ("wrong_format", "0.png", lambda p: p(0, "WEBP")),
    ("wrong_format", "0.png", lambda p: p(0, "TIFF")),
    ("wrong_format", "0.png", lambda p: p(0, "JPEG")),
    ("wrong_format", "0.jpg", lambda p: p(0, "PNG")),
    ("wrong_format", "0.png", lambda p: animated()),
    ("wrong_size", "0.png", lambda p: p(size=(63, 64))),
    ("wrong_size", "0.png", lambda p: p(size=(128, 128))),
    ("wrong_size", "0.jpg", lambda p: p(0, "JPEG", size=(64, 65))),
    ("wrong_size", "0.png", lambda p: p(mode="L", size=(9000, 1))),
    ("wrong_mode", "0.png", lambda p: p(mode="L")),
    ("wrong_mode", "0.png", lambda p: p(mode="P")),
    ("wrong_mode", "0.png", lambda p: p(mode="RGBA")),
    ("wrong_mode", "0.png", lambda p: p(mode="LA")),
    ("wrong_mode", "0.png", lambda p: p(mode="I;16")),
    ("wrong_mode", "0.png", lambda p: p(transparency=(1, 2, 3))),
    ("wrong_mode", "0.png", lambda p: png16()),
    ("wrong_mode", "0.jpg", lambda p: p(0, "JPEG", mode="L")),
    ("wrong_mode", "0.jpg", lambda p: p(0, "JPEG", mode="CMYK")),
    ("bad_image", "0.png", lambda p: b""),
    ("bad_image", "0.png", lambda p: b"RIFF\x24\0\0\0WAVEfmt "),
    ("bad_image", "0.png", lambda p: b"not an image"),
    ("bad_image", "0.png", lambda p: p()[:5000]),
    ("bad_image", "0.png", lambda p: p()[:20]),
    ("bad_image", "0.png", lambda p: p()[:3000] + b"????" + p()[3004:]),
    ("bad_image", "0.png", lambda p: bomb()),
    ("bad_image", "0.png", lambda p: with_chunks(chunk(b"aBCd", b"") * 1000)),
    ("bad_image", "0.png", lambda p: with_chunks(chunk(b"IDAT", b"") * 1000)),
    ("bad_image", "0.png", lambda p: with_chunks(chunk(b"zTXt", b"k\0\0" + zlib.compress(b"v")) * 17)),
    ("bad_image", "0.png", lambda p: with_chunks(chunk(b"IDAT", b"\x78\x9c" + bytes(30_000)))),
    ("bad_image", "0.jpg", lambda p: with_segments(b"\xff\xfe\0\2" * 1000)),
    ("bad_image", "0.jpg", lambda p: with_scans(1000)),
    ("bad_image", "0.jpg", lambda p: with_segments(b"\xff\xfe\0\1")),
    ("bad_image", "0.jpg", lambda p: b"\xff\xd8\xff" + b"\xff" * 100_000 + b"\0"),
    ("bad_image", "0.jpg", lambda p: p(0, "JPEG")[:800]),
    ("bad_image", "0.jpg", lambda p: b"\xff\xd8\xff\xe0" + bytes(99)),
]


@pytest.mark.parametrize(("code", "name", "make"), IMAGES, ids=[f"{i}-{row[0]}" for i, row in enumerate(IMAGES)])
def test_bad_images(
    code: str,
    name: str,
    make: Callable[[Encoder], bytes],
    three: dict[str, bytes],
    picture: Encoder,
    pack_members: Packer,
) -> None:
    del three["0.png"]
    path = pack_members({name: make(picture), **three})
    assert code_of(path, Limits(count=3)) == code


@pytest.mark.parametrize(
    ("mode", "what"),
    [
        ("L", "8-bit grey"),
        ("P", "8-bit palette"),
        ("LA", "8-bit grey with transparency"),
        ("RGBA", "8-bit RGB with transparency"),
        ("1", "1-bit grey"),
    ],
)
def test_what_a_png_holds_in_place_of_rgb_is_told(mode: str, what: str, picture: Encoder, limits: Limits) -> None:
    with pytest.raises(Rejection, match=f"is {what}, not 8-bit RGB"):
        decode_image(picture(mode=mode), "0.png", limits)


def test_a_png_of_16_bits_is_told(limits: Limits) -> None:
    with pytest.raises(Rejection, match="is 16-bit RGB, not 8-bit RGB"):
        decode_image(png16(), "0.png", limits)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_an_image_cut_anywhere_is_a_bad_image(kind: str, picture: Encoder, limits: Limits) -> None:
    """Between two parts too, where no length and no checksum is wrong. A JPEG's last marker may be missing."""
    data = picture(kind=kind)
    for end in [*range(4, 700), *range(len(data) - 700, len(data) - 2 * (kind == "JPEG"))]:
        with pytest.raises(Rejection) as caught:
            decode_image(data[:end], f"0.{kind.lower()}", limits)
        assert caught.value.code == "bad_image", end


def test_pixel_data_that_falls_short_is_a_bad_image(
    three: dict[str, bytes], pack_members: Packer, limits: Limits
) -> None:
    header = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
    short = zlib.compress(bytes(10 * 193))
    three["0.png"] = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", short) + chunk(b"IEND", b"")
    assert code_of(pack_members(three), limits) == "bad_image"


@pytest.mark.parametrize(
    "segments",
    [
        b"\xff\xe1" + struct.pack(">H", 2 + len(EXIF)) + EXIF,
        b"\xff\xe2\0\x12ICC_PROFILE\0\1\1xx" * 500,
        b"\xff" * 5000,
        b"junk",
        b"\xff\xfe\0\2",
    ],
    ids=["exif", "profiles", "fill", "junk", "an empty comment"],
)
def test_what_stands_beside_a_jpegs_pixels_is_not_looked_at(segments: bytes, picture: Encoder) -> None:
    plain = picture(3, "JPEG", quality=100, subsampling=0)
    found = decode_image(plain[:20] + segments + plain[20:], "0.jpg", Limits())
    np.testing.assert_array_equal(found, np.asarray(Image.open(io.BytesIO(plain))))


def test_a_jpeg_of_adobes_colours_is_read_as_pillow_reads_it(picture: Encoder) -> None:
    adobe = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0"  # no transform: its values are red, green and blue
    plain = picture(3, "JPEG", subsampling=0)
    data = plain[:2] + adobe + plain[20:]
    truth = np.asarray(Image.open(io.BytesIO(data)))
    assert (truth != np.asarray(Image.open(io.BytesIO(plain)))).any()
    np.testing.assert_array_equal(decode_image(data, "0.jpg", Limits()), truth)


# What rejects nothing


@pytest.mark.parametrize(
    "problem",
    [MemoryError(), OSError(errno.EMFILE, "Too many open files"), ImportError("no such module")],
    ids=["memory", "files", "import"],
)
def test_what_the_machine_lacks_is_no_fault_of_an_image(
    problem: Exception, picture: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(decode._READERS, "PNG", raising(problem))
    with pytest.raises(type(problem)) as raised:
        decode_image(picture(), "0.png", Limits())
    assert raised.value is problem


@pytest.mark.parametrize("words", ["broken data stream when reading image file", "out of memory error"])
def test_a_decoder_that_fails_on_sound_images_too_lacks_memory(
    words: str, picture: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(decode._READERS, "JPEG", raising(OSError(words)))
    with pytest.raises(MemoryError, match=words):
        decode_image(picture(0, "JPEG"), "0.jpg", Limits())


def test_zlib_without_memory_is_no_damage(
    three: dict[str, bytes], pack_members: Packer, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack_members(three)
    failing = Mock(**{"return_value.decompress.side_effect": zlib.error("Error -4 while decompressing data")})
    monkeypatch.setattr(gzipped.zlib, "decompressobj", failing)
    with pytest.raises(MemoryError, match="Error -4"):
        read_submission(path, limits=limits)


def raising(problem: Exception) -> Callable[..., Any]:
    def fail(*_: Any) -> Any:
        raise problem

    return fail


def test_every_code_is_earned_here_or_by_a_generator() -> None:
    files = Path(__file__), Path(__file__).parents[1] / "grading" / "test_generators.py"
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    assert not [code.value for code in Code if f'"{code.value}"' not in text and f"test_{code.value}" not in text]


# Whatever the bytes


@pytest.fixture(scope="module")
def sound() -> bytes:
    """The bytes of a tar, uncompressed, with a folder, a long name and a pax header in it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(special("images", tarfile.DIRTYPE))
        for i in range(3):
            encoded = io.BytesIO()
            Image.new("RGB", (64, 64), (i, 0, 0)).save(encoded, "PNG")
            header = tarfile.TarInfo(f"images/{'é' * 30 * i}{i}.png")
            header.size = len(encoded.getvalue())
            tar.addfile(header, io.BytesIO(encoded.getvalue()))
    return buffer.getvalue()


def _survives(path: Path, data: bytes, limits: Limits) -> None:
    path.write_bytes(data)
    try:
        assert isinstance(read_submission(path, limits=limits), Submission)
    except Rejection as rejection:
        assert rejection.message and rejection.remedy


WILD = settings(
    deadline=None,
    max_examples=150,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@WILD
@given(st.binary(max_size=2000), st.booleans())
def test_random_bytes_are_rejected_not_raised(tmp_path: Path, limits: Limits, data: bytes, zipped: bool) -> None:
    _survives(tmp_path / "s1.tar.gz", gzip.compress(data, 1) if zipped else b"\x1f\x8b\x08" + data, limits)


@WILD
@given(
    edits=st.lists(st.tuples(st.integers(0, 20_000), st.binary(min_size=1, max_size=12)), max_size=6),
    cut=st.integers(0, 9000),
)
def test_mutated_tars_are_rejected_not_raised(
    tmp_path: Path, limits: Limits, sound: bytes, edits: list[tuple[int, bytes]], cut: int
) -> None:
    data = bytearray(sound)
    for place, piece in edits:
        place %= len(data)
        data[place : place + len(piece)] = piece
    # Right checksums take the damage past the first gate.
    for start in range(0, len(data) - 511, 512):
        if data[start + 257 : start + 262] == b"ustar":
            block = data[start : start + 148] + b" " * 8 + data[start + 156 : start + 512]
            data[start + 148 : start + 156] = b"%06o\0 " % sum(block)
    _survives(tmp_path / "s1.tar.gz", gzip.compress(bytes(data[: len(data) - cut]), 1), limits)


@WILD
@given(st.integers(0, 3000), st.binary(min_size=1, max_size=4))
def test_mutated_gzip_is_rejected_not_raised(
    tmp_path: Path, limits: Limits, sound: bytes, place: int, piece: bytes
) -> None:
    data = bytearray(gzip.compress(sound, mtime=0))
    place %= len(data)
    data[place : place + len(piece)] = piece
    _survives(tmp_path / "s1.tar.gz", bytes(data), limits)
