"""What lies exactly at a cap is within it, and what is just beyond is not; headers' fields are where POSIX says."""

from __future__ import annotations

import errno
import gzip
import io
import struct
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest

from facegen.errors import InputError
from facegen.submission.decode import _coded_pixels, decode_image
from facegen.submission.gzipped import GzipStream
from facegen.submission.members import BLOCK, TarMember, read_members
from facegen.submission.open_tarball import OpenTarball, UnreadableTarball, open_tarball
from facegen.submission.rules import LIMITS, Code, Limits, Rejection, check_depth, plain_path

Encoder = Callable[..., bytes]


def tar_of(*names: str, pax_headers: dict[str, str] | None = None, form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for name in names:
            header = tarfile.TarInfo(name)
            header.size, header.pax_headers = 1, pax_headers or {}
            tar.addfile(header, io.BytesIO(b"x"))
    return buffer.getvalue()


def read(tar: bytes, limits: Limits) -> list[TarMember]:
    return list(read_members(GzipStream(io.BytesIO(gzip.compress(tar, 1)), limits), limits))


def code_of(tar: bytes, limits: Limits) -> Code | None:
    try:
        read(tar, limits)
    except Rejection as problem:
        return problem.code
    return None


LONG = "x" * 120


@pytest.mark.parametrize("names", [("1", "2", "3"), (LONG + "1", LONG + "2", LONG + "3")], ids=["short", "long"])
@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_as_many_members_as_the_cap_says(form: int, names: tuple[str, ...]) -> None:
    """An extended header is no member beside the one that it describes."""
    tar = tar_of(*names, form=form)
    assert code_of(tar, replace(LIMITS, members=3)) is None
    assert code_of(tar, replace(LIMITS, members=2)) is Code.TOO_MANY_MEMBERS


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_name_as_long_as_the_cap_says(form: int) -> None:
    longest = "x" * LIMITS.name_bytes
    assert [member.path for member in read(tar_of(longest, form=form), LIMITS)] == [plain_path(longest)] == [longest]
    assert code_of(tar_of(longest + "x", form=form), LIMITS) is Code.UNSAFE_MEMBER


def test_a_headers_checksum_may_have_six_digits() -> None:
    """As that of a long Korean path: its bytes add up to more than 32,767."""
    path = f"{'나' * 51}/{'가' * 30}.png"
    tar = tar_of(path, form=tarfile.USTAR_FORMAT)
    assert tar[148:149] != b"0"
    assert [member.path for member in read(tar, LIMITS)] == [plain_path(path)] == [path]


def test_a_records_length_may_have_one_digit() -> None:
    tar = tar_of("1", pax_headers={"a": "b"})
    assert b"\x006 a=b\n\0" in tar
    assert [member.path for member in read(tar, LIMITS)] == ["1"]


def test_as_many_parts_as_the_cap_says() -> None:
    tar = tar_of("1")
    zipped = b"".join(gzip.compress(tar[start : start + BLOCK], 1) for start in range(0, len(tar), BLOCK))
    parts = -(-len(tar) // BLOCK)
    assert len(list(read_members(GzipStream(io.BytesIO(zipped), replace(LIMITS, gzip_members=parts)), LIMITS))) == 1
    with pytest.raises(Rejection, match=f"more than {parts - 1} parts"):
        list(read_members(GzipStream(io.BytesIO(zipped), replace(LIMITS, gzip_members=parts - 1)), LIMITS))


def test_a_gzip_header_may_be_longer_than_a_piece() -> None:
    zipped = gzip.compress(tar_of("1"))
    named = zipped[:3] + b"\x08" + zipped[4:10] + b"n" * 200_000 + b"\0" + zipped[10:]
    assert gzip.decompress(named) == gzip.decompress(zipped)
    assert len(list(read_members(GzipStream(io.BytesIO(named), LIMITS), LIMITS))) == 1


def test_a_file_as_large_as_the_cap_says_is_hashed_whole(tmp_path: Path) -> None:
    (path := tmp_path / "s1.tar.gz").write_bytes(b"1234567890")
    with open_tarball(path, replace(LIMITS, compressed_bytes=10)) as tarball:
        assert tarball.sha256 == "c775e7b757ede630cd0aa1113bd102661ab38829ca52a6422ab782862f268646"
    with pytest.raises(Rejection, match="too_large"), open_tarball(path, replace(LIMITS, compressed_bytes=9)):
        pass
    with pytest.raises(InputError, match="changed while it was read"):  # it has grown since it was opened
        OpenTarball(io.BytesIO(b"1234567890"), path, replace(LIMITS, compressed_bytes=9))


def test_what_cannot_be_read_has_its_name(tmp_path: Path) -> None:
    with pytest.raises(UnreadableTarball, match=r"^Cannot read s1: Input/output error\."):
        OpenTarball(Mock(**{"read.side_effect": OSError(errno.EIO, "Input/output error")}), Path("s1"), LIMITS)
    with pytest.raises(InputError, match="not there any more"), open_tarball(tmp_path / "s1", LIMITS):
        pass


@pytest.mark.parametrize(("less", "code"), [(0, None), (1, Code.TOO_LARGE)])
def test_as_many_bytes_as_the_cap_says(less: int, code: Code | None) -> None:
    tar = tar_of("1", "2")
    assert code_of(tar, replace(LIMITS, bytes=len(tar) - less)) is code


@pytest.mark.parametrize(("less", "code"), [(0, None), (1, Code.TOO_LARGE)])
def test_as_many_bytes_of_a_member_as_the_cap_says(less: int, code: Code | None) -> None:
    assert code_of(tar_of("1"), replace(LIMITS, member_bytes=1 - less)) is code


@pytest.mark.parametrize(("less", "code"), [(0, None), (1, Code.TOO_LARGE)])
def test_an_extended_header_as_long_as_the_cap_says(less: int, code: Code | None) -> None:
    record = b"30 comment=" + b"x" * 18 + b"\n"
    tar = tar_of("1", pax_headers={"comment": "x" * 18})
    assert record in tar
    assert code_of(tar, replace(LIMITS, header_bytes=len(record) - less)) is code


def test_a_value_may_have_an_equals_sign() -> None:
    path = "a=" + "x" * 120
    assert [member.path for member in read(tar_of("1", pax_headers={"path": path}), LIMITS)] == [path]


PAX = tar_of("1", pax_headers={"comment": "x"})[: 2 * BLOCK]


@pytest.mark.parametrize(
    ("records", "code"),
    [
        (b"6 a=b\n", None),
        (b"6 a=b\n10 c=defg\n", None),
        (b"6 a=bX", Code.DAMAGED),
        (b"6 abc\n", Code.DAMAGED),
        (b"x a=b\n", Code.DAMAGED),
        (b"6 a=b\n7 c=d\n", Code.DAMAGED),
        (b"29 size=%d\n" % 10**19, Code.DAMAGED),
        (b"28 size=%d\n" % (10**19 - 1), Code.TOO_LARGE),
    ],
)
def test_records_of_an_extended_header(records: bytes, code: Code | None) -> None:
    header = header_with(PAX[:BLOCK], {124: b"%011o\0" % len(records)})
    assert code_of(header + records.ljust(BLOCK, b"\0") + tar_of("1"), LIMITS) is code


def test_as_many_records_as_the_cap_says() -> None:
    tar = tar_of("1", pax_headers={"a": "x", "b": "x"})
    assert code_of(tar, replace(LIMITS, header_records=2)) is None
    assert code_of(tar, replace(LIMITS, header_records=1)) is Code.TOO_LARGE


GNU_NAME = tar_of(LONG, form=tarfile.GNU_FORMAT)[: 2 * BLOCK]


@pytest.mark.parametrize("extended", [PAX, GNU_NAME], ids=["pax", "gnu"])
def test_an_extended_header_describes_the_member_that_follows_it(extended: bytes) -> None:
    assert code_of(extended + tar_of("1"), LIMITS) is None
    assert code_of(extended + extended + tar_of("1"), LIMITS) is Code.DAMAGED
    assert code_of(extended + bytes(2 * BLOCK), LIMITS) is Code.DAMAGED


def test_a_long_name_is_refused_by_the_length_that_its_header_claims() -> None:
    huge = header_with(GNU_NAME[:BLOCK], {124: b"%011o\0" % (1 << 30)})
    assert code_of(huge, LIMITS) is Code.UNSAFE_MEMBER


def header_with(header: bytes, fields: dict[int, bytes], *, signed: bool = False, end: bytes = b"\0 ") -> bytes:
    """A header with other bytes at some places, and the checksum of that."""
    block = bytearray(header[:BLOCK])
    for start, field in {**fields, 148: b" " * 8}.items():
        block[start : start + len(field)] = field
    block[148:156] = b"%06o" % sum(byte - 256 if signed and byte > 127 else byte for byte in block) + end
    return bytes(block)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({0: b"n" * 100, 345: b"p" * 155, 500: b"x"}, "p" * 155 + "/" + "n" * 100),
        ({0: b"n" * 100, 257: bytes(8), 345: b"p" * 155}, "n" * 100),
        ({124: b"0" * 11 + b"1", 136: b"7"}, "1"),
        ({124: b"\x80" + bytes(10) + b"\1", 136: b"7"}, "1"),
    ],
    ids=["ustar", "v7", "octal", "base-256"],
)
def test_fields_end_where_the_next_begins(fields: dict[int, bytes], path: str) -> None:
    tar = tar_of("1")
    found = read(header_with(tar, fields) + tar[BLOCK:], replace(LIMITS, name_bytes=256))
    assert found == [TarMember(path, False, b"x")]


def test_a_size_in_base_256_is_read_from_its_first_byte() -> None:
    tar = tar_of("1")
    assert code_of(header_with(tar, {124: b"\x80\1" + bytes(10)}) + tar[BLOCK:], LIMITS) is Code.TOO_LARGE


def test_checksums_of_signed_bytes_and_with_other_ends_are_right_too() -> None:
    """Old writers on machines whose characters are signed added them so."""
    tar, fields = tar_of("e"), {0: "À".encode(), 265: b"\x7f"}  # 0x80, and 0x7f in the owner's name
    assert [member.path for member in read(header_with(tar, fields, signed=True) + tar[BLOCK:], LIMITS)] == ["À"]
    assert [member.path for member in read(header_with(tar, fields, end=b"  ") + tar[BLOCK:], LIMITS)] == ["À"]
    assert [member.path for member in read(header_with(tar, {0: b"\xe9"}) + tar[BLOCK:], LIMITS)] == ["é"]  # Latin-1
    wrong = header_with(tar, fields, signed=True).replace(b"\x80", b"\x81", 1)
    assert code_of(wrong + tar[BLOCK:], LIMITS) is Code.DAMAGED


def test_v7_marks_a_folder_by_its_name_and_may_leave_its_size_out() -> None:
    folder = header_with(tar_of("1"), {0: b"a/", 124: bytes(12), 156: b"\0", 257: bytes(8)})
    assert read(folder + tar_of("a/1"), LIMITS) == [TarMember("a", True, b""), TarMember("a/1", False, b"x")]
    assert code_of(header_with(folder, {156: b"2"}) + tar_of("a/1"), LIMITS) is Code.UNSAFE_MEMBER


def test_a_member_that_is_cut_off_is_damaged() -> None:
    tar = tar_of("1")
    whole = header_with(tar, {124: b"%011o\0" % BLOCK}) + bytes(BLOCK)
    assert code_of(whole, LIMITS) is None
    assert code_of(whole[:-1], LIMITS) is Code.DAMAGED  # in its data, which no padding follows
    assert code_of(tar[: BLOCK + 1], LIMITS) is Code.DAMAGED  # in its padding
    assert code_of(tar[:400], LIMITS) is Code.DAMAGED  # in its header, of which zeros are missing


ROWS = bytes(64 * (1 + 3 * 64))


def png_of(compressed: bytes, *others: tuple[bytes, bytes]) -> bytes:
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)), *others, (b"IDAT", compressed), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


TEXT = (b"zTXt", b"k\0\0" + zlib.compress(b"v"))
SOUND = zlib.compress(ROWS)
MOST = 2 * len(ROWS) + 4096


@pytest.mark.parametrize(
    ("data", "limits", "taken"),
    [
        (png_of(SOUND, TEXT), replace(LIMITS, pieces=4), True),
        (png_of(SOUND, TEXT), replace(LIMITS, pieces=3), False),
        (png_of(SOUND, TEXT, TEXT), replace(LIMITS, metadata=2), True),
        (png_of(SOUND, TEXT, TEXT), replace(LIMITS, metadata=1), False),
        (png_of(SOUND.ljust(MOST, b"\0")), LIMITS, True),
        (png_of(SOUND.ljust(MOST + 1, b"\0")), LIMITS, False),
        (png_of(zlib.compress(ROWS + ROWS)), LIMITS, True),
        (png_of(zlib.compress(ROWS + ROWS + b"\0")), LIMITS, False),
    ],
    ids=[f"{what}-{which}" for what in ("chunks", "texts", "compressed", "rows") for which in ("within", "beyond")],
)
def test_a_png_at_the_caps(data: bytes, limits: Limits, taken: bool) -> None:
    if taken:
        assert not decode_image(data, "0.png", limits).any()
    else:
        with pytest.raises(Rejection, match="bad_image"):
            decode_image(data, "0.png", limits)


def test_a_png_without_its_header_is_called_that() -> None:
    with pytest.raises(Rejection, match="is a PNG without its header"):
        decode_image(png_of(SOUND).replace(b"IHDR", b"tEXt"), "0.png", LIMITS)


def test_as_many_scans_as_the_cap_says(picture: Encoder) -> None:
    data = picture(0, "JPEG", progressive=True)
    scan = b"\xff\xda" + struct.pack(">HB", 12, 3) + bytes((1, 0, 2, 0, 3, 0, 0, 0, 0x10))  # it refines nothing
    data = data[:-2] + scan * 30 + data[-2:]
    scans = data.count(b"\xff\xda")
    assert decode_image(data, "0.jpg", replace(LIMITS, pieces=scans)).any()
    with pytest.raises(Rejection, match=f"more than {scans - 1} scans"):
        decode_image(data, "0.jpg", replace(LIMITS, pieces=scans - 1))


@pytest.mark.parametrize("marker", [0x01, *range(0xD0, 0xD8), 0xF0, 0xFD, 0xE0, 0xEE, 0xDB])
def test_what_may_say_how_a_jpegs_pixels_are_coded_is_kept(marker: int, picture: Encoder) -> None:
    piece = bytes((0xFF, marker)) + b"\0\4ab" * (marker >= 0xDB)
    data = picture(0, "JPEG")
    data = data[:20] + piece + data[20:]
    assert _coded_pixels(data, "", LIMITS) == data


@pytest.mark.parametrize("marker", [*range(0xE1, 0xEE), 0xEF, 0xFE])
@pytest.mark.parametrize("body", [b"", b"ab"], ids=["empty", "full"])
def test_what_programs_write_beside_a_jpegs_pixels_is_not(marker: int, body: bytes, picture: Encoder) -> None:
    data = picture(0, "JPEG")
    segment = bytes((0xFF, marker)) + struct.pack(">H", 2 + len(body)) + body
    assert _coded_pixels(data[:20] + segment + data[20:], "", LIMITS) == data


@pytest.mark.parametrize(
    ("path", "folder", "deep"),
    [
        ("1.png", False, False),
        ("a/1.png", False, False),
        ("a", True, False),
        ("a/b", True, True),
        ("a/b/1", False, True),
    ],
)
def test_one_folder_is_not_too_deep(path: str, folder: bool, deep: bool) -> None:
    if deep:
        with pytest.raises(Rejection, match="deeper"):
            check_depth(path, folder)
    else:
        check_depth(path, folder)
