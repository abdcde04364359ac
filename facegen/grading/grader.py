"""Grades one tarball at a time, and caches the result by the tarball's contents."""

from __future__ import annotations

import hashlib
import json
import math
from contextlib import AbstractContextManager
from dataclasses import astuple
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import PIL

from facegen import console
from facegen.code_hash import code_hash
from facegen.errors import EnvironmentProblem, InputError
from facegen.files import atomic_path, read_arrays, read_sealed_json, write_sealed_json, writing_told
from facegen.grading.fingerprints import Fingerprints, fingerprint
from facegen.grading.flags import Collections, Flag, SubmittedImages, code_of_checks, flags_of
from facegen.grading.found import Found
from facegen.grading.outcome import GradedSubmission, Outcome, pictures_jpeg, sheet_jpeg
from facegen.scoring.score import Score
from facegen.submission.open_tarball import OpenTarball, open_tarball
from facegen.submission.reader import Submission, read_tarball
from facegen.submission.rules import LIMITS, Code, Limits, Rejection, student_number_of


class Scores(Protocol):
    """What a grader needs of a :class:`facegen.scoring.scorer.Scorer`."""

    @property
    def key(self) -> str: ...

    def score(self, images: npt.NDArray[np.uint8]) -> Score: ...


class Grader:
    """Grades tarballs against one reference.

    Copies are looked for in ``collections``. Results are stored in the folder ``cache`` and used again for the same
    tarball, scorer, collections, limits and code, unless ``force``. So are rejections, for which the tarball, the
    limits, the code and Pillow's version count.
    """

    def __init__(
        self,
        scorer: Scores,
        collections: Collections,
        cache: Path,
        *,
        force: bool = False,
        limits: Limits = LIMITS,
    ) -> None:
        self._scorer, self._collections, self._cache = scorer, collections, cache
        self._force, self._limits = force, limits
        caps = astuple(limits)
        self._key = json.dumps([code_of_checks(__name__), scorer.key, caps, _collections_key(collections)])
        # Another Pillow may decode what this one cannot.
        self._rules_key = json.dumps([code_hash("facegen.submission.reader"), caps, PIL.__version__])

    def grade(self, found: Found) -> Outcome:
        """Grade a tarball.

        Only what its name and its bytes say rejects it. Everything else is raised, for it is no student's fault: what
        was graded before is kept, and another run goes on from there.

        Args:
            found: the tarball.

        Raises:
            UnreadableTarball: it is not there, cannot be read, or changes while it is read.
            InputError: its score is no number.
            EnvironmentProblem: too little memory; a result that cannot be kept.
            OSError: the machine lacks something else.
        """
        file, at = found.file, found.submitted_at
        student_number = sha256 = None
        try:
            student_number = found.student_number
            if found.refused is not None:
                raise found.refused
            student_number = student_number or student_number_of(file)
            most = self._limits.compressed_bytes
            with found.at_hand(self._cache, most) as path, open_tarball(path, self._limits) as tarball:
                sha256 = tarball.sha256
                graded = self._grade(file, student_number, tarball)
                return Outcome(file, student_number, sha256, graded=graded, submitted_at=at)
        except Rejection as rejection:
            return Outcome(file, student_number, sha256, rejection=rejection, submitted_at=at)
        except MemoryError as problem:
            raise EnvironmentProblem(
                f"There is too little memory to grade {file}.", "Close other programs and run it again, to go on there."
            ) from problem

    def _grade(self, file: str, student_number: str, tarball: OpenTarball) -> GradedSubmission:
        cached = self._cached(self._key, tarball, ".npz")
        refused = self._cached(self._rules_key, tarball, ".json")
        if not self._force and (graded := _load(cached)) is not None:
            console.detail(f"{file}: graded before.")
            return graded
        if not self._force and (rejection := _load_rejection(refused, self._limits)) is not None:
            console.detail(f"{file}: rejected before.")
            raise rejection
        try:
            submission = read_tarball(tarball, student_number, self._limits)
        except Rejection as rejection:
            with _kept(file, self._cache):
                write_sealed_json(refused, {"code": rejection.code.name, "message": rejection.message})
            raise
        graded, broken = self._examine(file, submission)
        for sentence in broken:
            console.warn(f"{file}: {sentence}")
        if not broken:
            with _kept(file, self._cache):
                _save(cached, graded)
        return graded

    def _cached(self, key: str, tarball: OpenTarball, suffix: str) -> Path:
        name = hashlib.sha256(f"{key} {tarball.sha256}".encode()).hexdigest()[:40]
        return self._cache / f"{name}{suffix}"

    def _examine(self, file: str, submission: Submission) -> tuple[GradedSubmission, list[str]]:
        """What grading finds, and a sentence for each flag whose check broke, which is among the notes too."""
        images, names = submission.images, submission.names
        score = self._scorer.score(images).with_origin(submission.origin)
        if not math.isfinite(score.value):
            raise InputError(
                f"The score of {file} is {score.value}, which is no number.",
                "The images are sound: look at the reference and at the extractor's weights.",
            )
        prints = fingerprint(images)
        flags, broken = flags_of(SubmittedImages(images, names, prints, score, self._collections))
        notes = (*submission.notes, *broken)
        sheets = sheet_jpeg(images), pictures_jpeg(images)
        return GradedSubmission(score, tuple(flags), prints, names, notes, *sheets), broken


def _collections_key(collections: Collections) -> list[Any]:
    """Hashes of what copies are looked for in, and of the names by which a flag calls it."""
    known = (collections.reference, collections.training)
    names = [None if faces is None else json.dumps(faces.names).encode() for faces in known]
    arrays = (*(None if faces is None else faces.fingerprints.pixels for faces in known), collections.shipped)
    contents = (*names, *(None if array is None else array.tobytes() for array in arrays))
    return [None if each is None else hashlib.sha256(each).hexdigest() for each in contents]


def _kept(file: str, cache: Path) -> AbstractContextManager[None]:
    """EnvironmentProblem where a result cannot be written.

    A run that went on would lose what it grades when it is interrupted, and would fail hours later, at the leaderboard.
    """
    return writing_told(
        f"Cannot keep the result of {file} in {cache}",
        "Make room there, or let it be written to, and run it again, to go on there; or name another --out.",
    )


def _save(path: Path, graded: GradedSubmission) -> None:
    text = json.dumps(
        {
            "score": graded.score.to_json(),
            "flags": [[flag.name, flag.message, flag.details] for flag in graded.flags],
            "names": graded.names,
            "notes": graded.notes,
        }
    )
    prints = graded.fingerprints
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            text=np.frombuffer(text.encode(), dtype=np.uint8),
            sheet=np.frombuffer(graded.sheet, dtype=np.uint8),
            pictures=np.frombuffer(graded.pictures, dtype=np.uint8),
            pixels=prints.pixels,
            hashes=prints.hashes,
            mirrored=prints.mirrored,
        )


def _load(path: Path) -> GradedSubmission | None:
    """What ``_save`` wrote; None where there is nothing whole: it is only a cache, and is made again."""
    if not path.is_file():
        return None
    try:
        stored: dict[str, npt.NDArray[Any]] = read_arrays(path)
        text: dict[str, Any] = json.loads(stored["text"].tobytes())
        return GradedSubmission(
            Score.from_json(text["score"]),
            tuple(Flag(*flag) for flag in text["flags"]),
            Fingerprints(stored["pixels"], stored["hashes"], stored["mirrored"]),
            tuple(text["names"]),
            tuple(text["notes"]),
            stored["sheet"].tobytes(),
            stored["pictures"].tobytes(),
        )
    except (ValueError, KeyError, TypeError):
        return None


def _load_rejection(path: Path, limits: Limits) -> Rejection | None:
    """A rejection that was stored; None as for ``_load``."""
    if not path.is_file():
        return None
    try:
        stored = read_sealed_json(path)
        return Rejection(Code[stored["code"]], stored["message"], limits)
    except (OSError, ValueError, KeyError):  # another user's may not be readable, and can be replaced all the same
        return None
