"""Encoded images where they lie: what a container of them offers, and which one a path is.

A container lists its image names in natural order (``2.jpg`` before ``10.jpg``) and hands out members: small picklable
objects that a worker process can ``read`` by itself.
"""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from facegen import console
from facegen.data import arrays, hdf5, nested, parquet
from facegen.data.archives import Tar, Zip
from facegen.data.decode import suffixes
from facegen.data.folders import Folder
from facegen.data.hdf5 import Hdf5
from facegen.data.joined import Joined, parts_in, tell_of_others
from facegen.data.litter import is_litter
from facegen.data.parquet import Parquet
from facegen.data.passed_over import PassedOver
from facegen.errors import InputError
from facegen.printable import printable

#: Endings of archives that can be parts of one download.
_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")


class Member(Protocol):
    """One encoded image: its name in the container, and its bytes on demand."""

    @property
    def name(self) -> str: ...

    def read(self) -> bytes:
        """The encoded bytes; ``Unreadable`` when they cannot be had."""
        ...


class Container(Protocol):
    """A folder, archive, table or array of images. ``names`` are relative, with forward slashes, in natural order."""

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
    """Open the images at ``path``, a folder or a file told by its content rather than its name.

    A file is a zip or tar, ``.npy`` or ``.npz``, parquet or HDF5. A zip or tar without images gives those of the
    archive in it; a folder without images, those of the parquet shards or of the parts of one download in it.
    torchvision's CelebA root, and the ``celeba`` folder in it, give the images of ``img_align_celeba`` alone.
    InputError when it is absent, no such file, damaged, or holds no image.
    """
    container = _open(path)
    if path.is_file():
        tell_of_others(path)
    if not container.names:
        looked = {"folder": "the folder and its subfolders", "joined": "the archives of the folder"}
        what = looked.get(container.kind, f"the {container.kind}")
        raise InputError(
            f"No image found in {path}: looked through {what} for files ending in .jpg, .jpeg, .png, .webp, .bmp, "
            f".tif, .gif and the like ({len(suffixes())} endings, upper or lower case), hidden files aside.",
            _archive_inside(path),
        )
    return container


def splits_told(container: Container) -> dict[str, str] | None:
    """The split of each name, where the container itself tells: parquet shards called train, validation and test."""
    return container.splits if isinstance(container, Parquet) else None


def archives_of(container: Container) -> list[Zip | Tar]:
    """The archives that are read for a container, the outermost first: where a partition may lie beside the images."""
    if isinstance(container, nested.Inside):
        return [container.outer, *archives_of(container.content)]
    if isinstance(container, Joined):
        return [archive for part in container.parts for archive in archives_of(part)]
    return [container] if isinstance(container, Zip | Tar) else []


def _archive_inside(folder: Path) -> str | None:
    """The remedy for a folder that holds the images' archive instead of the images."""
    if not folder.is_dir():
        return None
    inside = (entry for entry in sorted(folder.iterdir()) if entry.suffix.lower() in (".zip", ".tar", ".tgz", ".gz"))
    archive = next(inside, None)
    return None if archive is None else f"Name the archive in it instead: {archive}"


def _open(path: Path, depth: int = 0) -> Container:
    """Open what is at ``path``, though it be without images; ``depth`` is how many archives it lies in."""
    try:
        if not depth and path.is_dir():
            return _open_folder(path)
        with path.open("rb") as file:
            head = file.read(1024)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist.") from None
    except OSError as problem:
        raise InputError(f"Cannot read {path}: {problem.strerror}.") from problem
    for magic, opened in _OTHERS.items():
        if head.startswith(magic):
            return opened(path)
    if head.startswith(hdf5.MAGIC) or head[512:].startswith(hdf5.MAGIC):
        return Hdf5(path)
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        archive = Zip(path)
        return archive if archive.names else _open_zip_without_images(path, archive, depth)
    for magic, compression in ((b"\x1f\x8b", "gz"), (b"BZh", "bz2"), (b"\xfd7zXZ\0", "xz")):
        if head.startswith(magic):
            return _or_inside(Tar(path, compression), path, depth)
    if head[257:262] == b"ustar" or (not depth and tarfile.is_tarfile(path)):
        return _or_inside(Tar(path, ""), path, depth)
    raise _not_an_archive(path, head)


#: What opens files that start so, besides archives.
_OTHERS: dict[bytes, Callable[[Path], Container]] = {
    arrays.MAGIC: arrays.ArrayFile,
    parquet.MAGIC: lambda path: Parquet(path, [path]),
}


def _is_readable(head: bytes) -> bool:
    """Whether a file that starts so may be opened as one with images in it."""
    archives = (b"PK\3\4", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0")
    return head.startswith((*_OTHERS, hdf5.MAGIC, *archives)) or head[257:262] == b"ustar"


def _open_zip_without_images(path: Path, archive: Zip, depth: int) -> Container:
    with path.open("rb") as file, zipfile.ZipFile(file) as content:
        if arrays.array_entries(content.namelist()):
            return arrays.ArrayArchive(path)
    return _or_inside(archive, path, depth)


def _or_inside(outer: Zip | Tar, path: Path, depth: int) -> Container:
    """``outer`` if it has images, or else the images of the one archive in it."""
    if outer.names or depth == nested.DEEPEST:
        return outer
    inner = nested.the_one(nested.archives_in(path, _is_readable), path)
    if inner is None:
        return outer
    console.info(f"Images from {printable(inner.name)}, which lies in {path}.")
    return nested.open_inside(inner, outer, lambda place: _open(place, depth + 1))


def _open_folder(path: Path) -> Container:
    for base in (path, path / "celeba"):
        if (base / "img_align_celeba").is_dir():
            return Folder(base, within="img_align_celeba")
        if (base / "img_align_celeba.zip").is_file():
            return _open(base / "img_align_celeba.zip")
    folder = Folder(path)
    return folder if folder.names else _or_tables_in(folder)


def _or_tables_in(folder: Folder) -> Container:
    """The parquet shards in a folder without images, or the parts of one download in it; or else the folder itself."""
    path = folder.path
    shards = [file for file in path.rglob("*.parquet") if not is_litter(file.relative_to(path).as_posix())]
    if shards:
        return Parquet(path, shards)
    files = [file for file in path.iterdir() if file.is_file() and not is_litter(file.name)]
    if any(file.suffix == ".arrow" for file in files) or (path / "dataset_dict.json").is_file():
        raise InputError(
            f"{path} holds Arrow files of Hugging Face's datasets (save_to_disk), which facegen does not read.",
            f"In Python: ds = datasets.load_from_disk({str(path)!r}); ds.to_parquet('train.parquet'), or of a "
            "DatasetDict ds['train'].to_parquet('train.parquet') and so on. Name the parquet file.",
        )
    parts = parts_in([file for file in files if file.name.lower().endswith(_ARCHIVES)])
    return Joined(path, parts, _open) if parts is not None else folder


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
