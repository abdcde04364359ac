"""The outcome of grading one tarball: its score and flags, or its rejection."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import numpy.typing as npt
from PIL import Image

from facegen.grading.fingerprints import Fingerprints
from facegen.grading.flags import Flag
from facegen.pages import data_uri
from facegen.pictures.contact_sheet import contact_sheet
from facegen.scoring.score import Score
from facegen.submission.rules import Rejection

_SHEET_COLUMNS, _SHEET_ROWS = 12, 2
#: Number of images per row in :attr:`GradedSubmission.pictures`.
PICTURE_COLUMNS = 40


@dataclass(frozen=True)
class GradedSubmission:
    """The results of grading a valid submission, without comparing it with other submissions.

    Attributes:
        score: The distance to the reference. Its ``metrics`` hold the further metrics, if they were measured.
        flags: The flags that it gets by itself.
        fingerprints: The fingerprints of its images.
        names: The names of its images.
        notes: Sentences about files that were skipped on reading, and about flag checks that raised an error.
        sheet: A contact sheet of a few of its images, JPEG.
        pictures: All of its images in rows of 40, JPEG; empty if they were not kept.
        private: The distance to the private reference; None if there is none.
        left_out: By "public" and "private", the values of the n sets that each lack one image, float64 [n]
            (:func:`facegen.metrics.interval.leave_one_out`); empty if they were not measured.
    """

    score: Score
    flags: tuple[Flag, ...]
    fingerprints: Fingerprints
    names: tuple[str, ...]
    notes: tuple[str, ...]
    sheet: bytes
    pictures: bytes = b""
    private: Score | None = None
    left_out: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)

    @property
    def sheet_uri(self) -> str:
        return data_uri("image/jpeg", self.sheet)


@dataclass(frozen=True)
class Outcome:
    """The outcome of one tarball, graded or rejected, or of a student who handed in nothing.

    Attributes:
        file: The file name; "" if there is no file.
        student_number: The student number; None if the file name has none.
        sha256: The SHA-256 of the file; None if it was not read.
        graded, rejection: The result. At most one of them is set, and neither if nothing was handed in.
        submitted_at: The time at which the file was handed in; None if it is not known.
    """

    file: str
    student_number: str | None
    sha256: str | None
    graded: GradedSubmission | None = None
    rejection: Rejection | None = None
    submitted_at: datetime | None = None

    @property
    def name(self) -> str:
        """The student number, or the file's name if there is no number."""
        return self.student_number or self.file

    @property
    def status(self) -> str:
        """The status: ``"graded"``, ``"rejected"`` or ``"missing"``."""
        return "graded" if self.graded is not None else "rejected" if self.rejection is not None else "missing"


def sheet_jpeg(images: npt.NDArray[np.uint8]) -> bytes:
    """Return a JPEG of 12 x 2 images taken at equal steps from uint8 [N, S, S, 3]."""
    rows = np.linspace(0, len(images) - 1, min(len(images), _SHEET_COLUMNS * _SHEET_ROWS)).astype(int)
    return _jpeg(images[rows], _SHEET_COLUMNS)


def pictures_jpeg(images: npt.NDArray[np.uint8]) -> bytes:
    """Return a JPEG of all images, uint8 [N, S, S, 3], in order, in rows of 40 without gaps."""
    return _jpeg(images, min(len(images), PICTURE_COLUMNS))


def picture_boxes(count: int, size: int) -> list[tuple[int, int, int, int]]:
    """Return the box (left, upper, right, lower) of each image in :func:`pictures_jpeg`; ``size`` is the image side."""
    columns = min(count, PICTURE_COLUMNS)
    corners = [(size * (i % columns), size * (i // columns)) for i in range(count)]
    return [(left, upper, left + size, upper + size) for left, upper in corners]


def _jpeg(images: npt.NDArray[np.uint8], columns: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(contact_sheet(images, columns=columns, gap=0)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
