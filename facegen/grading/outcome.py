"""What grading one tarball found, or why it is rejected."""

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
#: Images beside one another in :attr:`GradedSubmission.pictures`.
PICTURE_COLUMNS = 40


@dataclass(frozen=True)
class GradedSubmission:
    """What grading a valid submission found, apart from other submissions.

    Attributes:
        score: its distance to the reference; beside it in ``metrics`` the other metrics, where they were measured.
        flags: what it earned by itself.
        fingerprints: of its images.
        names: its images' names.
        notes: what was passed over on reading, and flags whose check broke, in sentences.
        sheet: a contact sheet of a few of its images, JPEG.
        pictures: all of its images, in rows of 40, JPEG; empty where they were not kept.
        private: its distance to the private reference; None where there is none.
        left_out: by "public" and "private", the values of the n sets that lack one image each, float64 [n]
            (:func:`facegen.metrics.interval.leave_one_out`); empty where they were not measured.
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
    """One tarball and what grading it found, or why it is rejected; or a student who handed in none.

    Attributes:
        file: its file name; "" where there is none.
        student_number: None where the file name has none.
        sha256: of its bytes; None where they were not read.
        graded, rejection: one of them at most is there; neither where nothing was handed in.
        submitted_at: when it was handed in; None where that is not known.
    """

    file: str
    student_number: str | None
    sha256: str | None
    graded: GradedSubmission | None = None
    rejection: Rejection | None = None
    submitted_at: datetime | None = None

    @property
    def name(self) -> str:
        """The student number; where there is none, the file's name."""
        return self.student_number or self.file

    @property
    def status(self) -> str:
        """``"graded"``, ``"rejected"`` or ``"missing"``."""
        return "graded" if self.graded is not None else "rejected" if self.rejection is not None else "missing"


def sheet_jpeg(images: npt.NDArray[np.uint8]) -> bytes:
    """A JPEG of 12 x 2 images taken at equal steps from uint8 [N, S, S, 3]."""
    rows = np.linspace(0, len(images) - 1, min(len(images), _SHEET_COLUMNS * _SHEET_ROWS)).astype(int)
    return _jpeg(images[rows], _SHEET_COLUMNS)


def pictures_jpeg(images: npt.NDArray[np.uint8]) -> bytes:
    """A JPEG of all images, uint8 [N, S, S, 3], in their order, 40 beside one another, without gaps."""
    return _jpeg(images, min(len(images), PICTURE_COLUMNS))


def picture_boxes(count: int, size: int) -> list[tuple[int, int, int, int]]:
    """Where each of ``count`` images of side ``size`` is in :func:`pictures_jpeg`: left, upper, right and lower."""
    columns = min(count, PICTURE_COLUMNS)
    corners = [(size * (i % columns), size * (i // columns)) for i in range(count)]
    return [(left, upper, left + size, upper + size) for left, upper in corners]


def _jpeg(images: npt.NDArray[np.uint8], columns: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(contact_sheet(images, columns=columns, gap=0)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
