"""Reads a submission: every rule checked, nothing extracted, at most the images themselves in memory.

A rejection is what the bytes of a tarball say, and nothing else is one: what the machine lacks is raised as it is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from facegen.data.litter import is_litter
from facegen.data.origin import Origin, origin_of, summary
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
    """A submission that keeps every rule.

    Attributes:
        student_number: from the file's name.
        images: uint8 [count, size, size, 3] of the limits' count and size, in the archive's order.
        names: their paths in the archive.
        notes: what was passed over, in sentences.
        origin: where the images say that they come from, summed up.
        likeness: of the weights of the generator that was handed in to those of the one that ships with facegen, −1 to
            1; None where images were handed in, and for a generator of another shape.
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
        path: the tarball.
        file_name: the name it goes by where that is not its own yet.
        limits: what it must have, and the caps within which it is read.

    Raises:
        Rejection: it breaks a rule; whatever it holds, that is the only exception that its bytes raise.
        UnreadableTarball: it is not there, cannot be read, or changes while it is read.
        OSError: the machine lacks something, whatever the file is.
        MemoryError: there is too little memory to read it.
    """
    student_number = student_number_of(path.name if file_name is None else file_name)
    with open_tarball(path, limits) as tarball:
        return read_tarball(tarball, student_number, limits)


def read_tarball(tarball: OpenTarball, student_number: str, limits: Limits = LIMITS) -> Submission:
    """Read an open tarball from its start; as :func:`read_submission`.

    What is wrong with the archive as a whole is told before what is wrong with one image, and the number of images
    in between: a student with the wrong archive should not be sent to look at its first image.
    """
    try:
        contents = _read(tarball, limits)
        images = contents.finish()
    except Rejection:
        tarball.require_unchanged()  # a file that is still being written is no student's fault
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
    """What has been seen of an archive: its images, and the first thing wrong with any of them."""

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
            raise Rejection(Code.DUPLICATE_MEMBER, f"The name {shown(path)} is there twice (case does not count).")
        self._seen.add(key)
        if not is_picture_name(path):
            self._foreign = self._foreign or Rejection(Code.FOREIGN_MEMBER, f"{shown(path)} is not an image.")
            return
        self.names.append(path)
        # Past the count the answer is known, and after a problem the pixels are of no use.
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
            raise Rejection(Code.EMPTY, " ".join(["There is no image in the archive.", *self.notes()]), self._limits)
        if count != self._limits.count:
            also = f" Besides, {self._problem.message}" if self._problem else ""
            message = f"It holds {count:,} image{'s' * (count != 1)}, not {self._limits.count:,}.{also}"
            raise Rejection(Code.WRONG_COUNT, " ".join([message, *self.notes()]), self._limits)
        if self._problem is not None:
            raise self._problem
        return np.stack(self._pixels)

    def notes(self) -> tuple[str, ...]:
        if not self.litter:
            return ()
        files = "1 file" if self.litter == 1 else f"{self.litter:,} files"
        return (f"Ignored {files} that systems and programs left in the archive.",)
