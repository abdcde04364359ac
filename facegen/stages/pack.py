"""The pack stage: a folder of images becomes ``<student_number>.tar.gz``, checked as the grader will check it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facegen import console
from facegen.data.dataset import is_dataset
from facegen.errors import InputError
from facegen.files import StrPath, atomic_path, sha256_file
from facegen.submission.reader import read_submission
from facegen.submission.rules import SUFFIX, Code, Rejection, check_student_number
from facegen.submission.writer import find_files, write_tarball


@dataclass(frozen=True)
class PackResult:
    """A packed submission.

    Attributes:
        path: the tarball.
        sha256: of its bytes: the same images packed again give the same.
        images: how many it holds.
        bytes: its size.
    """

    path: Path
    sha256: str
    images: int
    bytes: int


def pack(images: StrPath, student_number: str, *, out: StrPath = Path("submissions")) -> PackResult:
    """Pack the 1,000 images in the folder ``images`` as ``out/<student_number>.tar.gz``.

    What the tarball would be rejected for by :func:`facegen.grade` it is refused for here, by the same reader:
    it is read back before it appears under its name.

    Raises:
        InputError: ``images`` is not a folder of images, or the student number cannot name a file.
        Rejection: a rule is broken; ``code`` says which. Nothing is written then.
    """
    images, out = Path(images), Path(out)
    check_student_number(student_number)
    if not images.is_dir():
        what = "is not a folder" if images.exists() else "does not exist"
        raise InputError(
            f"{images} {what}.", "Name the folder with the 1,000 images: facegen sample RUN IMAGES makes one."
        )
    if is_dataset(images):
        raise InputError(f"{images} is a prepared dataset.", "Name a folder of image files to pack.")
    target = out / f"{student_number}{SUFFIX}"
    try:
        files, junk = find_files(images)
        if not files:
            raise Rejection(Code.EMPTY, f"There is no image in {images}.")
        if junk:
            console.info(f"left out {junk} file{'s' if junk > 1 else ''} that macOS or Windows keeps in folders")
        with atomic_path(target) as temporary:
            write_tarball(files, temporary)
            submission = read_submission(temporary, file_name=target.name)
    except OSError as problem:
        raise InputError(f"Cannot pack {images} into {target}: {problem.strerror or problem}.") from problem
    size = target.stat().st_size
    console.info(f"packed {len(submission.images):,} images into {target} ({size / 2**20:.1f} MiB)")
    return PackResult(target, sha256_file(target), len(submission.images), size)
