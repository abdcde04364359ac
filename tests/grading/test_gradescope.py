"""One submission on Gradescope: what was uploaded, who the student is, and results.json whatever happens."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from facegen.errors import EnvironmentProblem, InputError
from facegen.grading.flags import Collections, Flag
from facegen.grading.grader import Grader
from facegen.grading.gradescope import Metadata, Upload, failures_told, read_metadata, results_of
from facegen.grading.leaderboard import Leaderboard
from facegen.grading.outcome import Outcome
from facegen.grading.rows import LeaderboardRow
from facegen.scoring.score import Score
from facegen.submission.rules import Limits

Images = npt.NDArray[np.uint8]
METADATA: dict[str, Any] = {
    "created_at": "2018-07-01T14:22:32.365935-07:00",
    "assignment": {"due_date": "2018-07-31T23:00:00.000000-07:00", "total_points": "20.0"},
    "users": [{"email": "student@example.com", "id": 1234, "name": "Student User"}],
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """``/autograder``, with an empty upload."""
    (tmp_path / "autograder" / "submission").mkdir(parents=True)
    return tmp_path / "autograder"


def told(place: Path, **more: Any) -> None:
    (place / "submission_metadata.json").write_text(json.dumps({**METADATA, **more}))


def uploaded(place: Path, *names: str) -> Upload:
    for name in names:
        path = place / "submission" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return Upload.begin(place / "submission")


def results(place: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((place / "results" / "results.json").read_text())
    return value


def of(row: LeaderboardRow, metadata: Metadata | None = None) -> dict[str, Any]:
    board = Leaderboard((row,), {"name": "real", "n": 9, "sha256": "1" * 64}, "mean against 9 images", 128.0)
    return results_of(row, board, metadata or Metadata(total_points=20.0))


@pytest.fixture
def grade(scorer: Any, limits: Limits, tmp_path: Path) -> Callable[[Upload], Outcome]:
    return lambda upload: Grader(scorer, Collections(), tmp_path / "cache", limits=limits).grade(upload.found())


@pytest.fixture
def row(
    place: Path, submit: Callable[[str, Images], Path], smooth: Callable[..., Images], grade: Callable[..., Outcome]
) -> LeaderboardRow:
    """A graded one."""
    submit("s1", smooth(40)).rename(place / "submission" / "faces.tar.gz")
    told(place)
    return LeaderboardRow(grade(Upload.begin(place / "submission")))


class TestWho:
    @pytest.mark.parametrize(
        ("name", "user", "number"),
        [
            ("20231234.tar.gz", {}, "20231234"),
            ("faces.tar.gz", {}, "student@example.com"),
            ("faces (1).tar.gz", {"sid": "777"}, "777"),
            ("work.tgz", {"sid": ""}, "student@example.com"),
        ],
    )
    def test_the_files_number_else_who_gradescope_says(
        self, place: Path, name: str, user: dict[str, str], number: str
    ) -> None:
        told(place, users=[{**METADATA["users"][0], **user}])
        assert uploaded(place, name).found().student_number == number

    def test_without_metadata_the_name_has_to_tell(self, place: Path) -> None:
        assert uploaded(place, "faces (1).tar.gz").found().student_number is None

    def test_times_are_read_with_their_zone(self, place: Path) -> None:
        told(place)
        metadata = read_metadata(place / "submission_metadata.json")
        assert metadata.submitted_at == datetime.fromisoformat(METADATA["created_at"])
        assert metadata.due == datetime.fromisoformat(METADATA["assignment"]["due_date"])
        assert metadata.total_points == 20.0

    def test_an_extension_is_the_students_due_date(self, place: Path) -> None:
        later = "2018-08-02T23:00:00.000000-07:00"
        told(place, users=[{"sid": "1", "assignment": {"due_date": later}}])
        assert read_metadata(place / "submission_metadata.json").due == datetime.fromisoformat(later)

    @pytest.mark.parametrize("text", ["", "[]", "{", "\0"])
    def test_metadata_that_is_none_ends_in_words(self, place: Path, text: str) -> None:
        (place / "submission_metadata.json").write_text(text)
        with pytest.raises(
            InputError, match=r"submission_metadata.json (is not valid JSON|does not hold a JSON object)"
        ):
            Upload.begin(place / "submission")

    @pytest.mark.parametrize("users", [None, [], [None], "x", [{"sid": None}]])
    def test_odd_metadata_says_nothing(self, place: Path, users: Any) -> None:
        told(place, users=users, created_at=5, assignment=None)
        assert read_metadata(place / "submission_metadata.json") == Metadata()


class TestUpload:
    @pytest.mark.parametrize(
        ("names", "words"),
        [
            ((), "Nothing was uploaded"),
            (("a.tar.gz", "b.tar.gz"), "2 tarballs were uploaded: 'a.tar.gz', 'b.tar.gz'"),
            (("1.png", "2.png"), "2 files were uploaded, but none is a .tar.gz file"),
        ],
    )
    def test_what_is_wrong_with_it_is_a_rejection(
        self, place: Path, names: tuple[str, ...], words: str, grade: Callable[..., Outcome]
    ) -> None:
        told(place)
        outcome = grade(uploaded(place, *names))
        assert outcome.rejection is not None and words in outcome.rejection.message
        assert outcome.student_number == "student@example.com"
        assert of(LeaderboardRow(outcome))["score"] == 0.0

    def test_one_tarball_among_other_files_is_graded(self, place: Path) -> None:
        found = uploaded(place, "faces.tar.gz", "report.pdf", ".DS_Store", "__MACOSX/x").found()
        assert (found.file, found.refused) == ("faces.tar.gz", None)

    def test_no_folder_ends_in_words(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="name the folder of one submission"):
            Upload.begin(tmp_path / "absent")


class TestResults:
    def test_a_graded_one_has_a_score_tests_and_a_leaderboard_that_rises(self, row: LeaderboardRow) -> None:
        value = of(row)
        assert value["score"] == 20.0 * bool(row.passed)
        assert [test["status"] for test in value["tests"]][:2] == ["passed", "passed" if row.passed else "failed"]
        (entry,) = value["leaderboard"]
        assert row.score is not None
        assert entry == {"name": row.score.label, "value": round(row.score.value, 4), "order": "asc"}

    def test_the_rubrics_points_are_the_score(self, row: LeaderboardRow) -> None:
        value = of(replace(row, points=7.5, points_for=("5 for the rules.", "2.5 for the value.")))
        assert value["score"] == 7.5 and "2.5 for the value." in value["output"]

    def test_flags_are_hidden_from_students(self, row: LeaderboardRow) -> None:
        value = of(LeaderboardRow(row.outcome, (Flag("low_diversity", "All alike.", {}),)))
        hidden = [test for test in value["tests"] if test["visibility"] == "hidden"]
        assert [test["name"] for test in hidden] == ["For the staff: low_diversity"]
        del value["tests"], value["extra_data"]
        assert "low_diversity" not in json.dumps(value)

    def test_a_rejected_one_has_0_the_reason_and_the_remedy(self, place: Path, grade: Callable[..., Outcome]) -> None:
        told(place)
        value = of(LeaderboardRow(grade(uploaded(place, "<b>.tar.gz"))))
        assert value["score"] == 0.0 and "leaderboard" not in value
        assert value["output"] == "Not graded: The file has no bytes.\nSubmit exactly 40 images."

    def test_texts_are_shown_as_text(self, row: LeaderboardRow) -> None:
        value = of(row)
        assert {value[key] for key in ("output_format", "test_output_format", "test_name_format")} == {"text"}

    def test_a_file_of_the_metadatas_points_unknown_counts_1(self, row: LeaderboardRow) -> None:
        assert of(row, Metadata())["score"] == float(bool(row.passed))


class TestFailures:
    def test_results_are_there_from_the_first_and_have_no_score(self, place: Path) -> None:
        uploaded(place, "s1.tar.gz")
        assert "score" not in results(place) and "not the fault of your submission" in results(place)["output"]

    @pytest.mark.parametrize("problem", [EnvironmentProblem("No memory."), OSError("odd"), KeyboardInterrupt()])
    def test_what_fails_is_told_to_the_staff_and_is_no_0(self, place: Path, problem: BaseException) -> None:
        upload = uploaded(place, "s1.tar.gz")
        with pytest.raises(type(problem)), failures_told(upload):
            raise problem
        value = results(place)
        assert "score" not in value and all("score" not in test for test in value["tests"])
        assert [test["visibility"] for test in value["tests"]] == ["hidden"]

    def test_no_upload_no_results(self, place: Path) -> None:
        with pytest.raises(OSError), failures_told(None):
            raise OSError
        assert not (place / "results").exists()


def test_a_grade_overwrites_the_failure(place: Path, row: LeaderboardRow) -> None:
    upload = Upload.begin(place / "submission")
    score: Score | None = row.score
    assert score is not None
    upload.write(Leaderboard((row,), {}, "mean", 128.0))
    assert "score" in results(place) and results(place)["execution_time"] >= 0
