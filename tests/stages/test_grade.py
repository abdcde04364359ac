"""The grade stage and command, from tarballs on disk to the leaderboard, with a scorer that needs no network."""

from __future__ import annotations

import csv
import errno
import gzip
import io
import json
import os
import re
import signal
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import Result
from PIL import Image

from facegen.data.dataset import new_dataset
from facegen.data.origin import Origin, png_info
from facegen.data.rgb import ALPHA_DROPPED
from facegen.errors import InputError
from facegen.grading import examine
from facegen.grading.found import Found
from facegen.locks import sole_use
from facegen.metrics.frechet import FrechetStatistics
from facegen.scoring.image_checks import ImageProperties
from facegen.scoring.reference import Reference
from facegen.scoring.score import Score
from facegen.scoring.scorer import Measured
from facegen.stages import grade as stage
from facegen.stages.sample import sample
from facegen.submission.open_tarball import OpenTarball
from facegen.submission.reader import Submission
from facegen.submission.rules import Limits
from facegen.submission.writer import write_tarball

CommandLine = Callable[..., Result]
Images = npt.NDArray[np.uint8]
#: Images in a submission here: 1,000 would take most of the time.
COUNT = 40


class MeanScorer:
    """Scores images by their mean value, and counts how often it was asked."""

    key, features_key, description, target = "mean", "mean", "mean against 3 images", 128.0
    reference = Reference(Path("reference"), FrechetStatistics(3, np.zeros(1), np.eye(1)), "1" * 64, "3 images")
    calls, crowded = 0, False

    def margin_warning(self, n: int) -> str | None:
        return f"{n:,} real images score 127.00." if MeanScorer.crowded else None

    def features_of(self, images: Images, description: str) -> npt.NDArray[np.float32]:
        MeanScorer.calls += 1
        return images.mean(axis=(1, 2, 3), dtype=np.float64)[:, None].astype(np.float32)

    def measure(
        self, features: npt.NDArray[np.float32], properties: ImageProperties, origin: Origin, *, judge: bool = True
    ) -> Measured:
        score = Score("fd", float(features.mean()), len(features), 1, "mean", "0" * 64, 3, "1" * 64)
        return Measured(score.with_origin(origin), np.empty(0))

    def metrics_of(self, features: npt.NDArray[np.float32]) -> dict[str, Any]:
        return {}

    def judged(self, score: Score) -> Score:
        return replace(score, target=128.0, passed=score.value < 128.0)


@pytest.fixture(autouse=True)
def _mean_scorer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MeanScorer, "calls", 0)
    monkeypatch.setattr(stage, "limits_for", lambda size: Limits(count=COUNT, size=size))
    monkeypatch.setattr(stage, "open_scorer", lambda *words, **options: MeanScorer())


def _images(count: int, seed: int) -> Images:
    """Coarse random patterns: quick to make and to compress, far from one another."""
    coarse = np.random.default_rng(seed).integers(64, 192, (count, 16, 16, 3), dtype=np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


def _dataset(path: Path, images: Images) -> Path:
    with new_dataset(path, 64) as writer:
        writer.append(images, [f"{i:06d}.jpg" for i in range(len(images))], ["train"] * len(images))
        writer.finish({})
    return path


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tarball of images of seed 1."""
    folder = tmp_path_factory.mktemp("packed")
    files = {}
    for i, image in enumerate(_images(COUNT, 1)):
        files[f"{i:04d}.png"] = folder / f"{i:04d}.png"
        Image.fromarray(image).save(folder / f"{i:04d}.png", compress_level=1)
    write_tarball(files, folder / "s1.tar.gz")
    return folder / "s1.tar.gz"


@pytest.fixture
def submissions(packed: Path, tmp_path: Path) -> Path:
    """One good submission, three bad ones, and things that are none."""
    folder = tmp_path / "submissions"
    folder.mkdir()
    (folder / "s1.tar.gz").write_bytes(packed.read_bytes())
    (folder / "s2.tar.gz").write_bytes(packed.read_bytes()[:5000])
    (folder / "s3.tar.gz").write_bytes(gzip.compress(bytes(1024)))
    (folder / "s4.zip").write_bytes(b"PK")
    (folder / "README.md").write_text("no submission")
    (folder / ".hidden").write_text("no submission")
    (folder / "notes").mkdir()
    return folder


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    return _dataset(tmp_path / "reference", _images(3, 2))


def test_every_tarball_gets_a_row(submissions: Path, reference: Path, tmp_path: Path) -> None:
    result = stage.grade(submissions, reference=reference, out=tmp_path / "grades")
    rows = [(row.outcome.file, row.rank) for row in result.leaderboard.rows]
    assert rows == [("s1.tar.gz", 1), ("s2.tar.gz", None), ("s3.tar.gz", None), ("s4.zip", None)]
    reasons = [row["reason"] for row in json.loads(result.json.read_text(encoding="utf-8"))["submissions"]]
    assert reasons == [None, "damaged", "empty", "bad_name"]
    with result.csv.open(newline="", encoding="utf-8") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["graded", "rejected", "rejected", "rejected"]
    assert "<!doctype html>" in result.html.read_text(encoding="utf-8")


def test_a_second_run_grades_nothing_again_and_writes_the_same(
    submissions: Path, reference: Path, tmp_path: Path
) -> None:
    written = []
    for force, calls in ((False, 1), (False, 1), (True, 2)):
        result = stage.grade(submissions, reference=reference, out=tmp_path / "grades", force=force)
        assert MeanScorer.calls == calls
        written.append([path.read_bytes() for path in (result.csv, result.json, result.html)])
    assert written[0] == written[1] == written[2]


def test_copies_of_training_and_reference_are_flagged(submissions: Path, tmp_path: Path) -> None:
    train, reference = (
        _dataset(tmp_path / name, _images(COUNT, 1)[rows]) for name, rows in (("t", [4]), ("r", [7, 8]))
    )
    result = stage.grade(submissions / "s1.tar.gz", reference=reference, train=train, out=tmp_path / "grades")
    (row,) = json.loads(result.json.read_text(encoding="utf-8"))["submissions"]
    assert row["flags"] == ["copied_from_reference", "copied_from_training"]
    assert row["details"]["copied_from_training"]["examples"][0]["image"] == "0004.png"
    assert row["details"]["copied_from_reference"]["images"] == 2


def test_images_of_a_generator_trained_against_a_network_are_remarked_in_every_rendering(
    packed: Path, reference: Path, tmp_path: Path
) -> None:
    info = png_info(Origin(None, "mean"))  # which is the network that measures here
    files = {file.name: tmp_path / file.name for file in sorted(packed.parent.glob("*.png"))}
    for name, file in files.items():
        Image.open(packed.parent / name).save(file, compress_level=1, pnginfo=info)
    write_tarball(files, tmp_path / "s1.tar.gz")
    result = stage.grade(tmp_path / "s1.tar.gz", reference=reference, out=tmp_path / "grades")
    (row,) = json.loads(result.json.read_text(encoding="utf-8"))["submissions"]
    assert (row["flags"], row["score"]["trained_against"]) == (["trained_against"], "mean")
    assert "flatters" in row["score"]["warnings"][0]
    with result.csv.open(newline="", encoding="utf-8") as file:
        assert [line["flags"] for line in csv.DictReader(file)] == ["trained_against"]
    assert "trained against mean, the very network" in result.html.read_text(encoding="utf-8")


def test_a_class_has_its_own_board_and_each_student_a_page(
    submissions: Path, reference: Path, tmp_path: Path, facegen: CommandLine
) -> None:
    out, feedback = tmp_path / "grades", tmp_path / "feedback"
    words = ("grade", submissions, "--reference", reference, "--out", out, "--anonymous", "--feedback", feedback)
    assert facegen(*words).exit_code == 0
    first = (out / "class.html").read_bytes()
    assert facegen(*words).exit_code == 0  # its own feedback is replaced
    assert (out / "class.html").read_bytes() == first and b"s1.tar.gz" not in first and b"0004.png" not in first
    assert sorted(path.name for path in feedback.iterdir()) == ["s1.html", "s2.html", "s3.html"]
    with (out / "pseudonyms.csv").open(newline="", encoding="utf-8") as file:
        own = {row["student_number"]: row["pseudonym"] for row in csv.DictReader(file)}["s1"]
    assert own in first.decode() and own in (feedback / "s1.html").read_text(encoding="utf-8")


def test_a_folder_of_something_else_is_refused_before_the_work(
    submissions: Path, reference: Path, tmp_path: Path, facegen: CommandLine
) -> None:
    words = ("grade", submissions, "--reference", reference, "--out", tmp_path / "grades", "--feedback", submissions)
    outcome = facegen(*words)
    assert outcome.exit_code == 2 and "which is not feedback" in outcome.stderr and MeanScorer.calls == 0


def test_copies_are_shown_beside_what_they_are_copies_of(submissions: Path, tmp_path: Path) -> None:
    reference = _dataset(tmp_path / "r", _images(COUNT, 1)[[7]])
    page = stage.grade(submissions / "s1.tar.gz", reference=reference, out=tmp_path / "grades").html
    assert re.search(
        r'<img src="data:[^"]+" [^>]*alt="0007.png"><img src="data:[^"]+" [^>]*alt="000000.jpg">', page.read_text()
    )


def test_a_target_without_room_is_told_once(
    submissions: Path, reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, facegen: CommandLine
) -> None:
    words = ("grade", submissions, "--reference", reference, "--out", tmp_path / "grades")
    assert "real images score" not in facegen(*words).stderr
    assert json.loads((tmp_path / "grades" / "leaderboard.json").read_text(encoding="utf-8"))["notice"] is None
    monkeypatch.setattr(MeanScorer, "crowded", True)
    assert facegen(*words).stderr.count("40 real images score 127.00.") == 1
    board = json.loads((tmp_path / "grades" / "leaderboard.json").read_text(encoding="utf-8"))
    page = (tmp_path / "grades" / "leaderboard.html").read_text(encoding="utf-8")
    assert board["notice"] == "40 real images score 127.00." and "real images score 127.00." in page


def test_what_the_reference_loses_on_the_way_to_rgb_is_told_once(
    submissions: Path, reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, facegen: CommandLine
) -> None:
    properties = ImageProperties(((64, 64, 3),), None, None, losses=((ALPHA_DROPPED, 2),))
    monkeypatch.setattr(MeanScorer, "reference", replace(MeanScorer.reference, properties=properties))
    stderr = facegen("grade", submissions, "--reference", reference, "--out", tmp_path / "grades").stderr
    assert stderr.count("warning: In the reference, 2 of 3 images are transparent") == 1


@pytest.mark.parametrize("name", ["reference.npz", "REFERENCE.NPZ", "reference"])
def test_statistics_alone_are_a_reference_whatever_they_are_called(
    submissions: Path, tmp_path: Path, name: str
) -> None:
    with (tmp_path / name).open("wb") as file:
        np.savez(file, mu=np.zeros(1), sigma=np.eye(1))
    result = stage.grade(submissions, reference=tmp_path / name, out=tmp_path / "grades")
    assert result.leaderboard.reference == {"name": name, "n": 3, "sha256": "1" * 64}


def test_copies_are_not_looked_for_in_statistics(submissions: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "features.npy", np.zeros((9, 4), np.float32))
    with pytest.raises(InputError, match=r"features\.npy holds statistics, and --train needs the images"):
        stage.grade(submissions, reference=submissions, train=tmp_path / "features.npy", out=tmp_path / "grades")


def test_an_interrupted_run_keeps_its_rows(
    submissions: Path, reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, facegen: CommandLine
) -> None:
    words = ("grade", submissions, "--reference", reference, "--out", tmp_path / "grades")
    with monkeypatch.context() as patch:
        looks = examine.Examiner.examine

        def interrupted(self: examine.Examiner, found: Found) -> object:
            if found.file == "s2.tar.gz":
                raise KeyboardInterrupt
            return looks(self, found)

        patch.setattr(examine.Examiner, "examine", interrupted)
        outcome = facegen(*words)
    assert outcome.exit_code == 130
    assert "after 1 of 4" in outcome.stderr
    assert facegen(*words).exit_code == 0
    assert MeanScorer.calls == 1


def test_what_goes_wrong_in_grading_leaves_no_leaderboard_and_keeps_what_was_graded(
    submissions: Path, reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, facegen: CommandLine
) -> None:
    words = ("grade", submissions, "--reference", reference, "--out", tmp_path / "grades")
    with monkeypatch.context() as patch:
        read = examine.read_tarball

        def broken(tarball: OpenTarball, student_number: str, limits: Limits) -> Submission:
            if student_number == "s2":
                raise OSError(errno.EIO, "Input/output error")
            return read(tarball, student_number, limits)

        patch.setattr(examine, "read_tarball", broken)
        assert facegen(*words).exit_code == 2
    assert [path.name for path in (tmp_path / "grades").iterdir() if path.suffix] == []
    assert facegen(*words).exit_code == 0
    assert MeanScorer.calls == 1


def test_files_that_cannot_be_read_do_not_keep_the_others_from_being_graded(
    submissions: Path, reference: Path, tmp_path: Path, facegen: CommandLine
) -> None:
    (submissions / "r0.tar.gz").symlink_to("nowhere")
    (submissions / "r9.tar.gz").symlink_to("r9.tar.gz")
    words = ("grade", submissions, "--reference", reference, "--out", tmp_path / "grades")
    outcome = facegen(*words)
    stderr = " ".join(outcome.stderr.split())
    assert (outcome.exit_code, MeanScorer.calls) == (2, 1)
    assert "2 of 6 submissions could not be read: 'r0.tar.gz', 'r9.tar.gz'. No leaderboard was written." in stderr
    assert [path.name for path in (tmp_path / "grades").iterdir() if path.suffix] == []
    for name in ("r0.tar.gz", "r9.tar.gz"):
        (submissions / name).unlink()
    assert (facegen(*words).exit_code, MeanScorer.calls) == (0, 1)


def test_a_link_in_a_circle_under_any_name_stops_no_other_file(submissions: Path) -> None:
    (submissions / "circle").symlink_to("circle")
    found = [each.path for each in stage.find_submissions(submissions, submissions / "grades")]
    assert submissions / "circle" in found and len(found) > 1


@pytest.fixture
def two(packed: Path, tmp_path: Path) -> Path:
    """A folder of two good submissions."""
    (tmp_path / "two").mkdir()
    for name in ("s1.tar.gz", "s2.tar.gz"):
        (tmp_path / "two" / name).write_bytes(packed.read_bytes() + bytes(int(name[1])))
    return tmp_path / "two"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("during", ["grade", "write_json"])
def test_a_killed_run_keeps_what_was_graded(two: Path, reference: Path, tmp_path: Path, during: str) -> None:
    """Killed by the kernel: at the second submission, and between two files of the leaderboard."""
    child = os.fork()
    if child == 0:
        owner, name = (examine.Examiner, "examine") if during == "grade" else (stage, during)
        former = getattr(owner, name)

        def killed(*words: Any) -> object:
            if during != "grade" or words[1].file == "s2.tar.gz":
                os.kill(os.getpid(), signal.SIGKILL)
            return former(*words)

        setattr(owner, name, killed)
        try:
            stage.grade(two, reference=reference, out=tmp_path / "grades")
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    result = stage.grade(two, reference=reference, out=tmp_path / "grades")
    assert MeanScorer.calls == (1 if during == "grade" else 0)
    fresh = stage.grade(two, reference=reference, out=tmp_path / "fresh")
    for kind in ("csv", "json", "html"):
        assert getattr(result, kind).read_bytes() == getattr(fresh, kind).read_bytes()


@pytest.mark.parametrize("during", ["Grader.grade_all", "rank", "write_text"])
def test_a_full_disk_ends_in_a_sentence_and_keeps_what_was_graded(
    two: Path, reference: Path, tmp_path: Path, during: str, monkeypatch: pytest.MonkeyPatch, facegen: CommandLine
) -> None:
    def full(*words: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "grades")

    words = ("grade", two, "--reference", reference, "--out", tmp_path / "grades")
    with monkeypatch.context() as patch:
        patch.setattr(f"facegen.stages.grade.{during}", full)
        outcome = facegen(*words)
    assert (outcome.exit_code, "Traceback" in outcome.stderr) == (2, False)
    assert "Cannot write grades: No space left on device. Make room, or name another place." in outcome.stderr
    assert f"Stopped after {0 if during == 'Grader.grade_all' else 2} of 2. Run the command again" in " ".join(
        outcome.stderr.split()
    )
    graded = MeanScorer.calls
    assert facegen(*words).exit_code == 0
    assert MeanScorer.calls == max(graded, 2)


def test_a_second_run_into_one_folder_is_refused_with_the_firsts_number(
    two: Path, reference: Path, tmp_path: Path, facegen: CommandLine
) -> None:
    words = ("grade", two, "--reference", reference, "--out", tmp_path / "grades")
    with sole_use(tmp_path / "grades" / "cache", "grades into grades"):
        outcome = facegen(*words)
        assert outcome.exit_code == 2 and not (tmp_path / "grades" / "leaderboard.json").exists()
    assert f"Another process (number {os.getpid()}) grades into" in outcome.stderr
    assert facegen(*words).exit_code == 0
    assert not [path for path in (tmp_path / "grades").rglob("*") if path.name.startswith(".")]


def test_what_may_be_a_submission_and_is_passed_over_is_warned_of(
    submissions: Path, reference: Path, tmp_path: Path, facegen: CommandLine
) -> None:
    (submissions / ".DS_Store").write_bytes(b"")
    (submissions / "__MACOSX").mkdir()
    for ours in (".s1.tar.gz.abcdefg1.part", ".data.part", ".run.lock"):  # of processes that were killed
        (submissions / ours).write_bytes(b"")
    stderr = facegen("grade", submissions, "--reference", reference, "--out", submissions / "grades").stderr
    warnings = [line for line in stderr.splitlines() if line.startswith("warning: ")]
    assert any("Hidden files in " in line and "not graded: '.hidden'. If one is" in line for line in warnings)
    assert any("Folders in " in line and "not searched: 'notes'. Move" in line for line in warnings)
    assert "These files are not submissions and were ignored: '.DS_Store', 'README.md', '__MACOSX'." in stderr
    again = facegen("grade", submissions, "--reference", reference, "--out", submissions / "grades").stderr
    assert "ignored: '.DS_Store', 'README.md', '__MACOSX', 'grades'." in again and "not searched: 'notes'." in again


@pytest.mark.parametrize("make", [lambda path: None, Path.mkdir])
def test_no_submissions_is_an_error(make: Callable[[Path], None], reference: Path, tmp_path: Path) -> None:
    make(tmp_path / "nothing")
    with pytest.raises(InputError):
        stage.grade(tmp_path / "nothing", reference=reference, out=tmp_path / "grades")


def test_json_on_stdout_is_the_leaderboard(
    submissions: Path, reference: Path, tmp_path: Path, facegen: CommandLine
) -> None:
    outcome = facegen("grade", submissions, "--reference", reference, "--out", tmp_path / "grades", "--json")
    assert outcome.exit_code == 0
    written = json.loads((tmp_path / "grades" / "leaderboard.json").read_text(encoding="utf-8"))
    assert json.load(io.StringIO(outcome.stdout)) == written


def test_strict_fails_on_a_rejected_submission_alone(
    submissions: Path, reference: Path, tmp_path: Path, facegen: CommandLine
) -> None:
    words = ("--reference", reference, "--out", tmp_path / "grades", "--strict")
    assert facegen("grade", submissions, *words).exit_code == 1
    assert facegen("grade", submissions / "s1.tar.gz", *words).exit_code == 0


def test_the_table_shows_each_row(submissions: Path, reference: Path, tmp_path: Path, facegen: CommandLine) -> None:
    (submissions / "[red]x.tar.gz").write_bytes(b"")
    outcome = facegen("grade", submissions, "--reference", reference, "--out", tmp_path / "grades")
    for words in ("s1", "passed", "rejected", "damaged", "[red]x.tar.gz"):
        assert words in outcome.stdout


RUBRIC = """
missing = 1
[[bands]]
below = 256
points = 100
[late]
deadline = 2026-11-20T23:59:00+09:00
per_day = 10
"""


def test_a_course_has_points_a_roster_times_attempts_and_baselines(
    packed: Path, generator: Path, tmp_path: Path, facegen: CommandLine
) -> None:
    folder = tmp_path / "submissions"
    folder.mkdir()
    for name in ("s1.tar.gz", "S1.tar.gz"):
        (folder / name).write_bytes(packed.read_bytes())
    (tmp_path / "rubric.toml").write_text(RUBRIC, encoding="utf-8")
    (tmp_path / "roster.csv").write_text("student_number,name\ns1,Ada\ns2,Bob\n", encoding="utf-8")
    times = "file,submitted_at\ns1.tar.gz,2026-11-20T14:00:00Z\nS1.tar.gz,2026-11-22T12:00:00Z\n"
    (tmp_path / "times.csv").write_text(times, encoding="utf-8")
    reference = _dataset(tmp_path / "reference", _images(COUNT, 2))
    course = ("--points", tmp_path / "rubric.toml", "--roster", tmp_path / "roster.csv")
    course += ("--submitted-at", tmp_path / "times.csv", "--policy", "latest")
    course += ("--baseline", "reference", "--baseline", f"g={generator / 'last.safetensors'}")
    done = facegen("grade", folder, "--reference", reference, *course, "--out", tmp_path / "grades")
    assert (done.exit_code, "missing" in done.stdout, "baseline" in done.stdout) == (0, True, True)
    board = json.loads((tmp_path / "grades" / "leaderboard.json").read_text(encoding="utf-8"))
    first, second = board["submissions"]
    assert (first["file"], first["student_name"], first["points"]) == ("S1.tar.gz", "Ada", 80)
    assert [(each["file"], each["points"], each["counts"]) for each in first["attempts"]] == [
        ("s1.tar.gz", 100, False),
        ("S1.tar.gz", 80, True),
    ]
    assert (second["status"], second["student_number"], second["points"]) == ("missing", "s2", 1)
    assert {each["file"] for each in board["baselines"]} == {"reference", "g"}
    with (tmp_path / "grades" / "leaderboard.csv").open(newline="", encoding="utf-8") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["graded", "missing", "baseline", "baseline"]


def test_a_generator_as_a_baseline_is_what_it_draws_with_seed_0(
    submissions: Path, reference: Path, generator: Path, tmp_path: Path
) -> None:
    path = generator / "last.safetensors"
    sample(path, tmp_path / "drawn", n=COUNT)
    drawn = np.stack([np.asarray(Image.open(file)) for file in sorted((tmp_path / "drawn").glob("*.png"))])
    result = stage.grade(submissions, reference=reference, out=tmp_path / "grades", baselines=[f"g={path}"])
    (row,) = result.leaderboard.baselines
    assert row.score is not None and row.score.value == pytest.approx(drawn.mean())


def test_what_a_course_cannot_have_is_said_before_anything_is_graded(
    submissions: Path, reference: Path, tmp_path: Path, facegen: CommandLine
) -> None:
    for option in ("--points", "--roster", "--submitted-at"):
        done = facegen(
            "grade", submissions, "--reference", reference, option, tmp_path / "none", "--out", tmp_path / "g"
        )
        assert done.exit_code == 2 and "none cannot be read" in done.stderr.replace("\n", " ")
    assert MeanScorer.calls == 0


def test_a_platforms_zip_becomes_a_leaderboard_and_a_grade_import(
    packed: Path, reference: Path, tmp_path: Path, facegen: CommandLine
) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(packed, "Jane Doe_12345_assignsubmission_file_/my faces.tar.gz")
        archive.writestr("John Roe_12346_assignsubmission_file_/20231234.tar.gz", b"none")
    words = ("grade", tmp_path / "all.zip", "--reference", reference, "--out", tmp_path / "grades")
    outcome = facegen(*words, "--csv-columns", "ID number=student_number,Status=status", "--json")
    assert outcome.exit_code == 0, outcome.stderr
    rows = json.loads(outcome.stdout)["submissions"]
    assert [(row["student_number"], row["status"]) for row in rows] == [("12345", "graded"), ("20231234", "rejected")]
    assert rows[0]["file"] == "Jane Doe_12345_assignsubmission_file_/my faces.tar.gz"
    written = (tmp_path / "grades" / "import.csv").read_text()
    assert written == "ID number,Status\n12345,graded\n20231234,rejected\n"
    assert not list((tmp_path / "grades").rglob("unpacked/*"))


def test_a_column_that_there_is_not_ends_before_anything_is_graded(
    submissions: Path, reference: Path, tmp_path: Path, facegen: CommandLine
) -> None:
    words = ("grade", submissions, "--reference", reference, "--out", tmp_path / "grades", "--csv-columns", "N=numbr")
    outcome = facegen(*words)
    assert (outcome.exit_code, MeanScorer.calls) == (2, 0) and "unknown field, 'numbr'" in outcome.stderr


class TestGradescope:
    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        (tmp_path / "autograder" / "submission").mkdir(parents=True)
        told = {"users": [{"sid": "777"}], "assignment": {"total_points": "5"}, "created_at": None}
        (tmp_path / "autograder" / "submission_metadata.json").write_text(json.dumps(told))
        return tmp_path / "autograder"

    def grade(self, place: Path, reference: Path, facegen: CommandLine) -> tuple[int, dict[str, Any]]:
        words = ("--reference", reference, "--out", place / "grades", "--gradescope", "--low-memory")
        outcome = facegen("grade", place / "submission", *words)
        return outcome.exit_code, json.loads((place / "results" / "results.json").read_text())

    def test_a_good_upload_is_graded(self, place: Path, packed: Path, reference: Path, facegen: CommandLine) -> None:
        (place / "submission" / "my faces.tar.gz").write_bytes(packed.read_bytes())
        code, results = self.grade(place, reference, facegen)
        passed = results["extra_data"]["score"]["passed"]
        assert (code, results["score"]) == (0, 5.0 * passed)
        assert results["extra_data"]["student_number"] == "777" and results["leaderboard"][0]["order"] == "asc"

    def test_a_bad_upload_has_0(self, place: Path, reference: Path, facegen: CommandLine) -> None:
        code, results = self.grade(place, reference, facegen)
        assert (code, results["score"]) == (0, 0.0) and "Nothing was uploaded" in results["output"]

    def test_where_the_grader_fails_there_is_no_score(
        self, place: Path, packed: Path, facegen: CommandLine, tmp_path: Path
    ) -> None:
        (place / "submission" / "s1.tar.gz").write_bytes(packed.read_bytes())
        code, results = self.grade(place, tmp_path / "absent", facegen)
        assert code == 2 and "score" not in results and "not the fault of your submission" in results["output"]
