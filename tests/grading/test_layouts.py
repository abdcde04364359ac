"""What Moodle, Canvas and nbgrader lay out, in a folder and in a zip, and what is none of theirs."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegen.errors import InputError
from facegen.grading.found import Found, find_submissions
from facegen.grading.layouts import recognise, submitted_at
from facegen.grading.number_pattern import NumberPattern
from facegen.submission.open_tarball import UnreadableTarball

MOODLE = {
    "Jane Doe_12345_assignsubmission_file_/20231234.tar.gz": b"a",
    "Jane Doe_12345_assignsubmission_file_/notes.txt": b"n",
    "Jöhn_Roe_12346_assignsubmission_file_/project.tar.gz": b"b",
    "Jane Doe_12345_assignsubmission_onlinetext_/onlinetext.html": b"x",
    "Max_99_assignsubmission_file_/work.zip": b"c",
}
CANVAS = {
    "doejane_1234_5678_20231234.tar.gz": b"a",
    "roejohn_LATE_1235_5679_20231235-1.tar.gz": b"b",
    "poejim_1236_5680_20231236.tar-2.gz": b"c",
    "moemax_1237_5681_mine.tar.gz": b"d",
}
NBGRADER = {
    "submitted/doe/p1/faces.tar.gz": b"a",
    "submitted/doe/p1/timestamp.txt": b"2026-05-01 15:58:23.948203 UTC",
    "submitted/roe/p1/faces.tar.gz": b"b",
    "submitted/roe/p1/p1.ipynb": b"{}",
    "submitted/roe/p0/p0.ipynb": b"{}",
}


def laid_out(form: str, files: Mapping[str, bytes], tmp_path: Path) -> Path:
    if form == "zip":
        path = tmp_path / "all.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return path
    for name, data in files.items():
        (tmp_path / "all" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "all" / name).write_bytes(data)
    return tmp_path / "all"


def contents(found: Found, cache: Path, most: int = 100) -> bytes:
    with found.at_hand(cache, most) as path:
        return path.read_bytes()


@pytest.mark.parametrize("form", ["folder", "zip"])
@pytest.mark.parametrize(
    ("files", "numbers"),
    [
        (MOODLE, {"Jane Doe": ("20231234", b"a"), "Jöhn": ("12346", b"b"), "Max": ("99", b"c")}),
        (
            CANVAS,
            {
                "doe": ("20231234", b"a"),
                "roe": ("20231235", b"b"),
                "poe": ("20231236.tar", b"c"),
                "moe": ("1237", b"d"),
            },
        ),
        (NBGRADER, {"submitted/doe": ("doe", b"a"), "submitted/roe": ("roe", b"b")}),
    ],
)
def test_a_platforms_layout_is_recognised(
    form: str, files: Mapping[str, bytes], numbers: Mapping[str, tuple[str, bytes]], tmp_path: Path
) -> None:
    found = find_submissions(laid_out(form, files, tmp_path))
    assert len(found) == len(numbers)
    for each in found:
        (expected,) = (value for start, value in numbers.items() if each.file.startswith(start))
        number = expected[0].removesuffix(".tar")
        assert (each.student_number, contents(each, tmp_path)) == (number, expected[1])
        assert each.file in files


def test_it_is_said_what_was_recognised_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    find_submissions(laid_out("folder", MOODLE, tmp_path))
    said = " ".join(capsys.readouterr().err.split())
    assert "is Moodle's download of all submissions, with 3 submissions." in said
    assert "not graded: 'Jane Doe_12345_assignsubmission_file_/notes.txt'" in said
    assert "Student numbers come from the file's own name (1), the participant's number (2)." in said


def test_one_file_name_of_many_students_is_no_number(tmp_path: Path) -> None:
    files = {f"{name}_{i}_assignsubmission_file_/project1.tar.gz": b"" for i, name in enumerate("abc", 10)}
    assert [found.student_number for found in find_submissions(laid_out("folder", files, tmp_path))] == [
        "10",
        "11",
        "12",
    ]


def test_nbgraders_time_is_when_it_was_handed_in(tmp_path: Path) -> None:
    for form in ("folder", "zip"):
        first, second = find_submissions(laid_out(form, NBGRADER, tmp_path))
        assert first.submitted_at == datetime(2026, 5, 1, 15, 58, 23, 948203, timezone.utc)
        assert second.submitted_at is None


def test_times_without_a_known_zone_are_none() -> None:
    assert submitted_at("2026-05-01 15:58:23.948203 PST8PDX") is None
    assert submitted_at("yesterday") is submitted_at("") is None
    at = submitted_at("2026-05-01 15:58:23.948203 Europe/Berlin\n")
    assert at is None or at.utcoffset() == timedelta(hours=2)  # None where the machine knows no zones


def test_nbgraders_tarballs_of_two_assignments_end_in_words(tmp_path: Path) -> None:
    files = {"doe/p1/a.tar.gz": b"", "doe/p2/a.tar.gz": b""}
    with pytest.raises(InputError, match="2 assignments: 'p1', 'p2'"):
        find_submissions(laid_out("folder", files, tmp_path))


@pytest.mark.parametrize(
    "files",
    [
        {"s1.tar.gz": b"", "s_2.tar.gz": b"", "folder/s3.tar.gz": b""},
        {"1_2.tar.gz": b"", "a_b_3_c.tar.gz": b""},
        {"s1.tar.gz": b"", "doejane_1234_5678_x.tar.gz": b""},
    ],
)
def test_other_folders_are_graded_as_they_were(files: Mapping[str, bytes], tmp_path: Path) -> None:
    found = find_submissions(laid_out("folder", files, tmp_path))
    assert [each.file for each in found] == sorted(name for name in files if "/" not in name)
    assert {each.student_number for each in found} == {None}


def test_a_zip_of_tarballs_is_a_class(tmp_path: Path) -> None:
    path = laid_out("zip", {"class/s2.tar.gz": b"2", "class/s1.tar.gz": b"1", "class/read.me": b""}, tmp_path)
    found = find_submissions(path)
    assert [(each.file, contents(each, tmp_path)) for each in found] == [("s1.tar.gz", b"1"), ("s2.tar.gz", b"2")]


def test_a_zip_without_tarballs_is_one_submission(tmp_path: Path) -> None:
    path = laid_out("zip", {"1.png": b"", "2.png": b""}, tmp_path)
    assert find_submissions(path) == [Found(path, "all.zip")]


def test_nothing_of_a_zip_is_left_behind_and_no_member_chooses_its_place(tmp_path: Path) -> None:
    path = laid_out("zip", {"../../s1.tar.gz": b"1", "/etc/s2.tar.gz": b"2"}, tmp_path)
    cache = tmp_path / "grades" / "cache"
    for found in find_submissions(path):
        with found.at_hand(cache, 100) as copy:
            assert copy.resolve().parent == (cache / "unpacked").resolve()
    assert list(tmp_path.rglob("*.tar.gz*")) == []


def test_of_a_member_no_more_is_written_than_shows_that_it_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("s1.tar.gz", bytes(1 << 20))
    (found,) = find_submissions(path)
    assert contents(found, tmp_path, most=1000) == bytes(1001)


def test_a_zip_that_claims_far_more_than_it_has_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(3):
            with archive.open(f"s{i}.tar.gz", "w") as member:
                for _ in range(100):
                    member.write(bytes(1 << 20))
    with pytest.raises(InputError, match="looks like a decompression bomb"):
        find_submissions(path)


def test_a_damaged_member_is_unreadable_and_no_rejection(tmp_path: Path) -> None:
    path = laid_out("zip", {"s1.tar.gz": b"0123456789"}, tmp_path)
    path.write_bytes(path.read_bytes().replace(b"0123456789", b"0123456780"))
    (found,) = find_submissions(path)
    with pytest.raises(UnreadableTarball, match=r"Cannot read 's1.tar.gz' in .*CRC"):
        contents(found, tmp_path)


def test_two_members_of_one_name_end_in_words(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with pytest.warns(UserWarning), zipfile.ZipFile(path, "w") as archive:
        for _ in range(2):
            archive.writestr("s1.tar.gz", b"")
    with pytest.raises(InputError, match=r"has 's1\.tar\.gz' twice"):
        find_submissions(path)


class TestNumberPattern:
    @pytest.mark.parametrize(
        ("pattern", "path", "number"),
        [
            (r"\d{8}", "Jane_1_assignsubmission_file_/x_20231234.tar.gz", "20231234"),
            (r"x_(\d+)", "x_42.tar.gz", "42"),
            (r"(x)_(?P<number>\d+)", "x_42.tar.gz", "42"),
            (r"^(?P<number>[^/]+)/", "doe jane/a.tar.gz", "doe jane"),
            (r"\d{8}", "x.tar.gz", None),
            (r"x*", "y.tar.gz", None),
        ],
    )
    def test_it_is_the_group_else_the_match(self, pattern: str, path: str, number: str | None) -> None:
        assert NumberPattern(pattern).number_in(path) == number

    @pytest.mark.parametrize(
        ("pattern", "words"),
        [
            ("(", "is not a regular expression"),
            ("(a+)+$", "repeats a group that itself repeats"),
            ("a" * 201, "201 characters"),
        ],
    )
    def test_one_that_is_of_no_use_ends_in_words(self, pattern: str, words: str) -> None:
        with pytest.raises(InputError, match=words):
            NumberPattern(pattern)

    def test_one_that_finds_nothing_at_all_ends_in_words(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="finds no student number in any path"):
            find_submissions(laid_out("folder", CANVAS, tmp_path), number_pattern=r"\d{20}")

    def test_where_it_finds_none_the_number_is_as_without_it(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        found = find_submissions(laid_out("folder", CANVAS, tmp_path), number_pattern="mine|5678")
        assert [each.student_number for each in found] == ["5678", "mine", "20231236", "20231235"]
        assert "finds no student number in 2 of 4 paths" in " ".join(capsys.readouterr().err.split())

    def test_it_is_for_ordinary_folders_too(self, tmp_path: Path) -> None:
        found = find_submissions(laid_out("folder", {"project 42.tgz": b""}, tmp_path), number_pattern=r"\d+")
        assert [(each.file, each.student_number) for each in found] == [("project 42.tgz", "42")]


@given(st.lists(st.text(min_size=1, max_size=30), max_size=6))
def test_whatever_the_names_each_file_is_placed_once_or_left_out(paths: list[str]) -> None:
    layout = recognise(sorted(set(paths)))
    if layout is not None:
        assert sorted([*(each.path for each in layout.placed), *layout.others]) == sorted(set(paths))
