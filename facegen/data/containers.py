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
from facegen.data.passed_over import PassedOver
from facegen.errors import InputError
from facegen.printable import printable


class Member(Protocol):
    """One encoded image: its name in the container, and its bytes on demand."""

    @property
    def name(self) -> str: ...

    def read(self) -> bytes:
        """The encoded bytes; ``Unreadable`` when they cannot be had."""
        ...


class Container(Protocol):
    """A folder or archive of images. ``names`` are relative, with forward slashes, in natural order.

    ``passed_over`` says what else it holds, which is neither an image nor litter.
    """

    kind: str
    path: Path
    passed_over: PassedOver

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
        passed_over = container.passed_over
        inventory = passed_over.inventory()
        raise InputError(
            f"No image found in {path}: looked through {what} for files ending in .jpg, .jpeg, .png, .webp, .bmp, "
            f".tif, .gif and the like ({len(suffixes())} endings, upper or lower case), litter aside."
            + ("" if inventory is None else f" It holds {inventory}."),
            _archive_inside(container) or " ".join([*passed_over.remedies(), *passed_over.links(str(path))]) or None,
        )
    return container


def _archive_inside(container: Container) -> str | None:
    """The remedy for a folder that holds the images' archive instead of the images, or several."""
    if container.kind != "folder" or not container.passed_over.archives:
        return None
    first = container.path / printable(container.passed_over.archives[0])
    if len(container.passed_over.archives) == 1:
        return f"Name the archive in it instead: {first}"
    return (
        f"Unpack the {len(container.passed_over.archives):,} archives in it into one folder and name that, or name one "
        f"of them, as {first}"
    )


def _open(path: Path) -> Container:
    try:
        if path.is_dir():
            return _open_folder(path)
        with path.open("rb") as file:
            head = file.read(1024)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist.") from None
    except OSError as problem:
        raise InputError(f"Cannot read {path}: {problem.strerror}.") from problem
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        return Zip(path)
    for magic, compression in ((b"\x1f\x8b", "gz"), (b"BZh", "bz2"), (b"\xfd7zXZ\0", "xz")):
        if head.startswith(magic):
            return Tar(path, compression)
    if head[257:262] == b"ustar" or tarfile.is_tarfile(path):
        return Tar(path, "")
    raise _not_an_archive(path, head)


def _open_folder(path: Path) -> Container:
    for base in (path, path / "celeba"):
        if (base / "img_align_celeba").is_dir():
            return Folder(base, within="img_align_celeba")
        if (base / "img_align_celeba.zip").is_file():
            return _open(base / "img_align_celeba.zip")
    return Folder(path)


def _not_an_archive(path: Path, head: bytes) -> InputError:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not head:
        return InputError(f"{path} is an empty file.", "Download or copy it again.")
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        return InputError(
            f"{path} is an HTML page, not an archive: Google Drive serves one instead of the file when its download "
            "quota is used up or a confirmation is asked.",
            "Open the link in a browser and download again, try tomorrow, or use the Kaggle mirror.",
        )
    if head.startswith((b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07")):
        kind = "7-Zip" if head.startswith(b"7z") else "RAR"
        return InputError(
            f"{path} is a {kind} archive, which facegen does not read.",
            "Unpack it and name the folder, or pack it as .zip or .tar.gz.",
        )
    return InputError(
        f"{path} is neither a folder nor a .zip, .tar, .tar.gz or .tgz archive.",
        "Name a folder or an archive of images.",
    )
