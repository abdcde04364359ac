"""Encoded images where they lie: what a container of them offers, and which one a path is.

A container lists its image names in natural order (``2.jpg`` before ``10.jpg``) and hands out members: small picklable
objects that a worker process can ``read`` by itself.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from facegen.data.archives import Tar, Zip
from facegen.data.decode import suffixes
from facegen.data.folders import Folder
from facegen.errors import InputError
from facegen.file_kinds import BZIP2, EMPTY, GZIP, NPZ, PYTORCH, TAR, TEXT, XZ, ZIP, FileKind, kind_of_file

#: How :class:`Tar` calls the compressions.
_TARS = {TAR: "", GZIP: "gz", BZIP2: "bz2", XZ: "xz"}


class Member(Protocol):
    """One encoded image: its name in the container, and its bytes on demand."""

    @property
    def name(self) -> str: ...

    def read(self) -> bytes:
        """The encoded bytes; ``Unreadable`` when they cannot be had."""
        ...


class Container(Protocol):
    """A folder or archive of images. ``names`` are relative, with forward slashes, in natural order."""

    kind: str
    path: Path

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def identity(self) -> str:
        """64 hex digits that change when the images may have: cheap to get, without decoding."""
        ...

    def members(self, names: Sequence[str]) -> Iterator[Member]:
        """The members called ``names``, in that order; ``names`` is in natural order."""
        ...


def open_container(path: Path) -> Container:
    """Open the images at ``path``, a folder or an archive told by its content rather than its name.

    torchvision's CelebA root, and the ``celeba`` folder in it, give the images of ``img_align_celeba`` alone.
    InputError when it is absent, no such archive, damaged, or holds no image.
    """
    container = _open(path)
    if not container.names:
        what = {"folder": "the folder and its subfolders", "zip": "the zip", "tar": "the tar"}[container.kind]
        raise InputError(
            f"No image found in {path}: looked through {what} for files ending in .jpg, .jpeg, .png, .webp, .bmp, "
            f".tif, .gif and the like ({len(suffixes())} endings, upper or lower case), hidden files aside.",
            _archive_inside(path),
        )
    return container


def _archive_inside(folder: Path) -> str | None:
    """The remedy for a folder that holds the images' archive instead of the images."""
    if not folder.is_dir():
        return None
    inside = (entry for entry in sorted(folder.iterdir()) if entry.suffix.lower() in (".zip", ".tar", ".tgz", ".gz"))
    archive = next(inside, None)
    return None if archive is None else f"Name the archive in it instead: {archive}"


def _open(path: Path) -> Container:
    try:
        if path.is_dir():
            return _open_folder(path)
        kind = kind_of_file(path)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist.") from None
    except OSError as problem:
        raise InputError(f"Cannot read {path}: {problem.strerror}.") from problem
    if kind in (ZIP, NPZ, PYTORCH):  # a zip of images may begin with a member like theirs
        return Zip(path)
    if kind in _TARS:
        return Tar(path, _TARS[kind])
    if kind is None and tarfile.is_tarfile(path):  # of before 1988, without a magic number
        return Tar(path, "")
    raise _not_an_archive(path, kind)


def _open_folder(path: Path) -> Container:
    for base in (path, path / "celeba"):
        if (base / "img_align_celeba").is_dir():
            return Folder(base, within="img_align_celeba")
        if (base / "img_align_celeba.zip").is_file():
            return _open(base / "img_align_celeba.zip")
    return Folder(path)


def _not_an_archive(path: Path, kind: FileKind | None) -> InputError:
    if kind is EMPTY:
        return InputError(f"{path} is an empty file.", kind.remedy)
    if kind is None or kind is TEXT:
        what = "neither a folder" if kind is None else "a text file, neither a folder"
        return InputError(
            f"{path} is {what} nor a .zip, .tar, .tar.gz or .tgz archive.", "Name a folder or an archive of images."
        )
    remedy = kind.remedy or "Name a folder or an archive of images."
    if kind.family == "image":
        remedy = f"Name the folder it is in: {path.parent}"
    return InputError(f"{path} is {kind.name}, not a folder or an archive of images.", remedy)
