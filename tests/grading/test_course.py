"""Which attempt counts, what the rows of a course have, and the baselines beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from facegen.data.dataset import new_dataset
from facegen.errors import InputError
from facegen.grading.attempts import require_times
from facegen.grading.baselines import Baseline, measure_baselines, parse_baselines
from facegen.grading.course import Course, open_course
from facegen.grading.fingerprints import fingerprint
from facegen.grading.found import Found
from facegen.grading.lateness import Amount, Late
from facegen.grading.leaderboard import Leaderboard
from facegen.grading.outcome import GradedSubmission, Outcome
from facegen.grading.ranking import rank
from facegen.grading.roster import Roster, Student
from facegen.grading.rows import LeaderboardRow
from facegen.grading.rubric import Band, Rubric
from facegen.scoring.score import Score
from facegen.submission.rules import Code, Limits, Rejection

Images = npt.NDArray[np.uint8]
NOON = datetime(2026, 11, 20, 12, tzinfo=timezone.utc)
#: 100 points below 20 and 50 above; 10 a day from noon on.
RUBRIC = Rubric(
    (Band(Decimal(20), (Decimal(100), Decimal(100))), Band(None, (Decimal(50), Decimal(50)))),
    late=Late(NOON, Amount(Decimal(10))),
)


@pytest.fixture
def graded(smooth: Callable[..., Images]) -> Callable[..., Outcome]:
    """An outcome: ``graded("a.tar.gz", "s1", 12.5, hour=3)``; another seed, other images."""

    def make(file: str, number: str, value: float, hour: float | None = None, seed: int = 0) -> Outcome:
        images = smooth(24, seed)
        score = Score("fd", value, 24, 8, "mean", "0" * 64, 9, "1" * 64)
        names = tuple(f"{i}.png" for i in range(24))
        found = GradedSubmission(score, (), fingerprint(images), names, (), b"")
        at = None if hour is None else NOON + timedelta(hours=hour)
        return Outcome(file, number, file.encode().hex(), graded=found, submitted_at=at)

    return make


def refused(file: str, number: str | None, hour: float | None = None) -> Outcome:
    at = None if hour is None else NOON + timedelta(hours=hour)
    return Outcome(file, number, None, rejection=Rejection(Code.DAMAGED, "It is."), submitted_at=at)


def rows_of(course: Course, outcomes: list[Outcome]) -> tuple[LeaderboardRow, ...]:
    counting, others = course.counting(outcomes)
    return course.completed(rank(counting, None, others), outcomes)


class TestAttempts:
    def test_the_latest_counts_whatever_its_value(self, graded: Callable[..., Outcome]) -> None:
        outcomes = [graded("c", "s1", 5.0, 1, 1), graded("a", "S1", 30.0, 2, 2), graded("b", "s2", 9.0, 3, 3)]
        rows = rows_of(Course(policy="latest"), outcomes)
        assert [(row.outcome.file, row.rank) for row in rows] == [("b", 1), ("a", 2)]
        assert [[(each.outcome.file, each.counts) for each in row.attempts] for row in rows] == [
            [("b", True)],
            [("c", False), ("a", True)],
        ]

    def test_a_rejected_latest_falls_back_on_the_latest_graded_and_a_note_says_so(
        self, graded: Callable[..., Outcome]
    ) -> None:
        outcomes = [graded("a", "s1", 5.0, 1), graded("b", "s1", 6.0, 2), refused("c", "s1", 3)]
        (row,) = rows_of(Course(policy="latest"), outcomes)
        assert row.outcome.file == "b" and len(row.attempts) == 3
        assert row.notes == (
            "The latest submission, 'c', was rejected, so the latest one that could be graded counts.",
        )

    @pytest.mark.parametrize("policy", ["latest", "best"])
    def test_of_rejected_ones_alone_the_latest_counts(self, policy: str) -> None:
        (row,) = rows_of(Course(policy=policy), [refused("b", "s1", 1), refused("a", "s1", 2)])
        assert (row.outcome.file, row.notes) == ("a", ())

    def test_the_best_is_that_of_most_points_lateness_included(self, graded: Callable[..., Outcome]) -> None:
        outcomes = [graded("a", "s1", 19.0, 24 * 5), graded("b", "s1", 30.0, -1), graded("c", "s1", 25.0, 24 * 9)]
        (row,) = rows_of(Course(RUBRIC, policy="best"), outcomes)
        assert (row.outcome.file, row.points) == ("a", 50)  # 100 less five days; of equal points the lowest value
        assert [(each.points, each.days_late) for each in row.attempts] == [(50, 0), (50, 5), (0, 9)]

    def test_without_a_rubric_the_best_has_the_lowest_value_and_of_equal_ones_is_the_earliest(
        self, graded: Callable[..., Outcome]
    ) -> None:
        outcomes = [graded("a", "s1", 5.0), graded("b", "s1", 5.0, 2), graded("c", "s1", 5.0, 1), refused("d", "s1", 0)]
        (row,) = rows_of(Course(policy="best"), outcomes)
        assert row.outcome.file == "c"

    def test_files_without_a_number_are_nobodys(self) -> None:
        rows = rows_of(Course(policy="best"), [refused("a", None), refused("A", "a"), refused("b", None)])
        assert [row.outcome.file for row in rows] == ["A", "a", "b"]

    def test_without_a_policy_each_file_has_its_row(self, graded: Callable[..., Outcome]) -> None:
        rows = rows_of(Course(), [graded("a", "s1", 5.0), graded("b", "s1", 6.0)])
        assert [(row.outcome.file, row.attempts) for row in rows] == [("a", ()), ("b", ())]

    @pytest.mark.parametrize(
        ("hours", "message"),
        [
            ((1, None), "the time at which 'b' was handed in is not known"),
            ((1, 1), "two were handed in at the same time"),
        ],
    )
    def test_which_is_the_latest_must_be_told(self, hours: tuple[float | None, ...], message: str) -> None:
        times = [None if hour is None else NOON + timedelta(hours=hour) for hour in hours]
        several = [Found(Path(file), file, "s1", at) for file, at in zip("ab", times, strict=True)]
        with pytest.raises(InputError, match=f"Cannot tell which of 'a', 'b' is the latest: {message}"):
            require_times([*several, Found(Path("c"), "c", "s2")])

    def test_images_that_a_students_own_attempts_share_are_no_flag(self, graded: Callable[..., Outcome]) -> None:
        for course in (Course(), Course(policy="best")):
            rows = rows_of(course, [graded("a", "s1", 5.0), graded("b", "S1", 6.0)])
            assert [row.flags for row in rows] == [()] * len(rows)

    def test_a_copy_of_an_attempt_that_does_not_count_is_flagged_once(self, graded: Callable[..., Outcome]) -> None:
        outcomes = [graded("a", "s1", 5.0, 1, 1), graded("b", "s1", 6.0, 2, 1), graded("c", "s1", 7.0, 3, 2)]
        rows = rows_of(Course(policy="latest"), [*outcomes, graded("d", "s2", 9.0, 4, 1)])
        assert [[flag.name for flag in row.flags] for row in rows] == [[], ["shared_with:s1"]]


class TestRows:
    def test_points_and_their_reasons(self, graded: Callable[..., Outcome]) -> None:
        rows = rows_of(Course(RUBRIC), [graded("a", "s1", 5.0, 1), graded("b", "s2", 20.0, seed=1), refused("c", "s3")])
        assert [row.points for row in rows] == [90, 50, 0]
        assert len(rows[0].points_for) == 2 and "lateness" in rows[1].notes[0]

    def test_the_missing_stand_last_in_the_rosters_order_with_their_points(
        self, graded: Callable[..., Outcome]
    ) -> None:
        roster = Roster({number.casefold(): Student(number, f"N {number}") for number in ("S3", "s1", "s2")})
        course = Course(replace(RUBRIC, missing=Decimal(1)), roster)
        rows = rows_of(course, [graded("a", "S1", 5.0, 1)])
        assert [(row.outcome.status, row.name, row.student_name, row.points) for row in rows] == [
            ("graded", "S1", "N s1", 90),
            ("missing", "S3", "N S3", 1),
            ("missing", "s2", "N s2", 1),
        ]

    def test_a_number_that_is_not_on_the_roster_is_said_twice(
        self, graded: Callable[..., Outcome], capsys: pytest.CaptureFixture[str]
    ) -> None:
        rows = rows_of(Course(roster=Roster({"s12": Student("s12", None)})), [graded("a", "s13", 5.0)])
        sentence = "The number 's13' is not on the roster. The number 's12' is on the roster without a submission, and"
        assert rows[0].notes[0].startswith(sentence) and sentence in capsys.readouterr().err.replace("\n", " ")
        assert [row.name for row in rows] == ["s13", "s12"]

    def test_json_and_csv_have_them(self, graded: Callable[..., Outcome]) -> None:
        course = Course(RUBRIC, Roster({"s1": Student("s1", "=Ada"), "s2": Student("s2", None)}), policy="best")
        rows = rows_of(course, [graded("a", "s1", 5.0, 30), refused("b", "s1")])
        beside = course.baseline_rows([graded("real", "", 12.0)])
        board = Leaderboard(rows, {"name": "r", "n": 9, "sha256": "1" * 64}, "FD", None, baselines=beside)
        first, second = board.to_json()["submissions"]
        assert (first["points"], first["student_name"], first["submitted_at"]) == (
            80,
            "=Ada",
            "2026-11-21T18:00:00+00:00",
        )
        assert [(each["file"], each["days_late"], each["counts"]) for each in first["attempts"]] == [
            ("b", None, False),
            ("a", 2, True),
        ]
        assert (second["status"], second["points"]) == ("missing", 0)
        (baseline,) = board.to_json()["baselines"]
        assert (baseline["status"], baseline["file"], baseline["points"], baseline["notes"]) == (
            "baseline",
            "real",
            100,
            [],
        )
        lines = board.to_csv().splitlines()
        assert lines[1].endswith(f',80.00,"{" ".join(rows[0].points_for)}",,2,\'=Ada,2026-11-21T18:00:00+00:00')
        assert lines[2].startswith(",s2,,missing,") and lines[3].startswith(",,real,baseline,")

    def test_deadlines_and_times_that_are_nobodys_are_warned_of(self, capsys: pytest.CaptureFixture[str]) -> None:
        late = replace(RUBRIC.late or Late(NOON), extensions={"s1": NOON, "s2": NOON, "s9": NOON})
        course = Course(replace(RUBRIC, late=late), Roster({"s2": Student("s2", None)}))
        course.dated([Found(Path("a"), "a.tar.gz", "s1")])
        said = capsys.readouterr().err
        assert "lose no points for lateness: 'a.tar.gz'." in said and "no submission or roster has: 's9'." in said

    def test_what_cannot_be_applied_is_an_error_at_once(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no policy 'first'"):
            open_course(None, None, None, "first")
        (tmp_path / "r.toml").write_text('value = "private"\n[[bands]]\npoints = 1\n', encoding="utf-8")
        with pytest.raises(InputError, match="there is no private reference"):
            open_course(tmp_path / "r.toml", None, None, None)
        assert open_course(tmp_path / "r.toml", None, None, None, has_private=True).rubric is not None


@pytest.fixture
def reference(tmp_path: Path, smooth: Callable[..., Images]) -> Path:
    """A dataset of 50 dark train images, and of 50 bright test images."""
    images = np.concatenate([smooth(50) // 2, 128 + smooth(50, 1) // 2])
    with new_dataset(tmp_path / "reference", 64) as writer:
        writer.append(images, [f"{i}.jpg" for i in range(100)], ["train"] * 50 + ["test"] * 50)
        writer.finish({})
    return tmp_path / "reference"


class TestBaselines:
    LIMITS = Limits(count=40)

    def measure(self, texts: list[str], reference: Path, scorer: Any, **more: Any) -> list[Outcome]:
        cache = reference.parent / "cache"
        return measure_baselines(parse_baselines(texts), reference, scorer, cache, self.LIMITS, **more)

    def test_real_ones_are_held_out_and_copies_are_not(self, reference: Path, scorer: Any) -> None:
        copy, real = self.measure(["real", "reference"], reference, scorer)
        assert (copy.file, real.file) == ("reference", "real")
        assert copy.graded and real.graded and copy.graded.score.n == real.graded.score.n == 40
        assert copy.graded.score.value < 128 < real.graded.score.value and real.graded.sheet

    def test_a_second_run_measures_nothing_again_and_force_does(self, reference: Path, scorer: Any) -> None:
        first, again = (self.measure(["real"], reference, scorer) for _ in range(2))
        assert scorer.calls == 1 and first[0].sha256 == again[0].sha256
        assert first[0].graded and again[0].graded and first[0].graded.score == again[0].graded.score
        assert first[0].graded.sheet == again[0].graded.sheet
        self.measure(["real"], reference, scorer, force=True)
        assert scorer.calls == 2

    def test_a_damaged_score_is_measured_again(self, reference: Path, scorer: Any) -> None:
        self.measure(["real"], reference, scorer)
        (kept,) = (reference.parent / "cache").iterdir()
        kept.write_bytes(kept.read_bytes().replace(b'"value"', b'"valuf"'))
        self.measure(["real"], reference, scorer)
        assert scorer.calls == 2

    def test_images_of_another_size_are_made_as_a_submissions_are(self, reference: Path, scorer: Any) -> None:
        folder = reference.parent / "wide"
        folder.mkdir()
        for i in range(41):
            Image.new("RGB", (160, 80), (i, i, i)).save(folder / f"{i}.png")
        (found,) = self.measure([f"grey={folder}"], reference, scorer)
        assert found.graded and found.graded.notes == ("40 images were resized and cropped to 64x64.",)

    def test_the_private_reference_measures_too(self, reference: Path, scorer: Any) -> None:
        (found,) = self.measure(["real"], reference, scorer, private=scorer)
        assert found.graded and found.graded.private == found.graded.score
        (again,) = self.measure(["real"], reference, scorer, private=scorer)
        assert again.graded and again.graded.private == found.graded.score and scorer.calls == 1

    def test_names(self) -> None:
        assert parse_baselines(["real", "a b=c=d"]) == [Baseline("real", None), Baseline("a b", Path("c=d"))]

    @pytest.mark.parametrize("texts", [["reel"], ["=x"], ["x="], ["real", "Real=x"], [""]])
    def test_what_names_none(self, texts: list[str]) -> None:
        with pytest.raises(InputError, match="baseline"):
            parse_baselines(texts)

    def test_too_few_images(self, reference: Path, scorer: Any) -> None:
        few = Limits(count=60)
        with pytest.raises(InputError, match="'real' has 50 images, but a submission has 60"):
            measure_baselines(parse_baselines(["real"]), reference, scorer, reference.parent, few)

    def test_a_reference_without_other_images(self, tmp_path: Path, scorer: Any, smooth: Callable[..., Images]) -> None:
        with new_dataset(tmp_path / "train", 64) as writer:
            writer.append(smooth(50), [f"{i}.jpg" for i in range(50)], ["train"] * 50)
            writer.finish({})
        with pytest.raises(InputError, match="has only one split"):
            self.measure(["real"], tmp_path / "train", scorer)
        np.savez(tmp_path / "stats.npz", mu=np.zeros(8), sigma=np.eye(8))
        for name in ("real", "reference"):
            with pytest.raises(InputError, match=r"needs images, but the reference .*stats.npz holds only statistics"):
                self.measure([name], tmp_path / "stats.npz", scorer)
