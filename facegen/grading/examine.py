"""Reading a submission and looking at its images: the part of grading that needs neither a network nor a reference.

One process does this for one tarball, so that several processes can work ahead of the network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import PIL

from facegen.code_hash import code_hash
from facegen.data.origin import Origin
from facegen.grading.fingerprints import Fingerprints, fingerprint
from facegen.grading.flags import code_of_measures, measured_of
from facegen.grading.found import Found
from facegen.grading.outcome import pictures_jpeg, sheet_jpeg
from facegen.grading.store import Store
from facegen.language import restored, stored
from facegen.scoring.image_checks import ImageProperties, PropertyCollector
from facegen.submission.open_tarball import OpenTarball, UnreadableTarball, open_tarball
from facegen.submission.reader import Submission, read_tarball
from facegen.submission.rules import LIMITS, Code, Limits, Rejection, student_number_of

Images = npt.NDArray[np.uint8]


class Reader(Protocol):
    """A function that reads the open file of a submission into images. It can be sent to another process."""

    @property
    def key(self) -> str:
        """A text that changes whenever the images of the same file, or its rejection, may change."""

    def __call__(self, file: OpenTarball, student_number: str, limits: Limits, /) -> Submission:
        """Return the submission.

        Raises:
            Rejection: The bytes of the file break a rule.
            UnreadableTarball: The file changes while it is read.
        """


class TarballReader:
    """The reader of the images in a tarball."""

    @property
    def key(self) -> str:
        # Another version of Pillow may decode images that this one cannot.
        return f"{code_hash('facegen.submission.reader')} {PIL.__version__}"

    def __call__(self, file: OpenTarball, student_number: str, limits: Limits) -> Submission:
        return read_tarball(file, student_number, limits)


@dataclass(frozen=True)
class Examined:
    """A valid submission and everything that can be found out from its images alone.

    Attributes:
        student_number: The student number.
        sha256: The SHA-256 of the file.
        key: A hash of everything that decides these findings.
        names, notes, origin, likeness: As in :class:`facegen.submission.reader.Submission`.
        fingerprints, properties: The fingerprints and properties of the images.
        sheet, pictures: The images as JPEG (:mod:`facegen.grading.outcome`).
        measured: The result of each flag rule's ``measure``, by the flag's code.
        broken: A sentence for each measure that raised an error. The findings are not kept in that case.
        images: The images, uint8 [N, S, S, 3]; None if nothing needs them.
    """

    student_number: str
    sha256: str
    key: str
    names: tuple[str, ...]
    notes: tuple[str, ...]
    origin: Origin
    fingerprints: Fingerprints
    properties: ImageProperties
    sheet: bytes
    pictures: bytes
    measured: Mapping[str, npt.NDArray[np.float64]]
    likeness: float | None = None
    broken: tuple[str, ...] = ()
    images: Images | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Rejected:
    """A submission that breaks a rule. ``student_number`` and ``sha256`` are None if they are not known."""

    student_number: str | None
    sha256: str | None
    code: Code
    message: str


@dataclass(frozen=True)
class Unread:
    """A file that cannot be read, with the reason and the remedy."""

    message: str
    remedy: str | None

    def problem(self) -> UnreadableTarball:
        return UnreadableTarball(self.message, self.remedy)


@dataclass(frozen=True)
class Examiner:
    """Examines submissions and keeps the results.

    Attributes:
        store: The place in which results are kept.
        limits: The requirements of a submission, and the caps within which it is read.
        reader: The reader of the submission's file.
        made_of_images: The keys of the ``features`` that are later computed from the images. If the store lacks one of
            them, the images are returned with the result.
    """

    store: Store
    limits: Limits = LIMITS
    reader: Reader = field(default_factory=TarballReader)
    made_of_images: tuple[str, ...] = ()

    @cached_property
    def _rules(self) -> str:
        return " ".join([self.reader.key, str(astuple(self.limits))])

    @cached_property
    def _key(self) -> str:
        return " ".join([self._rules, code_hash(__name__), code_of_measures()])

    def examine(self, found: Found) -> Examined | Rejected | Unread:
        """Examine a submission's name and bytes.

        Only the name and the bytes can lead to a rejection. Every other problem is raised.

        Raises:
            EnvironmentProblem: A result cannot be written.
            MemoryError, OSError: The machine lacks something.
        """
        student_number = sha256 = None
        try:
            student_number = found.student_number
            if found.refused is not None:
                raise found.refused
            student_number = student_number or student_number_of(found.file, self.limits)
            with self._opened(found) as file:
                sha256 = file.sha256
                return self._examine(found.file, student_number, file)
        except Rejection as rejection:
            return Rejected(student_number, sha256, rejection.code, rejection.message)
        except UnreadableTarball as problem:
            return Unread(problem.message, problem.remedy)

    def images(self, found: Found, examined: Examined) -> Images:
        """Return a submission's images, and read them from its file again if necessary.

        Raises:
            UnreadableTarball: The file no longer exists, or its contents have changed.
        """
        if examined.images is not None:
            return examined.images
        with self._opened(found) as file:
            if file.sha256 != examined.sha256:
                raise UnreadableTarball(f"{found.path} changed while it was graded.", "Run the command again.")
            return self.reader(file, examined.student_number, self.limits).images

    @contextmanager
    def _opened(self, found: Found) -> Iterator[OpenTarball]:
        most = self.limits.compressed_bytes
        with found.at_hand(self.store.folder, most) as path, open_tarball(path, self.limits) as file:
            yield file

    def _examine(self, name: str, student_number: str, file: OpenTarball) -> Examined:
        refused = self.store.path("rejection", self._rules, file.sha256)
        kept = self.store.path("images", self._key, file.sha256)
        known = self._known(kept, student_number, file.sha256)
        if known is not None and all(
            self.features_path(known, each).with_suffix(".npz").is_file() for each in self.made_of_images
        ):
            return known
        if known is None and (rejection := self._rejection(refused)) is not None:
            raise rejection
        try:
            submission = self.reader(file, student_number, self.limits)
        except Rejection as rejection:
            self.store.keep_fields(refused, {"code": rejection.code.name, "message": stored(rejection.message)}, name)
            raise
        if known is None:
            known = self._look_at(kept, name, submission, file.sha256)
        return Examined(**{**vars(known), "images": submission.images})

    def features_path(self, examined: Examined, key: str) -> Path:
        """Return the path of the features that ``key`` computes from the submission's images."""
        return self.store.path("features", key, examined.key)

    def _look_at(self, kept: Path, name: str, submission: Submission, sha256: str) -> Examined:
        images = submission.images
        collector = PropertyCollector()
        collector.update(images)
        prints, (measured, broken) = fingerprint(images), measured_of(images)
        known = Examined(
            submission.student_number,
            sha256,
            kept.name,
            submission.names,
            submission.notes,
            submission.origin,
            prints,
            collector.properties(),
            sheet_jpeg(images),
            pictures_jpeg(images),
            measured,
            submission.likeness,
            tuple(broken),
        )
        if not broken:
            arrays: dict[str, npt.NDArray[Any]] = {
                "sheet": np.frombuffer(known.sheet, dtype=np.uint8),
                "pictures": np.frombuffer(known.pictures, dtype=np.uint8),
                "pixels": prints.pixels,
                "hashes": prints.hashes,
                "mirrored": prints.mirrored,
                **{f"property {name}": array for name, array in collector.state().items()},
                **{f"measure {code}": array for code, array in measured.items()},
            }
            origin = [submission.origin.sampling, submission.origin.trained_against]
            notes = [stored(note) for note in known.notes]
            fields = {"names": known.names, "notes": notes, "likeness": known.likeness, "origin": origin}
            self.store.keep_arrays(kept, arrays, fields, name)
        return known

    def _known(self, kept: Path, student_number: str, sha256: str) -> Examined | None:
        """Return what :meth:`_look_at` kept; None if it is missing or damaged."""
        piece = self.store.arrays(kept)
        if piece is None:
            return None
        arrays, fields = piece
        try:
            collector = PropertyCollector()
            collector.restore(_under("property", arrays))
            return Examined(
                student_number,
                sha256,
                kept.name,
                tuple(fields["names"]),
                tuple(map(restored, fields["notes"])),
                Origin(*fields["origin"]),
                Fingerprints(arrays["pixels"], arrays["hashes"], arrays["mirrored"]),
                collector.properties(),
                arrays["sheet"].tobytes(),
                arrays["pictures"].tobytes(),
                _under("measure", arrays),
                fields["likeness"],
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def _rejection(self, refused: Path) -> Rejection | None:
        fields = self.store.fields(refused)
        try:
            return None if fields is None else Rejection(Code[fields["code"]], restored(fields["message"]), self.limits)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


def _under(prefix: str, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    start = f"{prefix} "
    return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}
