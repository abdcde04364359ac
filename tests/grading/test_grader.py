"""One outcome a tarball whatever happens, cached by its contents."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from facegen.data.origin import Origin, png_info
from facegen.errors import EnvironmentProblem
from facegen.grading.fingerprints import KnownFaces, fingerprint
from facegen.grading.flags import Collections
from facegen.grading.grader import Grader
from facegen.scoring.score import Score
from facegen.submission.rules import Limits
from facegen.submission.writer import write_tarball

Images = npt.NDArray[np.uint8]
Smooth = Callable[..., Images]
Submit = Callable[[str, Images], Path]


def test_a_submission_is_scored_and_cached(
    smooth: Smooth, submit: Submit, scorer: Any, limits: Limits, tmp_path: Path
) -> None:
    images = smooth(40)
    path = submit("s1", images)
    outcomes = [Grader(scorer, Collections(), tmp_path / "cache", limits=limits).grade(path) for _ in range(2)]
    assert scorer.calls == 1
    first, second = (outcome.graded for outcome in outcomes)
    assert first is not None and second is not None
    assert first.score == second.score and first.score.value == pytest.approx(images.mean())
    for key in ("flags", "names", "notes", "sheet"):
        assert getattr(first, key) == getattr(second, key)
    np.testing.assert_array_equal(first.fingerprints.hashes, second.fingerprints.hashes)


def test_the_cache_goes_by_contents_not_by_name(
    smooth: Smooth, submit: Submit, scorer: Any, limits: Limits, tmp_path: Path
) -> None:
    grader = Grader(scorer, Collections(), tmp_path / "cache", limits=limits)
    path = submit("s1", smooth(40))
    grader.grade(path)
    outcome = grader.grade(Path(shutil.copy(path, path.with_name("s2.tar.gz"))))
    assert (scorer.calls, outcome.student_number, outcome.file) == (1, "s2", "s2.tar.gz")


@pytest.mark.parametrize("change", ["force", "scorer", "known", "damaged", "flipped"])
def test_what_could_change_a_result_has_it_made_again(
    change: str, smooth: Smooth, submit: Submit, scorer: Any, limits: Limits, tmp_path: Path
) -> None:
    path, cache = submit("s1", smooth(40)), tmp_path / "cache"
    Grader(scorer, Collections(), cache, limits=limits).grade(path)
    collections = Collections()
    if change == "scorer":
        scorer.key = "another"
    if change == "known":
        collections = Collections(training=KnownFaces(("x",) * 3, fingerprint(smooth(3, 9))))
    if change == "damaged":
        for file in cache.iterdir():
            file.write_bytes(file.read_bytes()[:-50])
    if change == "flipped":  # a digit of the score
        for file in cache.iterdir():
            data = file.read_bytes()
            at = data.index(b'"value": ') + 10
            file.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    assert Grader(scorer, collections, cache, force=change == "force", limits=limits).grade(path).graded
    assert scorer.calls == 2


def test_copies_are_looked_for_in_each_collection(
    smooth: Smooth, submit: Submit, scorer: Any, limits: Limits, tmp_path: Path
) -> None:
    images, known = smooth(40), smooth(10, seed=5)
    images[3] = known[7]
    faces = KnownFaces(tuple("abcdefghij"), fingerprint(known))
    grader = Grader(scorer, Collections(reference=faces), tmp_path / "cache", limits=limits)
    graded = grader.grade(submit("s1", images)).graded
    assert graded is not None
    assert [flag.name for flag in graded.flags] == ["copied_from_reference"]


def test_images_that_say_where_they_come_from_earn_flags_and_name_it_in_the_score(
    smooth: Smooth, submit: Submit, scorer: Any, limits: Limits, tmp_path: Path
) -> None:
    path = submit("s1", smooth(40))
    files = {file.name: file for file in sorted((tmp_path / "images-s1").iterdir())}
    for file in files.values():
        Image.open(file).save(file, pnginfo=png_info(Origin("discriminator rejection, 31% accepted", "mean")))
    write_tarball(files, path)
    for _ in range(2):  # graded, and read from the cache
        graded = Grader(scorer, Collections(), tmp_path / "cache", limits=limits).grade(path).graded
        assert graded is not None
        assert graded.score.sampling == "discriminator rejection, 31% accepted"
        assert (graded.score.trained_against, graded.score.warnings) == ("mean", (graded.score.flattery,))
        sampling, against = graded.flags
        assert sampling.name == "sampling" and "discriminator rejection, 31% accepted" in sampling.message
        assert against.name == "trained_against" and "trained against mean, the very network" in against.message


def test_a_broken_tarball_is_a_rejected_outcome(scorer: Any, limits: Limits, tmp_path: Path) -> None:
    path = tmp_path / "s1.tar.gz"
    path.write_bytes(b"\x1f\x8b nonsense")
    outcome = Grader(scorer, Collections(), tmp_path / "cache", limits=limits).grade(path)
    assert outcome.rejection is not None
    assert (outcome.rejection.code.value, outcome.student_number) == ("damaged", "s1")
    assert outcome.sha256 is not None and len(outcome.sha256) == 64


@pytest.mark.parametrize("broken", ["not a number", "raises"])
def test_an_unexpected_failure_is_an_outcome_too_and_not_cached(
    broken: str,
    smooth: Smooth,
    submit: Submit,
    scorer: Any,
    limits: Limits,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(images: Images) -> Score:
        if broken == "raises":
            raise ZeroDivisionError("by zero")
        return replace(type(scorer)().score(images), value=float("nan"))

    path = submit("s1", smooth(40))
    grader = Grader(scorer, Collections(), tmp_path / "cache", limits=limits)
    with monkeypatch.context() as patch:
        patch.setattr(scorer, "score", fail)
        outcome = grader.grade(path)
    assert outcome.rejection is not None and "unexpectedly" in outcome.rejection.message
    assert grader.grade(path).graded is not None


@pytest.mark.parametrize(
    "problem", [EnvironmentProblem("The weights are gone."), MemoryError()], ids=["weights", "memory"]
)
def test_what_the_machine_lacks_is_raised(
    problem: Exception,
    smooth: Smooth,
    submit: Submit,
    scorer: Any,
    limits: Limits,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(images: Images) -> Any:
        raise problem

    monkeypatch.setattr(scorer, "score", fail)
    with pytest.raises(EnvironmentProblem):
        Grader(scorer, Collections(), tmp_path / "cache", limits=limits).grade(submit("s1", smooth(40)))
