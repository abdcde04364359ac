"""Grades one tarball at a time, and caches the result by the tarball's contents."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from facegen import console
from facegen.errors import EnvironmentProblem, FacegenError, in_words
from facegen.files import atomic_path, read_arrays, sha256_file
from facegen.grading.fingerprints import Fingerprints, fingerprint
from facegen.grading.flags import Collections, Flag, SubmittedImages, code_of_checks, flags_of
from facegen.pictures.contact_sheet import contact_sheet
from facegen.printable import shortened
from facegen.scoring.score import Score
from facegen.submission.reader import Submission, read_submission
from facegen.submission.rules import LIMITS, Code, Limits, Rejection, student_number_of

_SHEET_COLUMNS, _SHEET_ROWS = 12, 2


class Scores(Protocol):
    """What a grader needs of a :class:`facegen.scoring.scorer.Scorer`."""

    @property
    def key(self) -> str: ...

    def score(self, images: npt.NDArray[np.uint8]) -> Score: ...


@dataclass(frozen=True)
class GradedSubmission:
    """What grading a valid submission found, apart from other submissions.

    Attributes:
        score: its distance to the reference.
        flags: what it earned by itself.
        fingerprints: of its images.
        names: its images' names.
        notes: what was passed over on reading, and flags whose check broke, in sentences.
        sheet: a contact sheet, JPEG.
    """

    score: Score
    flags: tuple[Flag, ...]
    fingerprints: Fingerprints
    names: tuple[str, ...]
    notes: tuple[str, ...]
    sheet: bytes

    @property
    def sheet_uri(self) -> str:
        return "data:image/jpeg;base64," + base64.b64encode(self.sheet).decode()


@dataclass(frozen=True)
class Outcome:
    """One tarball and either what grading it found or why it is rejected.

    Attributes:
        file: its file name.
        student_number: None where the file name has none.
        sha256: of its bytes; None where they were not read.
        graded, rejection: exactly one of them is there.
    """

    file: str
    student_number: str | None
    sha256: str | None
    graded: GradedSubmission | None = None
    rejection: Rejection | None = None


class Grader:
    """Grades tarballs against one reference.

    Copies are looked for in ``collections``. Results are stored in the folder ``cache`` and used again for the same
    tarball, scorer, collections, limits and code, unless ``force``.
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
        asked = [limits.count, limits.size]
        self._key = json.dumps([code_of_checks(__name__), scorer.key, asked, _collections_key(collections)])

    def grade(self, path: Path) -> Outcome:
        """Grade the tarball at ``path``: an outcome whatever it holds. What the machine lacks is raised."""
        file = path.name.encode("utf-8", "backslashreplace").decode()
        student_number = sha256 = None
        try:
            student_number = student_number_of(file)
            if path.is_file() and path.stat().st_size <= self._limits.compressed_bytes:
                sha256 = sha256_file(path)
            return Outcome(file, student_number, sha256, graded=self._grade(path, sha256))
        except Rejection as problem:
            rejection = problem
        except FacegenError:
            raise  # a missing extractor or a full disk is no submission's fault
        except MemoryError as problem:
            raise EnvironmentProblem(
                f"There is too little memory to grade {file}.", "Close other programs and run it again, to go on there."
            ) from problem
        except OSError as problem:
            rejection = Rejection(Code.DAMAGED, f"The file cannot be read: {problem.strerror or problem}.")
        except Exception as problem:  # noqa: BLE001
            # The last resort that keeps one submission from costing the others their row; said aloud, never cached.
            console.warn(f"{file}: unexpected {in_words(problem)}.")
            rejection = Rejection(
                Code.BAD_IMAGE, f"Grading it failed unexpectedly ({shortened(in_words(problem), 200)})."
            )
        return Outcome(file, student_number, sha256, rejection=rejection)

    def _grade(self, path: Path, sha256: str | None) -> GradedSubmission:
        cached = self._cache / f"{hashlib.sha256(f'{self._key} {sha256}'.encode()).hexdigest()[:40]}.npz"
        if not self._force and sha256 is not None and (graded := _load(cached)) is not None:
            console.detail(f"{path.name}: graded before.")
            return graded
        submission = read_submission(path, limits=self._limits)
        graded, broken = self._examine(submission)
        for sentence in broken:
            console.warn(f"{path.name}: {sentence}")
        if not broken:
            _save(cached, graded)
        return graded

    def _examine(self, submission: Submission) -> tuple[GradedSubmission, list[str]]:
        """What grading finds, and a sentence for each flag whose check broke, which is among the notes too."""
        images, names = submission.images, submission.names
        score = self._scorer.score(images).with_origin(submission.origin)
        if not math.isfinite(score.value):
            raise ArithmeticError(f"the score is {score.value}")
        prints = fingerprint(images)
        flags, broken = flags_of(SubmittedImages(images, names, prints, score, self._collections))
        notes = (*submission.notes, *broken)
        return GradedSubmission(score, tuple(flags), prints, names, notes, sheet_jpeg(images)), broken


def _collections_key(collections: Collections) -> list[str | None]:
    """Hashes of what copies are looked for in."""
    known = [
        None if faces is None else faces.fingerprints.pixels for faces in (collections.reference, collections.training)
    ]
    arrays = (*known, collections.shipped)
    return [None if array is None else hashlib.sha256(array.tobytes()).hexdigest() for array in arrays]


def sheet_jpeg(images: npt.NDArray[np.uint8]) -> bytes:
    """A JPEG of 12 x 2 images taken at equal steps from uint8 [N, S, S, 3]."""
    rows = np.linspace(0, len(images) - 1, min(len(images), _SHEET_COLUMNS * _SHEET_ROWS)).astype(int)
    buffer = io.BytesIO()
    sheet = contact_sheet(images[rows], columns=_SHEET_COLUMNS, gap=0)
    Image.fromarray(sheet).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


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
        )
    except (ValueError, KeyError, TypeError):
        return None
