"""Find folders whose unpacking stopped early: the archive beside them has their name and more images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from facegen.data.containers import Container
from facegen.data.folders import Folder
from facegen.errors import InputError
from facegen.printable import printable


def half_unpacked(folder: Folder, open_archive: Callable[[Path], Container]) -> Iterator[str]:
    """Yield a sentence for each folder that has fewer images than the archive of its name beside it.

    The folders are ``folder`` itself, those in it that hold images, and the two that contain it.
    """
    counts: Counter[Path] = Counter()
    for place, count in Counter(name.rpartition("/")[0] for name in folder.names).items():
        for inner in (place, *map(str, PurePosixPath(place).parents)) if place else ("",):
            counts[folder.path / inner] += count
    for unpacked, count in sorted(counts.items()):
        for archive in namesakes(unpacked):
            yield from _if_fewer(unpacked, count, archive, "", open_archive)
    whole = folder.path.absolute()
    for above in list(whole.parents)[:2]:
        for archive in namesakes(above):
            part = whole.relative_to(above).as_posix() + "/"
            yield from _if_fewer(folder.path, len(folder.names), archive, part, open_archive)


def namesakes(folder: Path) -> list[Path]:
    """Return the archives beside a folder that unpack to a folder of its name."""
    folder = folder.absolute()
    paths = (folder.with_name(folder.name + suffix) for suffix in (".zip", ".tar", ".tar.gz", ".tgz") if folder.name)
    return [path for path in paths if path.is_file()]


def _if_fewer(
    unpacked: Path, count: int, archive: Path, part: str, open_archive: Callable[[Path], Container]
) -> Iterator[str]:
    """Yield a sentence if ``unpacked`` has fewer images than ``part``, the folder in the archive that it came from."""
    try:
        names = open_archive(archive).names
    except InputError:
        return
    # Some archives begin with a folder of their own name, others do not.
    starts = (part, f"{archive.name.partition('.')[0]}/{part}") if part else ("",)
    there = sum(name.startswith(starts) for name in names)
    if count < there:
        images = "image" if count == 1 else "images"
        yield printable(
            f"{unpacked} holds {count:,} {images}, but {archive.name} beside it holds {there:,}: its unpacking may "
            f"have stopped early. To take all of them, name {archive}."
        )
