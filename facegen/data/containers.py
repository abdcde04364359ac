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
from facegen.data.damage import require_own_offsets
from facegen.data.decode import suffixes
from facegen.data.folders import Folder
from facegen.data.passed_over import PassedOver
from facegen.errors import InputError
from facegen.file_kinds import BZIP2, EMPTY, GZIP, NPZ, PYTORCH, TAR, TEXT, XZ, ZIP, FileKind, kind_of_file
from facegen.printable import printable

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

    torchvision's CelebA root, and the ``celeba`` folder in it, give the images of ``img_align_celeba`` alone. A folder
    with fewer images than the archive of its name beside it is warned of: it may be half unpacked.
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
            _remedy_of_none(container),
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


def _remedy_of_none(container: Container) -> str | None:
    """What to do where a container holds no image."""
    passed_over = container.passed_over
    return (
        _archive_inside(container)
        or (_other_kind_inside(container.path) if container.kind == "folder" else None)
        or " ".join([*passed_over.remedies(), *passed_over.links(str(container.path))])
        or None
    )


def _archive_inside(container: Container) -> str | None:
    """The remedy for a folder that holds the images' archive, or lies beside it, instead of holding the images."""
    if container.kind != "folder":
        return None
    if beside := _namesakes(container.path):
        return f"Name the archive beside it instead: {beside[0]}"
    # What facegen cannot open is told of by its kind.
    inside = [name for name in container.passed_over.archives if _is_opened(container.path / name)]
    if not inside:
        return None
    first = container.path / printable(inside[0])
    if len(inside) == 1:
        return f"Name the archive in it instead: {first}"
    return f"Unpack the {len(inside):,} archives in it into one folder and name that, or name one of them, as {first}"


def _is_opened(path: Path) -> bool:
    """Whether facegen opens an archive of this kind."""
    try:
        return kind_of_file(path) in (ZIP, *_TARS)
    except OSError:
        return False


def _other_kind_inside(folder: Path) -> str | None:
    """The remedy for a folder that holds a database, or an archive or arrays of a kind that is not read."""
    if not folder.is_dir():
        return None
    for place in (folder, *sorted(folder.iterdir())):
        kind = kind_of_file(place) if place is folder or place.is_file() else None
        if kind is not None and kind.remedy and kind.family in ("archive", "arrays"):
            what = "It is" if place is folder else f"{place.name} in it is"
            return f"{what} {kind.name}. {kind.remedy}"
    return None


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
    if kind is None and path.suffix.lower() == ".zip":  # the last volume begins anywhere in a member
        require_own_offsets(path)
    if kind is None and tarfile.is_tarfile(path):  # of before 1988, without a magic number
        return Tar(path, "")
    raise _not_an_archive(path, kind)


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
