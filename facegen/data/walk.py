"""Find the files below a folder, in the same way for every command.

Symbolic links to files and folders are followed, as ``os.walk(followlinks=True)`` does, except for a link back to a
folder that holds it. Nothing is opened.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from facegen.data.litter import is_litter
from facegen.errors import InputError

#: Maximum number of ways through links to one folder. Links among n folders can make n! ways, and the walk would never
#: end. No folder of photographs has so many.
_MOST_WAYS = 1000


class State(Enum):
    """The kind of a directory entry.

    ``FILE``: An ordinary file, or a link to one.
    ``LITTER``: A file or folder that :func:`facegen.data.litter.is_litter` names. The folder's contents are not listed.
    ``NOWHERE``: A link whose target does not exist or is not accessible.
    ``LOOP``: A link to a folder that holds it.
    ``SPECIAL``: A named pipe, socket or device. Opening it could block for ever.
    """

    FILE = "file"
    LITTER = "litter"
    NOWHERE = "nowhere"
    LOOP = "loop"
    SPECIAL = "special"


@dataclass(frozen=True, slots=True)
class Found:
    """An entry below a folder: its path relative to the folder, with forward slashes, and its kind."""

    path: str
    state: State


def walk(folder: Path, within: str = "") -> Iterator[Found]:
    """Yield everything below ``folder`` except folders, in order of names.

    ``within`` limits the walk to one subfolder. Two links to one folder count as two folders with the same files.

    Raises:
        InputError: A folder cannot be read, or links lead to one folder in more than 1,000 ways.
    """
    start = folder / within
    holding = frozenset(filter(None, map(_identity, (start, *start.resolve().parents))))
    ways: Counter[tuple[int, int] | None] = Counter()
    stack = [(_entries(start), f"{within}/" if within else "", holding)]
    while stack:
        entries, prefix, above = stack[-1]
        entry = next(entries, None)
        if entry is None:
            stack.pop()
            continue
        path = prefix + entry.name
        state = _state(entry)
        if state is not None:
            yield Found(path, state)
            continue
        identity = _identity(entry.path)
        if identity in above:
            yield Found(path, State.LOOP)
        else:
            ways[identity] += 1
            if identity is not None and ways[identity] > _MOST_WAYS:
                raise InputError(
                    f"Links in {folder} lead to one folder in more than {_MOST_WAYS:,} ways, for example to {path}.",
                    "Name a folder of images without links to each other's folders.",
                )
            stack.append((_entries(entry.path), f"{path}/", above if identity is None else above | {identity}))


def _entries(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return iter(sorted(entries, key=lambda entry: entry.name))
    except OSError as problem:
        raise InputError(f"Cannot read the folder {folder}: {problem.strerror or problem}.") from problem


def _identity(path: Path | str) -> tuple[int, int] | None:
    """Return what identifies a folder whatever its path, or None if it is not accessible."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _state(entry: os.DirEntry[str]) -> State | None:
    """Return the kind of an entry, or None for a folder to enter."""
    if is_litter(entry.name):
        return State.LITTER
    try:
        if entry.is_dir():
            return None
        if entry.is_file():
            return State.FILE
        return State.SPECIAL if Path(entry.path).exists() else State.NOWHERE
    except OSError:  # A link to itself, or through a folder that may not be entered.
        return State.NOWHERE
