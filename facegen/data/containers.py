"""Encoded images where they lie: what a container of them offers, and which one a path is.

A container lists its image names in natural order (``2.jpg`` before ``10.jpg``) and hands out members: small picklable
objects that a worker process can ``read`` by itself.
"""

from __future__ import annotations

import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol

from facegen import console
from facegen.data.archives import Tar, Zip
from facegen.data.decode import suffixes
from facegen.data.folders import Folder
from facegen.errors import InputError


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

    torchvision's CelebA root, and the ``celeba`` folder in it, give the images of ``img_align_celeba`` alone. A folder
    with fewer images than the archive of its name beside it is warned of: it may be half unpacked.
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
    if isinstance(container, Folder):
        _warn_of_half_unpacked(container)
    return container


def _warn_of_half_unpacked(folder: Folder) -> None:
    """A warning for each folder with fewer images than the archive beside it that has its name.

    They are the folder itself, those in it that hold images, and the two above it, of which it is a part.
    """
    counts: Counter[Path] = Counter()
    for place, count in Counter(name.rpartition("/")[0] for name in folder.names).items():
        for inner in (place, *map(str, PurePosixPath(place).parents)) if place else ("",):
            counts[folder.path / inner] += count
    for unpacked, count in sorted(counts.items()):
        for archive in _namesakes(unpacked):
            _warn_if_fewer(unpacked, count, archive, "")
    whole = folder.path.absolute()
    for above in list(whole.parents)[:2]:
        for archive in _namesakes(above):
            _warn_if_fewer(folder.path, len(folder.names), archive, whole.relative_to(above).as_posix() + "/")


def _warn_if_fewer(unpacked: Path, count: int, archive: Path, part: str) -> None:
    """``part``: the folder in the archive that was unpacked to ``unpacked``."""
    try:
        names = _open(archive).names
    except InputError:
        return
    # Archives may or may not begin with a folder of their own name.
    starts = (part, f"{archive.name.partition('.')[0]}/{part}") if part else ("",)
    there = sum(name.startswith(starts) for name in names)
    if count < there:
        images = "image" if count == 1 else "images"
        console.warn(
            f"{unpacked} holds {count:,} {images} and {archive.name} beside it {there:,}: its unpacking may have been "
            f"cut short. To take all of them, name {archive}."
        )


def _namesakes(folder: Path) -> list[Path]:
    """The archives beside a folder that unpack to its name."""
    folder = folder.absolute()
    paths = (folder.with_name(folder.name + suffix) for suffix in (".zip", ".tar", ".tar.gz", ".tgz") if folder.name)
    return [path for path in paths if path.is_file()]


def _archive_inside(folder: Path) -> str | None:
    """The remedy for a folder that holds the images' archive, or lies beside it, instead of holding the images."""
    if not folder.is_dir():
        return None
    if beside := _namesakes(folder):
        return f"Name the archive beside it instead: {beside[0]}"
    inside = (entry for entry in sorted(folder.iterdir()) if entry.suffix.lower() in (".zip", ".tar", ".tgz", ".gz"))
    archive = next(inside, None)
    return None if archive is None else f"Name the archive in it instead: {archive}"


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
    """Torchvision's root gives its images alone; CelebA's own tree, where nothing is unpacked, those of its archive."""
    for base in (path, path / "celeba"):
        archive = base / "img_align_celeba.zip"
        if (base / "img_align_celeba").is_dir():
            folder = Folder(base, within="img_align_celeba")
            if folder.names or not archive.is_file():
                return folder
        if archive.is_file():
            return _open(archive)
    folder = Folder(path)
    archives = (path / tree / "img_align_celeba.zip" for tree in ("Img", "CelebA/Img"))
    archive_of_tree = next((archive for archive in archives if archive.is_file()), None)
    return folder if folder.names or archive_of_tree is None else _open(archive_of_tree)


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
