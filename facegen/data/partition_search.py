"""Find CelebA's partition file when the user does not name it: in the archive of the images, or in the folders around.

Only folders that are known to hold it are searched: the two above the images, and ``Eval``, ``Anno`` and ``celeba`` in
each of them. This finds the file in CelebA's own tree (``Eval`` beside ``Img``), in torchvision's and in Kaggle's.
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

#: The names of CelebA's file and Kaggle's. They come before copies with other names.
_OWN_NAMES = ("list_eval_partition.txt", "list_eval_partition.csv")
_UNPACK = "Unpack the file, and name it with --partition."
_FOLDERS = frozenset({"eval", "anno", "celeba"})


def find_partitions(container: Container) -> list[Partition]:
    """Return the partitions in the images' archive and around it, nearest first. Usually there is one or none.

    A partition that cannot be read gives a warning if another one can.

    Raises:
        InputError: Partitions were found, but none of them can be read.
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
        console.warn(f"{problem.message} It is not used.")
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
        raise InputError(f"Cannot read the partition {label}: {problem.reason}.", _UNPACK) from problem


def _around(container: Container) -> list[Path]:
    """Return the partition files in a folder and near a folder or archive, without those reached a second time."""
    images = container.path
    folders = [folder for path in (images.absolute(), images.resolve()) for folder in _near(path)]
    files = list(_inside_folder(container))
    files += [file for folder in dict.fromkeys(folders) for file in _partitions_of(folder)]
    found: dict[Path, Path] = {}
    for file in files:
        found.setdefault(file.resolve(), file)
    return [_shown(file) for file in found.values()]


def _inside_folder(container: Container) -> Iterator[Path]:
    """Yield the partition files anywhere inside a folder of images, the least deep first."""
    names = container.partitions if isinstance(container, Folder) else []
    for name in sorted(names, key=lambda name: (name.count("/"), _preference(name))):
        yield container.path.absolute() / name


def _near(images: Path) -> Iterator[Path]:
    # Unpacking often doubles a folder (img_align_celeba/img_align_celeba, x.7z/x). Such a pair counts as one step.
    while images.name and images.parent.name.casefold().startswith(images.name.casefold()):
        yield images
        images = images.parent
    yield from (images, images.parent, images.parent.parent)


def _partitions_of(folder: Path, inner: frozenset[str] = _FOLDERS) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries]
    except OSError:  # An archive, or a folder that this user may not read.
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
    """Return a path in its shorter form: relative, if it lies in the working folder."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
