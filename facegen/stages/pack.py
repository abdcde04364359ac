"""The pack stage: packs a folder of images as ``<student_number>.tar.gz`` and checks it as the grader will.

Where a course draws the images itself, the stage packs a run's generator as ``<student_number>.safetensors``.
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
from facegen.language import translate, translate_count
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

#: Number of ignored files that the message names.
_SHOWN = 5


@dataclass(frozen=True)
class PackResult:
    """A packed submission.

    Attributes:
        path: Path of the tarball, or of the generator.
        sha256: Hash of its bytes. The same images packed again give the same hash.
        images: Number of images in it; 0 for a generator.
        bytes: Its size in bytes.
    """

    path: Path
    sha256: str
    images: int
    bytes: int

    def _repr_html_(self) -> str | None:
        if not self.path.is_file():
            return None
        found = {
            translate("images"): f"{self.images:,}",
            translate("size"): f"{self.bytes / 1e6:,.2f} MB",
            "sha256": self.sha256,
        }
        return card(translate("Packed as {name}", name=self.path.name), facts(found), place(self.path))


def pack(
    images: StrPath,
    student_number: str,
    *,
    size: int = LIMITS.size,
    seed: int | None = None,
    out: StrPath = Path("submissions"),
) -> PackResult:
    """Pack the 1,000 images in the folder ``images`` as ``out/<student_number>.tar.gz``.

    Everything that :func:`facegen.grade` would reject is refused here: the grader's own reader reads the tarball back
    before the file gets its name.

    Some courses draw the images themselves. For them, pass a run and a ``seed``: the run's generator is packed as
    ``out/<student_number>.safetensors``.

    Args:
        images: A folder of still PNG or JPEG images, 8-bit RGB. With a seed: a run, or its ``.safetensors`` file.
        student_number: 1 to 64 letters, digits, ``-`` and ``_``.
        size: Width and height of the images in pixels, a multiple of 32.
        seed: The seed that the course draws the generator's images with.
        out: The folder to write to.

    Raises:
        InputError: ``images`` is not a folder of images, or has no generator; the student number cannot name a file;
            the size is not a multiple of 32 or is above 4,096; or ``out`` has a file of that name that ``pack`` did not
            make.
        Rejection: A rule is broken; ``code`` says which. Nothing is written.
    """
    images, out = Path(images), Path(out)
    check_student_number(student_number)
    limits = limits_for(size)
    if seed is not None:
        return _pack_generator(images, out / f"{student_number}{GENERATOR_SUFFIX}", seed, limits)
    named = images.is_file() and images.suffix == GENERATOR_SUFFIX
    if named or any((images / name).is_file() for name in (BEST, LAST)):
        raise InputError(
            translate("{path} has a generator, and no images to pack.", path=str(images)),
            translate(
                "Draw images first: facegen sample RUN IMAGES. "
                "If your course asks for the generator itself, add --seed 0."
            ),
        )
    if not images.is_dir():
        if images.exists():
            message = translate("{path} is not a folder.", path=str(images))
        else:
            message = translate("{path} does not exist.", path=str(images))
        raise InputError(
            message,
            translate(
                "Name the folder with the {count:,} images: facegen sample RUN IMAGES makes one.", count=limits.count
            ),
        )
    if is_dataset(images):
        raise InputError(
            translate("{path} is a prepared dataset.", path=str(images)),
            translate("Name a folder of image files to pack."),
        )
    target = out / f"{student_number}{SUFFIX}"
    if target.is_file() and target.stat().st_size and not is_ours(target):
        raise _not_ours(target)
    try:
        require_place(target)
        contents = find_files(images, limits)
        _tell_what_is_left_out(contents)
        if not contents.files:
            raise Rejection(Code.EMPTY, translate("There is no image in {folder}.", folder=str(images)), limits)
        with atomic_path(target) as temporary:
            write_tarball(contents.files, temporary)
            submission = read_submission(temporary, file_name=target.name, limits=limits)
    except OSError as problem:
        raise _cannot_pack(images, target, problem) from problem
    count, written = len(submission.images), target.stat().st_size
    console.info(
        translate_count(
            "Packed 1 image into {path} ({size:.1f} MiB).",
            "Packed {count:,} images into {path} ({size:.1f} MiB).",
            count,
            path=str(target),
            size=written / 2**20,
        )
    )
    return PackResult(target, sha256_file(target), count, written)


def _pack_generator(run: Path, target: Path, seed: int, limits: Limits) -> PackResult:
    """Write a run's generator with its seed.

    The grader's reader draws a few of its images before the file gets its name.
    """
    limits = replace(limits, count=CHUNK, suffix=GENERATOR_SUFFIX)
    source = generator_of(run)
    load_generator(source)  # its messages say best what is wrong with a file that is not a generator
    if target.is_file() and target.stat().st_size and not _is_packed_generator(target):
        raise _not_ours(target)
    try:
        require_place(target)
        tensors, metadata = read_safetensors(source)
        with atomic_path(target) as temporary:
            temporary.write_bytes(safetensors_bytes(tensors, {**metadata, SEED: str(seed)}))
            with open_tarball(temporary, limits) as file:
                GeneratorReader(None, torch.device("cpu"))(file, target.stem, limits)
    except OSError as problem:
        raise _cannot_pack(source, target, problem) from problem
    written = target.stat().st_size
    console.info(
        translate(
            "Packed {source} with the seed {seed} into {path} ({size:.1f} MiB).",
            source=str(source),
            seed=seed,
            path=str(target),
            size=written / 2**20,
        )
    )
    return PackResult(target, sha256_file(target), 0, written)


def _not_ours(target: Path) -> InputError:
    return InputError(
        translate("{path} exists already, and 'facegen pack' has not made it.", path=str(target)),
        translate("Move it, or choose another --out."),
    )


def _cannot_pack(source: Path, target: Path, problem: OSError) -> InputError:
    return InputError(
        translate(
            "Cannot pack {source} into {path}: {problem}.",
            source=str(source),
            path=str(target),
            problem=problem.strerror or str(problem),
        )
    )


def _is_packed_generator(path: Path) -> bool:
    try:
        return SEED in read_safetensors(path)[1]
    except (Damaged, OSError):
        return False


def _tell_what_is_left_out(contents: FolderContents) -> None:
    for link in contents.loops:
        console.warn(
            translate("The link {name} leads to a folder that holds it, and is not followed.", name=shown(link))
        )
    if litter := contents.litter:
        names = ", ".join(printable(name) for name in litter[:_SHOWN]) + (", …" if len(litter) > _SHOWN else "")
        console.info(
            translate_count(
                "Left out 1 file or folder that systems and programs keep beside files: {names}.",
                "Left out {count:,} files and folders that systems and programs keep beside files: {names}.",
                len(litter),
                names=names,
            )
        )
