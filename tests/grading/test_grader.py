"""One outcome a tarball whatever it holds, cached by its contents; and no outcome where the machine fails."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from facegen.data.origin import Origin, png_info
from facegen.errors import EnvironmentProblem, InputError
from facegen.files import sha256_file
from facegen.grading import examine, found, store
from facegen.grading.fingerprints import KnownFaces, fingerprint
from facegen.grading.flags import Collections
from facegen.grading.found import Found
from facegen.grading.grader import Grader
from facegen.scoring.scorer import Measured
from facegen.submission import open_tarball as opening
from facegen.submission.open_tarball import OpenTarball, UnreadableTarball, open_tarball
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
    outcomes = [
        Grader(scorer, Collections(), tmp_path / "cache", limits=limits).grade(Found.at(path)) for _ in range(2)
    ]
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
    grader.grade(Found.at(path))
    outcome = grader.grade(Found.at(Path(shutil.copy(path, path.with_name("s2.tar.gz")))))
    assert (scorer.calls, outcome.student_number, outcome.file) == (1, "s2", "s2.tar.gz")


def test_copies_are_called_by_the_names_of_this_run(
    smooth: Smooth, submit: Submit, scorer: Any, limits: Limits, tmp_path: Path
) -> None:
    images = smooth(40)
    path, prints = submit("s1", images), fingerprint(images)
    matches = []
    for letter in "ab":
        known = Collections(training=KnownFaces(tuple(f"{letter}{i}.png" for i in range(40)), prints))
        graded = Grader(scorer, known, tmp_path / "cache", limits=limits).grade(Found.at(path)).graded
        assert graded is not None
        matches.append(graded.flags[0].details["examples"][0]["match"])
    assert matches == ["a0.png", "b0.png"]


@pytest.mark.parametrize(
    ("change", "features", "scores", "flags"),
    [
        ("nothing", 1, 1, 1),
        ("force", 2, 2, 1),
        ("scorer", 1, 2, 2),
        ("known", 1, 1, 2),
        ("damaged", 2, 2, 1),
        ("flipped", 1, 2, 1),
    ],
)
def test_what_could_change_a_result_has_it_made_again(
    change: str,
    features: int,
    scores: int,
    flags: int,
    smooth: Smooth,
    submit: Submit,
    scorer: Any,
    limits: Limits,
    tmp_path: Path,
) -> None:
    path, cache = submit("s1", smooth(40)), tmp_path / "cache"
    Grader(scorer, Collections(), cache, limits=limits).grade(Found.at(path))
    collections = Collections()
    if change == "scorer":
        scorer.key = "another"
    if change == "known":
        collections = Collections(training=KnownFaces(("x",) * 3, fingerprint(smooth(3, 9))))
    if change == "damaged":
        for file in cache.iterdir():
            file.write_bytes(file.read_bytes()[:-50])
    if change == "flipped":  # a digit of the score
        for file in cache.glob("score-*"):
            data = file.read_bytes()
            at = data.index(b'"value": ') + 10
            file.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    assert Grader(scorer, collections, cache, force=change == "force", limits=limits).grade(Found.at(path)).graded
    assert (scorer.calls, scorer.scores, len(list(cache.glob("flags-*")))) == (features, scores, flags)


def test_another_target_makes_nothing_again(
    smooth: Smooth, submit: Submit, scorer: Any, limits: Limits, tmp_path: Path
) -> None:
    path, verdicts = submit("s1", smooth(40)), []
    for target in (1.0, 255.0):
        scorer.judged = lambda score, target=target: replace(score, target=target, passed=score.value < target)
        graded = Grader(scorer, Collections(), tmp_path / "cache", limits=limits).grade(Found.at(path)).graded
        assert graded is not None
        verdicts.append(graded.score.passed)
    assert verdicts == [False, True]
    assert (scorer.calls, scorer.scores, len(list((tmp_path / "cache").glob("flags-*")))) == (1, 1, 1)


def test_copies_are_looked_for_in_each_collection(
    smooth: Smooth, submit: Submit, scorer: Any, limits: Limits, tmp_path: Path
) -> None:
    images, known = smooth(40), smooth(10, seed=5)
    images[3] = known[7]
    faces = KnownFaces(tuple("abcdefghij"), fingerprint(known))
    grader = Grader(scorer, Collections(reference=faces), tmp_path / "cache", limits=limits)
    graded = grader.grade(Found.at(submit("s1", images))).graded
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
        graded = Grader(scorer, Collections(), tmp_path / "cache", limits=limits).grade(Found.at(path)).graded
        assert graded is not None
        assert graded.score.sampling == "discriminator rejection, 31% accepted"
        assert (graded.score.trained_against, graded.score.warnings) == ("mean", (graded.score.flattery,))
        sampling, against = graded.flags
        assert sampling.name == "sampling" and "discriminator rejection, 31% accepted" in sampling.message
        assert against.name == "trained_against" and "trained against mean, the very network" in against.message


def test_a_broken_tarball_is_a_rejected_outcome(scorer: Any, limits: Limits, tmp_path: Path) -> None:
    path = tmp_path / "s1.tar.gz"
    path.write_bytes(b"\x1f\x8b nonsense")
    outcome = Grader(scorer, Collections(), tmp_path / "cache", limits=limits).grade(Found.at(path))
    assert outcome.rejection is not None
    assert (outcome.rejection.code.value, outcome.student_number) == ("damaged", "s1")
    assert outcome.sha256 is not None and len(outcome.sha256) == 64


def test_a_rejection_is_cached_as_a_score_is(
    scorer: Any, limits: Limits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, cache = tmp_path / "s1.tar.gz", tmp_path / "cache"
    path.write_bytes(b"\x1f\x8b nonsense")
    first = Grader(scorer, Collections(), cache, limits=limits).grade(Found.at(path)).rejection
    reads = Mock(side_effect=examine.read_tarball)
    monkeypatch.setattr(examine, "read_tarball", reads)
    scorer.key = "another"  # of which it does not depend
    second = Grader(scorer, Collections(), cache, limits=limits).grade(Found.at(path)).rejection
    assert first is not None and second is not None and not reads.called
    assert (first.code, first.message, first.remedy) == (second.code, second.message, second.remedy)
    Grader(scorer, Collections(), cache, limits=replace(limits, count=3)).grade(Found.at(path))
    Grader(scorer, Collections(), cache, limits=limits, force=True).grade(Found.at(path))
    for file in cache.iterdir():
        file.write_bytes(file.read_bytes()[:-9])
    Grader(scorer, Collections(), cache, limits=limits).grade(Found.at(path))
    assert reads.call_count == 3


def test_a_cached_rejection_that_cannot_be_read_is_made_again(
    scorer: Any, limits: Limits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s1.tar.gz"
    path.write_bytes(b"\x1f\x8b nonsense")
    first = Grader(scorer, Collections(), tmp_path / "cache", limits=limits).grade(Found.at(path)).rejection
    monkeypatch.setattr(store, "read_sealed_json", Mock(side_effect=PermissionError(errno.EACCES, "Permission denied")))
    second = Grader(scorer, Collections(), tmp_path / "cache", limits=limits).grade(Found.at(path)).rejection
    assert first is not None and second is not None
    assert (first.code, first.message) == (second.code, second.message)


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps names as Unicode")
@pytest.mark.parametrize("raw", [b"\xc3\xa9.zip", b"x\xe9.zip"], ids=["utf8", "other"])
def test_a_file_has_one_name_in_every_locale(
    raw: bytes, scorer: Any, limits: Limits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = []
    for encoding in ("utf-8", "ascii", "latin-1"):
        with monkeypatch.context() as changed:
            changed.setattr(found.os, "fsencode", lambda name, by=encoding: name.encode(by, "surrogateescape"))
            path = Path(raw.decode(encoding, "surrogateescape"))
            names.append(Grader(scorer, Collections(), tmp_path, limits=limits).grade(Found.at(path)).file)
    assert names == [raw.decode("utf-8", "surrogateescape").encode("utf-8", "backslashreplace").decode()] * 3


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_rejects_nobody(
    value: float, smooth: Smooth, submit: Submit, scorer: Any, limits: Limits, tmp_path: Path
) -> None:
    measure = scorer.measure

    def no_number(*words: Any, **options: Any) -> Measured:
        measured: Measured = measure(*words, **options)
        return replace(measured, score=replace(measured.score, value=value))

    scorer.measure = no_number
    with pytest.raises(
        InputError, match=r"The score of s1\.tar\.gz is (nan|inf), which is not a number\. The images are"
    ):
        Grader(scorer, Collections(), tmp_path / "cache", limits=limits).grade(Found.at(submit("s1", smooth(40))))


@pytest.mark.parametrize(
    "problem", [ZeroDivisionError("by zero"), RuntimeError("out of memory"), OSError(errno.EIO, "Input/output error")]
)
def test_what_nobody_foresaw_is_raised_as_it_is(
    problem: Exception, smooth: Smooth, submit: Submit, scorer: Any, limits: Limits, tmp_path: Path
) -> None:
    path, grader = submit("s1", smooth(40)), Grader(scorer, Collections(), tmp_path / "cache", limits=limits)
    scorer.features_of = Mock(side_effect=problem)
    with pytest.raises(type(problem)) as raised:
        grader.grade(Found.at(path))
    assert raised.value is problem
    del scorer.features_of
    assert grader.grade(Found.at(path)).graded is not None


@pytest.mark.parametrize("valid", [True, False])
def test_a_result_that_cannot_be_kept_stops_the_run(
    valid: bool, smooth: Smooth, submit: Submit, scorer: Any, limits: Limits, tmp_path: Path
) -> None:
    path, cache = submit("s1", smooth(40 if valid else 3)), tmp_path / "cache"
    cache.write_bytes(b"")  # a file in the folder's place: no user, root neither, writes below it
    with pytest.raises(EnvironmentProblem, match=r"Cannot write the result of s1\.tar\.gz to .*cache"):
        Grader(scorer, Collections(), cache, limits=limits).grade(Found.at(path))


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
    monkeypatch.setattr(scorer, "features_of", Mock(side_effect=problem))
    with pytest.raises(EnvironmentProblem):
        Grader(scorer, Collections(), tmp_path / "cache", limits=limits).grade(Found.at(submit("s1", smooth(40))))


# One opening of the file: what is hashed is what is read


def test_a_file_that_takes_the_name_meanwhile_poisons_no_result(
    smooth: Smooth, submit: Submit, scorer: Any, limits: Limits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = smooth(40), smooth(40, seed=9) // 2
    path, another = submit("s1", mine), submit("s2", other)
    sha256 = sha256_file(path)

    def renamed_over(*words: Any) -> Any:
        another.replace(path)
        return read_tarball(*words)

    read_tarball = examine.read_tarball
    with monkeypatch.context() as patch:
        patch.setattr(examine, "read_tarball", renamed_over)
        outcome = Grader(scorer, Collections(), tmp_path / "cache", limits=limits).grade(Found.at(path))
    assert outcome.graded is not None and outcome.sha256 == sha256
    assert outcome.graded.score.value == pytest.approx(mine.mean())
    again = Grader(scorer, Collections(), tmp_path / "cache", limits=limits).grade(Found.at(path))
    assert again.graded is not None and again.graded.score.value == pytest.approx(other.mean())


@pytest.mark.parametrize("change", ["cut off", "written on", "flipped", "grown past the cap"])
@pytest.mark.parametrize("valid", [True, False])
def test_a_file_that_changes_meanwhile_is_said_and_neither_graded_nor_rejected(
    valid: bool,
    change: str,
    smooth: Smooth,
    submit: Submit,
    scorer: Any,
    limits: Limits,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = submit("s1", smooth(4))
    data = path.read_bytes()
    limits = replace(limits, count=4 if valid else 5, compressed_bytes=len(data) + 1000)
    changed = {
        "cut off": data[:-100],
        "written on": data + bytes(512),  # which a gzip file may end in
        "flipped": data[:4] + b"\1" + data[5:],  # the date in its header, which changes no pixel
        "grown past the cap": data + bytes(2000),
    }[change]

    def written_to(*words: Any) -> Any:
        path.write_bytes(changed)
        return read_tarball(*words)

    read_tarball = examine.read_tarball
    monkeypatch.setattr(examine, "read_tarball", written_to)
    with pytest.raises(InputError, match=r"s1\.tar\.gz changed while it was read\. Run it again"):
        Grader(scorer, Collections(), tmp_path / "cache", limits=limits).grade(Found.at(path))
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(("link", "words"), [(False, "is not there any more"), (True, "is a link that leads nowhere")])
def test_a_file_that_vanishes_is_no_rejection(
    link: bool, words: str, scorer: Any, limits: Limits, tmp_path: Path
) -> None:
    path = tmp_path / "s1.tar.gz"
    if link:
        path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UnreadableTarball, match=words):
        Grader(scorer, Collections(), tmp_path / "cache", limits=limits).grade(Found.at(path))


@pytest.mark.parametrize(
    ("number", "of_the_file"),
    [(errno.EIO, True), (errno.EACCES, True), (errno.EMFILE, False), (errno.ENFILE, False), (errno.ENOMEM, False)],
)
@pytest.mark.parametrize("during", ["open", "read"])
def test_a_file_that_cannot_be_read_is_named_and_what_the_machine_lacks_is_not_of_the_file(
    during: str,
    number: int,
    of_the_file: bool,
    submit: Submit,
    smooth: Smooth,
    limits: Limits,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = submit("s1", smooth(2))
    problem = OSError(number, "No")
    file = Mock(**{"read.side_effect": problem})
    monkeypatch.setattr(opening, "open_regular", Mock(side_effect=problem))
    with pytest.raises(UnreadableTarball if of_the_file else OSError) as raised:
        if during == "open":
            with open_tarball(path, limits):
                pass
        else:
            OpenTarball(file, path, limits)
    if of_the_file:
        assert str(raised.value) == f"Cannot read {path}: No. Make the file readable, and run it again."
    else:
        assert raised.value is problem
