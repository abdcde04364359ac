"""A flag from outside the package takes one call, and is in every rendering of the leaderboard."""

from __future__ import annotations

import csv
import importlib
import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from facegen.errors import EnvironmentProblem
from facegen.grading.flags import (
    FLAGS,
    Collections,
    Finding,
    FlagRule,
    code_of_checks,
    code_of_measures,
    register_flag,
)
from facegen.grading.found import Found
from facegen.grading.grader import Grader
from facegen.grading.leaderboard import Leaderboard
from facegen.grading.ranking import rank
from facegen.submission.rules import Limits

Images = npt.NDArray[np.uint8]
Smooth = Callable[..., Images]
Submit = Callable[[str, Images], Path]

ROOT = Path(__file__).parents[2]
#: A stranger's whole module: the example of the page.
TOY = (ROOT / "docs" / "grading.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]


@pytest.fixture(autouse=True)
def _table_as_before() -> Iterator[None]:
    before = dict(FLAGS)
    yield
    FLAGS.clear()
    FLAGS.update(before)


@pytest.fixture
def red(smooth: Smooth, submit: Submit) -> Path:
    """A submission of 40 red images."""
    images = smooth(40)
    images[..., 0] = 255
    return submit("s1", images)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Imports the toy module, under a name of its own for each text."""
    monkeypatch.syspath_prepend(tmp_path)
    names: list[str] = []

    def load(text: str) -> None:
        names.append(f"toy_flag_{len(names)}")
        (tmp_path / f"{names[-1]}.py").write_text(text, encoding="utf-8")
        importlib.import_module(names[-1])

    yield load
    for name in names:
        del sys.modules[name]


def test_it_is_in_json_csv_and_html(
    toy: Callable[[str], None], red: Path, scorer: Any, limits: Limits, tmp_path: Path
) -> None:
    toy(TOY)
    outcomes = [Grader(scorer, Collections(), tmp_path / "cache", limits=limits).grade(Found.at(red)) for _ in range(2)]
    assert scorer.calls == 1  # the second is from the cache
    for outcome in outcomes:
        board = Leaderboard(rank([outcome]), {"name": "real", "n": 9, "sha256": "1" * 64}, "mean", None)
        (row,) = board.to_json()["submissions"]
        assert row["flags"] == ["too_red"] and row["details"]["too_red"]["red"] == 255
        assert [line["flags"] for line in csv.DictReader(io.StringIO(board.to_csv()))] == ["too_red"]
        assert "<b>too red</b>The images are red: 255 of 255." in board.to_html()


def test_another_check_has_submissions_graded_again(
    toy: Callable[[str], None], red: Path, scorer: Any, limits: Limits, tmp_path: Path
) -> None:
    for text in (TOY, TOY.replace("red <= 200", "red <= 255")):
        FLAGS.pop("too_red", None)
        toy(text)
        graded = Grader(scorer, Collections(), tmp_path / "cache", limits=limits).grade(Found.at(red)).graded
        assert graded is not None
        assert [flag.name for flag in graded.flags] == ["too_red"] * (text == TOY)


def fails(submission: Any) -> Finding:
    raise KeyError("colour")


def not_json(submission: Any) -> Finding:
    return Finding("The images are odd.", {"value": np.float32(1)})


def examples_of_its_own(submission: Any) -> Finding:
    return Finding("The images are odd.", {"examples": ["0000.png"]})


def test_a_check_that_gets_no_memory_costs_no_flag(red: Path, scorer: Any, limits: Limits, tmp_path: Path) -> None:
    register_flag(FlagRule("odd", "The images are odd.", {}, "Always.", check=needs_memory))
    with pytest.raises(EnvironmentProblem, match=r"too little memory to grade s1\.tar\.gz"):
        Grader(scorer, Collections(), tmp_path / "cache", limits=limits).grade(Found.at(red))


def needs_memory(submission: Any) -> Finding:
    raise MemoryError


@pytest.mark.parametrize("check", [fails, not_json, examples_of_its_own, lambda submission: True])
def test_a_check_that_breaks_costs_its_flag_and_no_more(
    check: Any, red: Path, scorer: Any, limits: Limits, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    register_flag(FlagRule("odd", "The images are odd.", {}, "Always.", check=check))
    grader = Grader(scorer, Collections(), tmp_path / "cache", limits=limits)
    (row,) = rank([grader.grade(Found.at(red))])
    (note,) = row.notes
    assert row.rank == 1 and not row.flags and note.startswith("The flag odd could not be checked (")
    assert f"s1.tar.gz: {note}" in capsys.readouterr().err
    assert not list((tmp_path / "cache").glob("flags-*"))  # as if the flag had been looked for


#: A stranger's flag with a measure, in a module apart from its check.
MEASURE = """
import numpy as np

def red(images):
    return images[..., 0].mean(axis=(1, 2))
"""
CHECK = """
from facegen.grading.flags import Finding, FlagRule, register_flag
from MODULE import red

def check(submission):
    mean = float(submission.measured["red"].mean())
    return Finding("Red.", {"mean": mean}) if mean > 200 else None

register_flag(FlagRule("red", "Red.", {"mean": "of red"}, "200", check=check, measure=red))
"""


def test_a_measure_is_handed_to_the_check_and_kept_apart_from_its_threshold(
    toy: Callable[[str], None], red: Path, scorer: Any, limits: Limits, tmp_path: Path
) -> None:
    toy(MEASURE)
    before = code_of_measures()
    toy(CHECK.replace("MODULE", "toy_flag_0"))
    graded = Grader(scorer, Collections(), tmp_path / "cache", limits=limits).grade(Found.at(red)).graded
    assert graded is not None and [flag.details for flag in graded.flags] == [{"mean": 255.0}]
    code, checks = code_of_measures(), code_of_checks("facegen.grading.grader")
    assert code != before
    FLAGS.pop("red")
    toy(CHECK.replace("MODULE", "toy_flag_0").replace("200", "255"))
    assert code_of_measures() == code and code_of_checks("facegen.grading.grader") != checks
    FLAGS["red"] = replace(FLAGS["red"], measured_by=lambda: "library 2")
    assert code_of_measures() != code


def test_a_measure_that_breaks_costs_its_flag_and_no_more(
    red: Path, scorer: Any, limits: Limits, tmp_path: Path
) -> None:
    def breaks(images: Images) -> Any:
        raise KeyError("colour")

    register_flag(FlagRule("odd", "The images are odd.", {}, "Always.", check=lambda submission: None, measure=breaks))
    grader = Grader(scorer, Collections(), tmp_path / "cache", limits=limits)
    (row,) = rank([grader.grade(Found.at(red))])
    assert row.rank == 1 and row.notes == ("The flag odd could not be checked (KeyError: 'colour').",)
    kept = {path.name.partition("-")[0] for path in (tmp_path / "cache").iterdir()}
    assert kept == {"features", "score"}  # nothing as if the flag had been looked for


def test_a_comparison_that_breaks_costs_its_flag_and_no_more(
    submit: Submit, red: Path, scorer: Any, limits: Limits, smooth: Smooth, tmp_path: Path
) -> None:
    def compare(shared: Any) -> Finding:
        raise KeyError("colour")

    register_flag(FlagRule("odd", "The images are odd.", {}, "Always.", compare=compare))
    images = smooth(40)
    images[..., 0] = 255
    grader = Grader(scorer, Collections(), tmp_path / "cache", limits=limits)
    rows = rank([grader.grade(Found.at(path)) for path in (red, submit("s2", images))])
    assert [[flag.name for flag in row.flags] for row in rows] == [["shared_with:s2"], ["shared_with:s1"]]
    assert [row.notes[0][:20] for row in rows] == ["The flag odd:s2 coul", "The flag odd:s1 coul"]


def test_a_code_is_another_modules_once() -> None:
    with pytest.raises(ValueError, match="another module has a flag low_diversity already"):
        register_flag(replace(FLAGS["low_diversity"], check=fails))


def test_a_module_that_is_loaded_again_replaces_its_flag(toy: Callable[[str], None]) -> None:
    toy(TOY)
    importlib.reload(sys.modules["toy_flag_0"])
    assert list(FLAGS)[-1] == "too_red" and FLAGS["too_red"].check is sys.modules["toy_flag_0"].check_red


@pytest.mark.parametrize("code", ["two words", "shared:with", "Upper", ""])
def test_a_code_can_stand_in_the_csv(code: str) -> None:
    with pytest.raises(ValueError, match="lower-case"):
        FlagRule(code, "It means.", {}, "Always.", check=lambda submission: None)


def test_a_rule_looks_at_one_submission_or_at_two() -> None:
    with pytest.raises(ValueError, match="needs either a check or a compare"):
        FlagRule("toy", "It means.", {}, "Always.")
