"""A course sets the size of the images: caps, messages and remedies follow it."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from facegen.errors import InputError
from facegen.submission.reader import read_submission
from facegen.submission.rules import LIMITS, Code, Limits, Rejection, limits_for, shown

Packer = Callable[..., Path]
Encoder = Callable[..., bytes]


def test_the_usual_size_has_the_usual_limits() -> None:
    assert limits_for(64) == LIMITS


@pytest.mark.parametrize(("size", "times"), [(32, 1), (128, 4), (256, 16)])
def test_caps_grow_with_the_area_of_larger_images(size: int, times: int) -> None:
    limits = limits_for(size)
    for cap in ("compressed_bytes", "bytes", "member_bytes", "gzip_members"):
        assert getattr(limits, cap) == times * getattr(LIMITS, cap)
    assert (limits.size, limits.count, limits.members) == (size, LIMITS.count, LIMITS.members)


@pytest.mark.parametrize("size", [64, 128])
def test_the_caps_are_those_of_the_page_on_grading(size: int) -> None:
    page, limits = (Path(__file__).parents[2] / "docs" / "grading.md").read_text(encoding="utf-8"), limits_for(size)
    assert limits.compressed_bytes == limits.bytes
    assert (
        f"| {limits.resolution} | {limits.bytes / 2**20:,g} MiB | {limits.gzip_members:,} "
        f"| {limits.member_bytes / 2**20:g} MiB | {limits.members:,} | {limits.name_bytes} bytes | {limits.pieces:,} |"
    ) in page
    assert f"at most {limits.header_bytes / 2**10:g} KiB and {limits.header_records} records" in page
    assert f"at most {limits.metadata} compressed texts and colour profiles" in page


def test_the_largest_size_is_4096() -> None:
    assert limits_for(4096).size == 4096
    with pytest.raises(InputError, match=r"4,128 pixels\. It is 4,096 at most\."):
        limits_for(4128)


@pytest.mark.parametrize("size", [0, -32, 16, 100])
def test_a_size_that_hashes_cannot_take_is_an_error(size: int) -> None:
    with pytest.raises(InputError, match=rf"side of {size} pixels\. It must be a multiple of 32\."):
        limits_for(size)


def test_images_of_another_size_are_read(picture: Encoder, pack_members: Packer) -> None:
    path = pack_members({"0.png": picture(0, size=(96, 96)), "1.jpg": picture(1, "JPEG", size=(96, 96))})
    assert read_submission(path, limits=replace(limits_for(96), count=2)).images.shape == (2, 96, 96, 3)


#: What a course of 3 images of 96x96 rejects, what it says, and the remedy.
SMALL = Limits(count=3, size=96, compressed_bytes=1 << 20, bytes=1 << 20, members=5, member_bytes=1 << 16)
WRONG: list[tuple[Code, Callable[[Encoder], dict[str, bytes]], str, str]] = [
    (
        Code.WRONG_SIZE,
        lambda p: {f"{i}.png": p(i) for i in range(3)},
        "is 64x64 pixels, not 96x96.",
        "images at 96x96.",
    ),
    (Code.WRONG_COUNT, lambda p: {"0.png": p(size=(96, 96))}, "It holds 1 image, not 3.", "exactly 3 images."),
    (Code.EMPTY, lambda p: {".DS_Store": b""}, "no image in the archive.", "exactly 3 images."),
    (
        Code.TOO_MANY_MEMBERS,
        lambda p: {f"{i}.png": b"" for i in range(9)},
        "more than 5 members.",
        "only the 3 images.",
    ),
    (Code.TOO_LARGE, lambda p: {"0.png": bytes(1 << 17)}, "larger than 0.0625 MiB.", "only the 3 images."),
]


@pytest.mark.parametrize(("code", "members", "said", "remedy"), WRONG, ids=lambda value: getattr(value, "value", ""))
def test_rejections_are_in_the_courses_numbers(
    code: Code,
    members: Callable[[Encoder], dict[str, bytes]],
    said: str,
    remedy: str,
    picture: Encoder,
    pack_members: Packer,
) -> None:
    with pytest.raises(Rejection) as caught:
        read_submission(pack_members(members(picture)), limits=SMALL)
    rejection = caught.value
    assert (rejection.code, rejection.remedy) == (code, code.remedy(SMALL))
    assert said in rejection.message and str(rejection.remedy).endswith(remedy)


@pytest.mark.parametrize("data", [b"", b"\x1f\x8b" + bytes(2 << 20), gzip.compress(bytes(2 << 20), mtime=0)])
def test_so_are_those_of_the_file_itself(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "s1.tar.gz").write_bytes(data)
    with pytest.raises(Rejection, match=r"the 3 images\.|exactly 3 images\."):
        read_submission(tmp_path / "s1.tar.gz", limits=SMALL)


def test_meanings_name_the_courses_numbers() -> None:
    assert Code.WRONG_SIZE.meaning(SMALL) == "An image is not 96x96 pixels."
    assert Code.WRONG_COUNT.meaning(SMALL) == "The number of images is not 3."
    assert Code.WRONG_COUNT.meaning() == "The number of images is not 1,000."


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("김철수.png", "'김철수.png'"),
        ("a\x1b]0;b\x07\u202e.png", r"'a\u001b]0;b\u0007\u202e.png'"),
        ("\udce9.png", r"'\udce9.png'"),
        ("a" * 10_000 + ".png", f"'{'a' * 63}…{'a' * 12}.png'"),
    ],
)
def test_a_members_name_is_shown_fit_to_be_seen(name: str, told: str) -> None:
    assert shown(name) == told
