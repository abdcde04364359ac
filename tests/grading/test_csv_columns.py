"""The CSV for a platform's grade import."""

from __future__ import annotations

import csv
import io

import pytest

from facegen.errors import InputError
from facegen.grading.csv_columns import FIELDS, PRESETS, CsvColumns
from facegen.grading.leaderboard import Leaderboard
from facegen.grading.outcome import Outcome
from facegen.grading.rows import LeaderboardRow
from facegen.submission.rules import Code, Rejection


def row(number: str, file: str = "x.tar.gz", points: float | None = 5.0) -> LeaderboardRow:
    outcome = Outcome(file, number, None, rejection=Rejection(Code.EMPTY, "There is no image in it."))
    return LeaderboardRow(outcome, points=points, student_name="Doe, Jane")


def table(columns: str, *rows: LeaderboardRow, baselines: tuple[LeaderboardRow, ...] = ()) -> list[list[str]]:
    board = Leaderboard(rows, {}, "mean", None, baselines=baselines)
    return list(csv.reader(io.StringIO(CsvColumns.parse(columns).to_csv(board))))


def test_headers_and_fields_are_as_asked() -> None:
    assert table("SIS User ID=student_number,Project 1 (1234)=points,A=B=status", row("42")) == [
        ["SIS User ID", "Project 1 (1234)", "A=B"],
        ["42", "5", "rejected"],
    ]


def test_a_header_with_a_comma_stands_in_quotes() -> None:
    assert CsvColumns.parse('N=student_number,"P, 1=points"').columns == (("N", "student_number"), ("P, 1", "points"))


@pytest.mark.parametrize("field", FIELDS)
def test_each_field_can_be_asked_for(field: str) -> None:
    assert len(table(f"X={field}", row("42"))) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("N=student_numbr", r"unknown field, 'student_numbr' \(did you mean 'student_number'\?\)"),
        ("N=", "has an unknown field, ''"),
        ("=points", "lacks a header or a field"),
        ("moodel", r"not a list of columns \(did you mean 'moodle'\?\)"),
        ("N=points,N=value", "the column 'N' twice"),
        ("N=points,", "lacks a header or a field"),
        ('"N=points', "cannot be read"),
    ],
)
def test_what_is_wrong_is_named(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        CsvColumns.parse(text)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_the_student_and_the_points(name: str) -> None:
    header, cells = table(name, row("42"))
    assert "42" in cells and "5" in cells and len(header) == len(cells)


def test_canvass_preset_has_the_columns_that_canvas_wants() -> None:
    assert {"Student", "ID", "SIS User ID", "SIS Login ID", "Section"} <= set(table("canvas", row("42"))[0])


def test_one_row_a_student_and_no_baseline(capsys: pytest.CaptureFixture[str]) -> None:
    rows = table("N=student_number,F=file", row("s1", "a"), row("S1", "b"), row("s2"), baselines=(row("base"),))
    assert [cells[0] for cells in rows] == ["N", "s1", "s2"]
    assert "S1 has several rows. b is left out of the grade import." in " ".join(capsys.readouterr().err.split())


def test_no_cell_runs_as_a_formula() -> None:
    assert table("=1+1=student_number", row("=2+2"))[1:] == [["'=2+2"]]
    assert table("=1+1=student_number", row("1"))[0] == ["'=1+1"]


def test_points_that_nobody_gave_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    table("N=student_number,P=points", row("1", points=None))
    assert "no points" in capsys.readouterr().err
