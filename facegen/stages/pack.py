"""The pack stage: a folder of images becomes ``<student_number>.tar.gz``, checked as the grader will check it.

Where a course draws the images itself, a run's generator becomes ``<student_number>.safetensors``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from facegen import console
from facegen.data.dataset import is_dataset
from facegen.errors import InputError
from facegen.files import Damaged, StrPath, atomic_path, require_place, sha256_file
from facegen.gan.generators import CHUNK
from facegen.grading.generators import SEED, GeneratorReader
from facegen.notebook.cards import card, facts, place
from facegen.printable import printable
from facegen.stages.sample import generator_of
from facegen.submission.open_tarball import open_tarball
from facegen.submission.reader import read_submission
from facegen.submission.rules import (
    GENERATOR_SUFFIX,
    LIMITS,
    SUFFIX,
    Code,
    Limits,
    Rejection,
    check_student_number,
    limits_for,
    shown,
)
from facegen.submission.writer import FolderContents, find_files, is_ours, write_tarball
from facegen.training.saved_generator import BEST, LAST, load_generator
from facegen.weights.content import read_safetensors, safetensors_bytes

#: So many files that are left out are named.
_SHOWN = 5


@dataclass(frozen=True)
class PackResult:
    """A packed submission.

    Attributes:
        path: the tarball, or the generator.
        sha256: of its bytes: the same images packed again give the same.
        images: how many it holds; 0 where it is a generator.
        bytes: its size.
    """

    path: Path
    sha256: str
    images: int
    bytes: int

    def _repr_html_(self) -> str | None:
        if not self.path.is_file():
            return None
        found = {"images": f"{self.images:,}", "size": f"{self.bytes / 1e6:,.2f} MB", "sha256": self.sha256}
        return card(f"Packed as {self.path.name}", facts(found), place(self.path))


def pack(
    images: StrPath,
    student_number: str,
    *,
    size: int = LIMITS.size,
    seed: int | None = None,
    out: StrPath = Path("submissions"),
) -> PackResult:
    """Pack the 1,000 images in the folder ``images`` as ``out/<student_number>.tar.gz``.

    With a ``seed``, for a course that draws the images itself, a generator is packed as
    ``out/<student_number>.safetensors``.

    What the tarball would be rejected for by :func:`facegen.grade` it is refused for here, by the same reader:
    it is read back before it appears under its name.

    Args:
        images: a folder of still PNG or JPEG images, 8-bit RGB; with a seed, a run or its ``.safetensors`` file.
        student_number: 1 to 64 letters, digits, ``-`` and ``_``.
        size: their width and height in pixels, a multiple of 32.
        seed: what the generator's images are to be drawn with.
        out: the folder to write to.

    Raises:
        InputError: ``images`` is not a folder of images, or has no generator; the student number cannot name a file,
            the size is none that can be graded, or a file of that name is in ``out`` that no ``pack`` has made.
        Rejection: a rule is broken; ``code`` says which. Nothing is written then.
    """
    images, out = Path(images), Path(out)
    check_student_number(student_number)
    limits = limits_for(size)
    if seed is not None:
        return _pack_generator(images, out / f"{student_number}{GENERATOR_SUFFIX}", seed, limits)
    named = images.is_file() and images.suffix == GENERATOR_SUFFIX
    if named or any((images / name).is_file() for name in (BEST, LAST)):
        raise InputError(
            f"{images} has a generator, and no images to pack.",
            "Draw them: facegen sample RUN IMAGES. Where the generator itself is to be handed in, add --seed 0.",
        )
    if not images.is_dir():
        what = "is not a folder" if images.exists() else "does not exist"
        raise InputError(
            f"{images} {what}.",
            f"Name the folder with the {limits.count:,} images: facegen sample RUN IMAGES makes one.",
        )
    if is_dataset(images):
        raise InputError(f"{images} is a prepared dataset.", "Name a folder of image files to pack.")
    target = out / f"{student_number}{SUFFIX}"
    if target.is_file() and target.stat().st_size and not is_ours(target):
        raise InputError(
            f"{target} is there already, and 'facegen pack' has not made it.", "Move it, or choose another --out."
        )
    try:
        require_place(target)
        contents = find_files(images, limits)
        _tell_what_is_left_out(contents)
        if not contents.files:
            raise Rejection(Code.EMPTY, f"There is no image in {images}.", limits)
        with atomic_path(target) as temporary:
            write_tarball(contents.files, temporary)
            submission = read_submission(temporary, file_name=target.name, limits=limits)
    except OSError as problem:
        raise InputError(f"Cannot pack {images} into {target}: {problem.strerror or problem}.") from problem
    written = target.stat().st_size
    console.info(f"Packed {len(submission.images):,} images into {target} ({written / 2**20:.1f} MiB).")
    return PackResult(target, sha256_file(target), len(submission.images), written)


def _pack_generator(run: Path, target: Path, seed: int, limits: Limits) -> PackResult:
    """Write a run's generator with its seed. The grader's reader draws a few images of it before it has its name."""
    limits = replace(limits, count=CHUNK, suffix=GENERATOR_SUFFIX)
    source = generator_of(run)
    load_generator(source)  # which says best what is wrong with a file that is no generator
    if target.is_file() and target.stat().st_size and not _is_packed_generator(target):
        raise InputError(
            f"{target} is there already, and 'facegen pack' has not made it.", "Move it, or choose another --out."
        )
    try:
        require_place(target)
        tensors, metadata = read_safetensors(source)
        with atomic_path(target) as temporary:
            temporary.write_bytes(safetensors_bytes(tensors, {**metadata, SEED: str(seed)}))
            with open_tarball(temporary, limits) as file:
                GeneratorReader(None, torch.device("cpu"))(file, target.stem, limits)
    except OSError as problem:
        raise InputError(f"Cannot pack {source} into {target}: {problem.strerror or problem}.") from problem
    written = target.stat().st_size
    console.info(f"Packed {source} with the seed {seed} into {target} ({written / 2**20:.1f} MiB).")
    return PackResult(target, sha256_file(target), 0, written)


def _is_packed_generator(path: Path) -> bool:
    try:
        return SEED in read_safetensors(path)[1]
    except (Damaged, OSError):
        return False


def _tell_what_is_left_out(contents: FolderContents) -> None:
    for link in contents.loops:
        console.warn(f"The link {shown(link)} leads to a folder that holds it, and is not followed.")
    if litter := contents.litter:
        names = ", ".join(printable(name) for name in litter[:_SHOWN]) + (", …" if len(litter) > _SHOWN else "")
        what = "1 file or folder" if len(litter) == 1 else f"{len(litter):,} files and folders"
        console.info(f"Left out {what} that systems and programs keep beside files: {names}.")
