"""What lies exactly at a cap is within it, and what is just beyond is not; both checksums of headers are read."""

from __future__ import annotations

import gzip
import io
import tarfile
from dataclasses import replace

import pytest

from facegen.submission.gzipped import GzipStream
from facegen.submission.members import TarMember, read_members
from facegen.submission.rules import LIMITS, Code, Limits, Rejection, check_depth


def tar_of(*names: str, pax_headers: dict[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
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


@pytest.mark.parametrize(("less", "code"), [(0, None), (1, Code.TOO_MANY_MEMBERS)])
def test_as_many_members_as_the_cap_says(less: int, code: Code | None) -> None:
    assert code_of(tar_of("1", "2", "3"), replace(LIMITS, members=3 - less)) is code


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


def test_a_checksum_of_signed_bytes_is_right_too() -> None:
    """Old writers on machines whose characters are signed added them so."""
    tar = bytearray(tar_of("e"))
    tar[0] = 0xE9  # é in Latin-1, of older writers too
    tar[148:156] = b" " * 8
    signed = sum(byte - 256 if byte > 127 else byte for byte in tar[:512])
    tar[148:156] = b"%06o\0 " % signed
    assert [member.path for member in read(bytes(tar), LIMITS)] == ["é"]
    tar[0] = 0xE8
    assert code_of(bytes(tar), LIMITS) is Code.DAMAGED


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
