"""Choose the container for a path: a folder, or a file recognised by its content."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path
from typing import IO

from facegen import console
from facegen.data import nested
from facegen.data.archives import Tar, Zip
from facegen.data.arrays import ArrayArchive, ArrayFile, array_entries
from facegen.data.containers import Container
from facegen.data.damage import require_own_offsets
from facegen.data.decode import suffixes
from facegen.data.folders import Folder
from facegen.data.half_unpacked import half_unpacked, namesakes
from facegen.data.hdf5 import Hdf5
from facegen.data.joined import Joined, other_parts, parts_in
from facegen.data.litter import is_litter
from facegen.data.parquet import Parquet
from facegen.errors import InputError
from facegen.file_kinds import (
    BZIP2,
    EMPTY,
    GZIP,
    HDF5,
    NPY,
    NPZ,
    PARQUET,
    PYTORCH,
    TAR,
    TEXT,
    XZ,
    ZIP,
    FileKind,
    kind_of,
    kind_of_file,
)
from facegen.files import open_regular
from facegen.plain_zip import PlainZip
from facegen.printable import printable

#: A zip of images may begin with a member like that of an .npz or of a PyTorch file.
_ZIPS = (ZIP, NPZ, PYTORCH)
#: The names of the compressions for :class:`Tar`.
_TARS = {TAR: "", GZIP: "gz", BZIP2: "bz2", XZ: "xz"}
#: Endings of archives that can be parts of one download.
_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")


def open_container(path: Path) -> Container:
    """Open the images at ``path``: a folder, or a file recognised by its content rather than its name.

    A file can be a zip or tar, ``.npy`` or ``.npz``, parquet or HDF5. A zip or tar without images gives the images of
    the archive in it. A folder without images gives the images of the parquet shards in it, or of the parts of one
    download. torchvision's CelebA root, and the ``celeba`` folder in it, give the images of ``img_align_celeba``
    alone. A warning follows if a folder has fewer images than the archive of its name beside it, because its
    unpacking may have stopped early.

    Raises:
        InputError: ``path`` is absent, of another kind, damaged, or holds no image.
    """
    container = _open(path)
    if path.is_file():
        container.passed_over.incomplete += other_parts(path)
    if not container.names:
        looked = {"folder": "the folder and its subfolders", "joined": "the archives of the folder"}
        what = looked.get(container.kind, f"the {container.kind}")
        inventory = container.passed_over.inventory()
        raise InputError(
            f"No image found in {path}: facegen searched {what} for files ending in .jpg, .jpeg, .png, .webp, .bmp, "
            f".tif, .gif and the like ({len(suffixes())} endings, upper or lower case), hidden and system files aside."
            + ("" if inventory is None else f" It holds {inventory}."),
            _remedy_of_none(container),
        )
    if isinstance(container, Folder):
        container.passed_over.incomplete += half_unpacked(container, _open)
    return container


def splits_told(container: Container) -> dict[str, str] | None:
    """Return the split of each name if the container says it, as parquet shards named train, validation and test do."""
    return container.splits if isinstance(container, Parquet) else None


def archives_of(container: Container) -> list[Zip | Tar]:
    """Return the archives that a container is read from, outermost first.

    A partition may lie beside the images in them.
    """
    if isinstance(container, nested.Inside):
        return [container.outer, *archives_of(container.content)]
    if isinstance(container, Joined):
        return [archive for part in container.parts for archive in archives_of(part)]
    return [container] if isinstance(container, Zip | Tar) else []


def _open(path: Path, depth: int = 0) -> Container:
    """Open what is at ``path``, even without images. ``depth`` is the number of archives around it."""
    try:
        if not depth and path.is_dir():
            return _open_folder(path)
        kind = kind_of_file(path)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist.") from None
    except OSError as problem:
        raise InputError(f"Cannot read {path}: {problem.strerror}.") from problem
    if kind is NPY:
        return ArrayFile(path)
    if kind is PARQUET:
        return Parquet(path, [path])
    if kind is HDF5:
        return Hdf5(path)
    if kind in _ZIPS:
        return _open_zip(path, depth)
    if kind in _TARS:
        return _or_inside(Tar(path, _TARS[kind]), path, depth)
    if kind is None and path.suffix.lower() == ".zip":  # The last volume can begin in the middle of a member.
        require_own_offsets(path)
    if kind is None:
        with open_regular(path) as file:
            is_zip = zipfile.is_zipfile(file)  # A zip behind something else, such as a self-extracting program.
            is_tar = not is_zip and not depth and _is_old_tar(file)
        if is_zip:
            return _open_zip(path, depth)
        if is_tar:
            return _or_inside(Tar(path, ""), path, depth)
    raise _not_an_archive(path, kind)


def _is_old_tar(file: IO[bytes]) -> bool:
    """Return whether a file begins with a tar header of before 1988, which has no magic number but a checksum."""
    file.seek(0)
    try:
        tarfile.TarInfo.frombuf(file.read(tarfile.BLOCKSIZE), "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _open_zip(path: Path, depth: int) -> Container:
    archive = Zip(path)
    if archive.names:
        return archive
    with open_regular(path) as file, PlainZip(file) as content:
        if array_entries(content.namelist()):
            return ArrayArchive(path)
    found = _or_inside(archive, path, depth)
    if not found.names and (kind := kind_of_file(path)) is PYTORCH:
        raise _not_an_archive(path, kind)
    return found


def _or_inside(outer: Zip | Tar, path: Path, depth: int) -> Container:
    """Return ``outer`` if it has images, and otherwise the images of the one archive in it."""
    if outer.names or depth == nested.DEEPEST:
        return outer
    inner = nested.the_one(nested.archives_in(outer, _is_opened), path)
    if inner is None:
        return outer
    console.info(f"Reading the images from {printable(inner.name)} in {path}.")
    return nested.open_inside(inner, outer, lambda place: _open(place, depth + 1))


def _is_opened(head: bytes) -> bool:
    """Return whether a file with these first bytes may hold images."""
    return kind_of(head) in (*_ZIPS, *_TARS, NPY, PARQUET, HDF5)


def _open_folder(path: Path) -> Container:
    """Open a folder. torchvision's root gives only its own images; CelebA's packed tree gives those of its archive."""
    for base in (path, path / "celeba"):
        archive = base / "img_align_celeba.zip"
        if (base / "img_align_celeba").is_dir():
            folder = Folder(base, within="img_align_celeba")
            if folder.names or not archive.is_file():
                return folder
        if archive.is_file():
            return _open(archive)
    folder = Folder(path)
    if folder.names:
        return folder
    archives = (path / tree / "img_align_celeba.zip" for tree in ("Img", "CelebA/Img"))
    archive_of_tree = next((archive for archive in archives if archive.is_file()), None)
    return _or_tables_in(folder) if archive_of_tree is None else _open(archive_of_tree)


def _or_tables_in(folder: Folder) -> Container:
    """Return the parquet shards or the parts of one download in a folder without images, or else the folder itself."""
    path = folder.path
    shards = [file for file in path.rglob("*.parquet") if not is_litter(file.relative_to(path).as_posix())]
    if shards:
        return Parquet(path, shards)
    files = [file for file in path.iterdir() if file.is_file() and not is_litter(file.name)]
    if any(file.suffix == ".arrow" for file in files) or (path / "dataset_dict.json").is_file():
        raise InputError(
            f"{path} holds Arrow files of Hugging Face's datasets (save_to_disk), which facegen does not read.",
            f"In Python: ds = datasets.load_from_disk({str(path)!r}); ds.to_parquet('train.parquet'). For a "
            "DatasetDict: ds['train'].to_parquet('train.parquet'), and so on. Then name the parquet file.",
        )
    parts = parts_in([file for file in files if file.name.lower().endswith(_ARCHIVES)])
    return Joined(path, parts, _open) if parts is not None else folder


def _remedy_of_none(container: Container) -> str | None:
    """Return what to do if a container holds no image."""
    passed_over = container.passed_over
    if isinstance(container, Folder):
        remedy = _archive_inside(container) or _other_kind_inside(container.path)
        if remedy is not None:
            return remedy
    return " ".join([*passed_over.remedies(), *passed_over.links(str(container.path))]) or None


def _archive_inside(folder: Folder) -> str | None:
    """Return the remedy for a folder that has the archive of its images in it or beside it."""
    if beside := namesakes(folder.path):
        return f"Name the archive beside it instead: {beside[0]}"
    # _other_kind_inside names archives that facegen does not open.
    inside = [name for name in folder.passed_over.archives if _is_opened(folder.head(name))]
    if not inside:
        return None
    first = folder.path / printable(inside[0])
    if len(inside) == 1:
        return f"Name the archive in it instead: {first}"
    return f"Unpack the {len(inside):,} archives in it into one folder and name that, or name one, such as {first}"


def _other_kind_inside(folder: Path) -> str | None:
    """Return the remedy for a folder that holds a database, or an archive or arrays of a kind that is not read."""
    for place in (folder, *sorted(folder.iterdir())):
        kind = kind_of_file(place) if place is folder or place.is_file() else None
        if kind is not None and kind.remedy and kind.family in ("archive", "arrays"):
            what = "It is" if place is folder else f"{place.name} in it is"
            return f"{what} {kind.name}. {kind.remedy}"
    return None


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
