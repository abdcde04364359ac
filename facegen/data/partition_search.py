"""Where CelebA's partition lies when nobody names it: in the archive of the images, or in the folders around them.

Around the images only folders that are known to hold it are looked into: the two above, and ``Eval``, ``Anno`` and
``celeba`` in each of them. So are found CelebA's own tree (``Eval`` beside ``Img``), torchvision's and Kaggle's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from facegen import console
from facegen.data.archives import Tar, Zip
from facegen.data.containers import Container
from facegen.data.decode import Unreadable
from facegen.data.folders import Folder
from facegen.data.image_names import natural_key
from facegen.data.opening import archives_of
from facegen.data.partition import MOST_BYTES, Partition, is_partition_name, parse_partition, read_partition
from facegen.errors import InputError
from facegen.printable import printable

#: CelebA's file and Kaggle's: they come before copies of other names.
_OWN_NAMES = ("list_eval_partition.txt", "list_eval_partition.csv")
_FOLDERS = frozenset({"eval", "anno", "celeba"})


def find_partitions(container: Container) -> list[Partition]:
    """The partitions in the images' archive and around it, the nearest first; usually one or none.

    One that cannot be read is warned of; InputError where that is all there is.
    """
    partitions: list[Partition] = []
    problems: list[InputError] = []
    around = [partial(read_partition, path) for path in _around(container)]
    for read in [*_inside(container), *around]:
        try:
            partitions.append(read())
        except InputError as unreadable:
            problems.append(unreadable)
    if problems and not partitions:
        raise problems[0]
    for problem in problems:
        console.warn(f"{problem.message} It is left aside.")
    return partitions


def _inside(container: Container) -> list[partial[Partition]]:
    return [
        partial(_read_member, archive, name)
        for archive in archives_of(container)
        for name in sorted(archive.partitions, key=_preference)
    ]


def _read_member(archive: Zip | Tar, name: str) -> Partition:
    label = f"{printable(name)} in {archive.path.name}"
    try:
        (member,) = archive.members([name])
        data = member.read()
        if len(data) > MOST_BYTES:
            raise Unreadable(f"it has more than {MOST_BYTES:,} bytes")
        return parse_partition(data, label)
    except Unreadable as problem:
        raise InputError(f"Cannot read the partition {label}: {problem.reason}.") from problem


def _around(container: Container) -> list[Path]:
    """The partition files in a folder, and near a folder or archive; one that is reached by two ways is there once."""
    images = container.path
    folders = [folder for path in (images.absolute(), images.resolve()) for folder in _near(path)]
    files = list(_inside_folder(container))
    files += [file for folder in dict.fromkeys(folders) for file in _partitions_of(folder)]
    found: dict[Path, Path] = {}
    for file in files:
        found.setdefault(file.resolve(), file)
    return [_shown(file) for file in found.values()]


def _inside_folder(container: Container) -> Iterator[Path]:
    """Those in a folder of images, in any folder of it as in an archive; the least deep first."""
    names = container.partitions if isinstance(container, Folder) else []
    for name in sorted(names, key=lambda name: (name.count("/"), _preference(name))):
        yield container.path.absolute() / name


def _near(images: Path) -> Iterator[Path]:
    # Unpacking often doubles a folder, img_align_celeba/img_align_celeba or x.7z/x: the two are one step.
    while images.name and images.parent.name.casefold().startswith(images.name.casefold()):
        yield images
        images = images.parent
    yield from (images, images.parent, images.parent.parent)


def _partitions_of(folder: Path, inner: frozenset[str] = _FOLDERS) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries]
    except OSError:  # an archive, or a folder above that is closed to this user
        return
    files = sorted(filter(is_partition_name, names), key=_preference)
    yield from (folder / name for name in files if (folder / name).is_file())
    for name in sorted(name for name in names if name.casefold() in inner):
        if (folder / name).is_dir():
            yield from _partitions_of(folder / name, inner - {"celeba"} if name.casefold() == "celeba" else frozenset())


def _preference(name: str) -> tuple[int, tuple[list[str | tuple[int, str]], str]]:
    own = name.rpartition("/")[2].casefold()
    return _OWN_NAMES.index(own) if own in _OWN_NAMES else len(_OWN_NAMES), natural_key(name)


def _shown(path: Path) -> Path:
    """A path as it is shorter to read: from the working folder where it lies in it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
