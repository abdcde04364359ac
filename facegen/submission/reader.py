"""Reads a submission and checks every rule. Nothing is extracted, and only the images are kept in memory.

A submission is rejected for its bytes alone. When the machine lacks something, that error is raised as it is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from facegen.data.litter import is_litter
from facegen.data.origin import Origin, origin_of, summary
from facegen.language import Message, in_sequence, translate, translate_count
from facegen.submission.decode import decode_image
from facegen.submission.gzipped import GzipStream
from facegen.submission.members import read_members
from facegen.submission.open_tarball import OpenTarball, open_tarball
from facegen.submission.rules import (
    LIMITS,
    Code,
    Limits,
    Rejection,
    check_depth,
    is_picture_name,
    same_name_key,
    shown,
    student_number_of,
)


@dataclass(frozen=True)
class Submission:
    """A submission that follows every rule.

    Attributes:
        student_number: The student number in the file's name.
        images: uint8 [count, size, size, 3], with the count and size of the limits, in the order of the archive.
        names: The paths of the images in the archive.
        notes: Sentences that say what was ignored.
        origin: Where the images say that they come from, summed up.
        likeness: Similarity of the generator's weights to those of the generator that ships with facegen, −1 to 1.
            ``None`` for a submission of images, and for a generator of another shape.
    """

    student_number: str
    images: npt.NDArray[np.uint8]
    names: tuple[str, ...]
    notes: tuple[str, ...]
    origin: Origin
    likeness: float | None = None


def read_submission(path: Path, *, file_name: str | None = None, limits: Limits = LIMITS) -> Submission:
    """Read the tarball at ``path``.

    Args:
        path: The path of the tarball.
        file_name: The name that the tarball is checked under, where the file itself has a temporary name.
        limits: The requirements, and the caps on what is read.

    Raises:
        Rejection: The tarball breaks a rule. Its bytes can raise no other exception.
        UnreadableTarball: The file is missing, cannot be read, or changes while it is read.
        OSError: The machine lacks something. The file is not at fault.
        MemoryError: There is too little memory to read it.
    """
    student_number = student_number_of(path.name if file_name is None else file_name)
    with open_tarball(path, limits) as tarball:
        return read_tarball(tarball, student_number, limits)


def read_tarball(tarball: OpenTarball, student_number: str, limits: Limits = LIMITS) -> Submission:
    """Read an open tarball from its start, and raise the same errors as :func:`read_submission`.

    Where several rules are broken, faults of the archive come first, then the number of images, then the first faulty
    image. A student with the wrong archive should not be sent to look at one of its images.
    """
    try:
        contents = _read(tarball, limits)
        images = contents.finish()
    except Rejection:
        tarball.require_unchanged()  # a student is not at fault for a file that is still being written
        raise
    tarball.require_unchanged()
    return Submission(student_number, images, tuple(contents.names), contents.notes(), summary(contents.origins))


def _read(tarball: OpenTarball, limits: Limits) -> _Contents:
    contents = _Contents(limits)
    for member in read_members(GzipStream(tarball, limits), limits):
        if is_litter(member.path):
            contents.litter += 1
            continue
        check_depth(member.path, member.folder)
        if not member.folder:
            contents.add(member.path, member.data)
    return contents


class _Contents:
    """The images of an archive so far, and the first thing that is wrong with any of them."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._seen: set[str] = set()
        self._pixels: list[npt.NDArray[np.uint8]] = []
        self._foreign: Rejection | None = None
        self._problem: Rejection | None = None
        self.names: list[str] = []
        self.origins = Counter[Origin]()
        self.litter = 0

    def add(self, path: str, data: bytes) -> None:
        key = same_name_key(path)
        if key in self._seen:
            message = translate("The name {name} is there twice (case does not count).", name=shown(path))
            raise Rejection(Code.DUPLICATE_MEMBER, message)
        self._seen.add(key)
        if not is_picture_name(path):
            if self._foreign is None:
                self._foreign = Rejection(Code.FOREIGN_MEMBER, translate("{name} is not an image.", name=shown(path)))
            return
        self.names.append(path)
        # Nothing more is decoded past the count or after a problem: the submission is rejected either way.
        if self._problem is None and len(self.names) <= self._limits.count:
            try:
                self._pixels.append(decode_image(data, path, self._limits))
                self.origins[origin_of(data)] += 1
            except Rejection as problem:
                self._problem = problem

    def finish(self) -> npt.NDArray[np.uint8]:
        count = len(self.names)
        if self._foreign is not None:
            raise self._foreign
        if count == 0:
            nothing = translate("There is no image in the archive.")
            raise Rejection(Code.EMPTY, in_sequence(nothing, *self.notes()), self._limits)
        if count != self._limits.count:
            wanted = self._limits.count
            said = [
                translate_count(
                    "It holds 1 image, not {wanted:,}.",
                    "It holds {count:,} images, not {wanted:,}.",
                    count,
                    wanted=wanted,
                )
            ]
            if self._problem is not None:
                said.append(translate("Besides, {problem}", problem=self._problem.message))
            raise Rejection(Code.WRONG_COUNT, in_sequence(*said, *self.notes()), self._limits)
        if self._problem is not None:
            raise self._problem
        return np.stack(self._pixels)

    def notes(self) -> tuple[Message, ...]:
        if not self.litter:
            return ()
        note = translate_count(
            "Ignored 1 file that systems and programs left in the archive.",
            "Ignored {count:,} files that systems and programs left in the archive.",
            self.litter,
        )
        return (note,)
