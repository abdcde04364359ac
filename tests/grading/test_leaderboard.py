"""Ranks, and the three renderings, harmless whatever the file names."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import astuple, replace
from html.parser import HTMLParser

import numpy as np
import numpy.typing as npt
import pytest

from facegen.data.origin import Origin
from facegen.grading.fingerprints import Fingerprints, fingerprint
from facegen.grading.leaderboard import Leaderboard
from facegen.grading.outcome import GradedSubmission, Outcome, sheet_jpeg
from facegen.grading.ranking import rank
from facegen.printable import json_text, printable
from facegen.scoring.score import Score
from facegen.submission.rules import Code, Rejection

Images = npt.NDArray[np.uint8]
Smooth = Callable[..., Images]


@pytest.fixture
def graded(smooth: Smooth) -> Callable[..., Outcome]:
    """An outcome: ``graded("s1", 12.5, seed=3)``; another seed, other images."""

    def make(student: str, value: float, seed: int, metric: str = "fid") -> Outcome:
        images = smooth(24, seed)
        score = Score(metric, value, 24, 2048, "inception-2015-12-05", "0" * 64, 9, "1" * 64, 20.0, value < 20.0)
        names = tuple(f"{i}.png" for i in range(24))
        found = GradedSubmission(score, (), fingerprint(images), names, ("A note.",), sheet_jpeg(images))
        return Outcome(f"{student}.tar.gz", student, "2" * 64, graded=found)

    return make


def rejected(file: str, code: Code = Code.BAD_NAME, message: str = "It is bad.") -> Outcome:
    return Outcome(file, None, None, rejection=Rejection(code, message))


def board(*outcomes: Outcome) -> Leaderboard:
    return Leaderboard(rank(outcomes), {"name": "real", "n": 9, "sha256": "1" * 64}, "FID against 9 images", 20.0)


def test_graded_by_value_then_rejected_by_name(graded: Callable[..., Outcome]) -> None:
    rows = rank([rejected("z"), graded("b", 30.0, 1), rejected("a"), graded("c", 7.0, 2), graded("d", 7.0, 3)])
    assert [row.outcome.file for row in rows] == ["c.tar.gz", "d.tar.gz", "b.tar.gz", "a", "z"]
    assert [row.rank for row in rows] == [1, 1, 3, None, None]
    assert [row.passed for row in rows] == [True, True, False, None, None]


def test_shared_images_flag_both_sides(graded: Callable[..., Outcome]) -> None:
    rows = rank([graded("a", 1.0, 1), graded("b", 2.0, 1), graded("c", 3.0, 2)])
    assert [[flag.name for flag in row.flags] for row in rows] == [["shared_with:b"], ["shared_with:a"], []]


def test_the_order_of_the_files_does_not_matter(graded: Callable[..., Outcome]) -> None:
    outcomes = [graded(name, value, seed) for name, value, seed in (("b", 3.0, 1), ("a", 3.0, 2), ("c", 1.0, 1))]
    outcomes += [graded("A", 2.0, 4), rejected("y"), rejected("x")]
    assert (
        board(*outcomes).to_json() == board(*outcomes[::-1]).to_json() == board(*outcomes[3:], *outcomes[:3]).to_json()
    )


def test_the_same_images_in_another_order_tie(graded: Callable[..., Outcome]) -> None:
    """Sums in another order differ in the last bits; here on both sides of the target and of a printed digit."""
    one, other = graded("b", 20.00000000001, 1), graded("c", 19.99999999999, 1)
    assert other.graded is not None
    prints = Fingerprints(*(column[::-1] for column in astuple(other.graded.fingerprints)))
    other = replace(other, graded=replace(other.graded, fingerprints=prints))
    for outcomes in ([one, other], [other, one]):
        rows = rank([graded("a", 25.0, 2), *outcomes])
        assert [(row.outcome.file, row.rank, row.passed) for row in rows] == [
            ("b.tar.gz", 1, True),
            ("c.tar.gz", 1, True),
            ("a.tar.gz", 3, False),
        ]
        assert [row.score.value for row in rows if row.score] == [19.99999999999, 19.99999999999, 25.0]


def test_values_that_are_equal_as_printed_tie(graded: Callable[..., Outcome]) -> None:
    rows = rank([graded("a", 7.000049, 1), graded("b", 7.0, 2), graded("c", 7.00006, 3)])
    assert [(row.outcome.file, row.rank) for row in rows] == [("b.tar.gz", 1), ("a.tar.gz", 1), ("c.tar.gz", 3)]


@pytest.mark.parametrize("other", ["graded", "rejected"])
def test_a_student_number_that_differs_in_case_is_said_in_the_board(
    graded: Callable[..., Outcome], other: str, capsys: pytest.CaptureFixture[str]
) -> None:
    second = graded("S1", 2.0, 2) if other == "graded" else replace(rejected("S1.tar.gz"), student_number="S1")
    value = board(graded("s1", 1.0, 1), second, graded("s2", 1.0, 3))
    words = "'S1.tar.gz' and 's1.tar.gz' have the same student number"
    notes = {row["file"]: " ".join(row["notes"]) for row in value.to_json()["submissions"]}
    assert [name for name, note in notes.items() if words in note] == ["s1.tar.gz", "S1.tar.gz"]
    assert value.to_html().replace("&#39;", "'").count(words) == 2
    assert capsys.readouterr().err.replace("\n", " ").count("have the same student number") == 1


def test_many_flags_for_shared_images_have_few_examples_each(graded: Callable[..., Outcome]) -> None:
    first = graded("s", 1.0, 1)
    for others, examples in ((10, 20), (20, 10)):
        rows = rank([replace(first, file=f"s{i}.tar.gz", student_number=f"s{i}") for i in range(others + 1)])
        assert {len(row.flags) for row in rows} == {others}
        assert {len(flag.details["examples"]) for row in rows for flag in row.flags} == {examples}
        assert {flag.details["images"] for row in rows for flag in row.flags} == {24}


def test_json_has_the_documented_keys(graded: Callable[..., Outcome]) -> None:
    value = json.loads(json.dumps(board(graded("a", 1.0, 1), rejected("x.zip")).to_json(), allow_nan=False))
    assert (value["schema"], value["target"], value["reference"]["n"]) == (1, 20.0, 9)
    first, last = value["submissions"]
    keys = {"student_number", "file", "sha256", "status", "reason", "message", "score", "rank", "passed", "flags"}
    assert keys <= first.keys() == last.keys()
    assert (first["status"], first["rank"], first["passed"], first["reason"]) == ("graded", 1, True, None)
    assert Score.from_json(first["score"]).value == 1.0
    assert (last["status"], last["reason"], last["score"], last["rank"]) == ("rejected", "bad_name", None, None)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", " =", "＝", "＋", "－", "＠"])
def test_no_csv_cell_runs_as_a_formula(start: str) -> None:
    text = board(rejected(f"{start}cmd|' /C calc'!A0", message=f"{start}1")).to_csv()
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert [row[2] for row in rows[1:]] == [f"'{printable(start)}cmd|' /C calc'!A0"]
    assert not [cell for row in rows for cell in row if cell.startswith(start)]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", " =", '"=', "＝", "＋", "－", "＠"])
def test_no_part_of_a_csv_cell_runs_where_cells_are_split_at_semicolons(start: str) -> None:
    text = board(rejected("s1.tar.gz", message=f"'a;{start}1+1;{start}2.txt' is not an image.")).to_csv()
    cells = [cell for row in csv.reader(io.StringIO(text, newline=""), delimiter=";") for cell in row]
    assert [cell[0] for cell in cells if "1+1" in cell or "2.txt" in cell] == ["'", "'"]


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_html_stands_alone_and_escapes(graded: Callable[..., Outcome]) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>.zip"
    page = board(graded("a", 1.0, 1), graded("b", 2.0, 1), rejected(evil, message=evil)).to_html()
    parser = _Tags()
    parser.feed(page)
    names = [tag for tag, _ in parser.tags]
    assert names.count("script") == 1 and "link" not in names  # the page's own, as the next test says
    images = [attributes for tag, attributes in parser.tags if tag == "img"]
    assert len(images) == 2
    assert all(str(image["src"]).startswith("data:image/jpeg;base64,") and image["alt"] for image in images)
    assert not [key for _, attributes in parser.tags for key in attributes if key.startswith("on")]
    assert not re.search(r"https?://", page)
    assert "shared with b" in page and "A note." in page


def test_no_table_and_no_page_holds_what_is_obeyed(graded: Callable[..., Outcome]) -> None:
    everything = map(chr, range(sys.maxunicode + 1))
    obeyed = [c for c in everything if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]
    name = f"김철수 é{''.join(obeyed)}"
    reference = {"name": name, "n": 9, "sha256": "1" * 64}
    all_of_it = replace(
        board(graded(name, 1.0, 1), graded("b", 2.0, 1), rejected(name, message=name)),
        reference=reference,
        description=name,
        notice=name,
    )
    for text in (all_of_it.to_csv(), all_of_it.to_html(), json_text(all_of_it.to_json())):
        assert set(obeyed) & set(text) == {"\n"} and "김철수 é\\u0000" in text
    rows = list(csv.reader(io.StringIO(all_of_it.to_csv(), newline="")))
    assert len(rows) == 4 and {len(row) for row in rows} == {27}


def test_html_of_rejected_alone() -> None:
    page = board(rejected("x.zip")).to_html()
    assert "Rejected" in page and 'id="graded"' not in page


def test_html_says_when_it_is_not_fid(graded: Callable[..., Outcome]) -> None:
    assert "not FID" in board(graded("a", 1.0, 1, "fd")).to_html()
    assert "not FID" not in board(graded("a", 1.0, 1, "fid")).to_html()


@pytest.mark.parametrize(("network", "told"), [("inception-2015-12-05", True), ("effnet-lite0", False)])
def test_html_says_when_values_do_not_compare(graded: Callable[..., Outcome], network: str, told: bool) -> None:
    plain, other = graded("a", 1.0, 1), graded("b", 2.0, 2)
    assert other.graded is not None
    found = replace(other.graded, score=other.graded.score.with_origin(Origin(None, network)))
    value = board(plain, replace(other, graded=found))
    assert ("The generator of one submission was trained against the network" in value.to_html()) is told
    assert [row["score"]["trained_against"] for row in value.to_json()["submissions"]] == [None, network]


def test_a_notice_is_in_json_and_html_escaped() -> None:
    noticed = replace(board(rejected("x.zip")), notice="Real images score 21 > <20>.")
    assert noticed.to_json()["notice"] == "Real images score 21 > <20>."
    assert "Real images score 21 &gt; &lt;20&gt;." in noticed.to_html()


def test_the_same_outcomes_give_the_same_bytes(graded: Callable[..., Outcome]) -> None:
    first, second = (board(graded("a", 1.0, 1), rejected("x")) for _ in range(2))
    assert (first.to_html(), first.to_csv(), first.to_json()) == (second.to_html(), second.to_csv(), second.to_json())
