"""The files below a folder, found in one way for every command.

Symbolic links are followed, to files and to folders, as ``os.walk(followlinks=True)`` does; but a link back to a folder
that holds it ends there. Nothing is opened.
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

#: A folder that links lead to in more ways is no one's photographs: the ways through links among n folders are as many
#: as n! and no walk ends.
_MOST_WAYS = 1000


class State(Enum):
    """What was found.

    ``FILE``: an ordinary file, or a link to one. ``LITTER``: a file or folder by :func:`facegen.data.litter.is_litter`;
    the folder is not looked into. ``NOWHERE``: a link whose end is not there, or may not be looked at. ``LOOP``: a link
    to a folder that holds it. ``SPECIAL``: a named pipe, socket or device, which opening could block on for ever.
    """

    FILE = "file"
    LITTER = "litter"
    NOWHERE = "nowhere"
    LOOP = "loop"
    SPECIAL = "special"


@dataclass(frozen=True, slots=True)
class Found:
    """Something below a folder: its path relative to it, with forward slashes, and what it is."""

    path: str
    state: State


def walk(folder: Path, within: str = "") -> Iterator[Found]:
    """All that lies below ``folder`` but folders, in order of names; ``within`` keeps to one subfolder of it.

    Two links to one folder are two folders with the same files.

    Raises:
        InputError: a folder cannot be read, or links lead to one in more than 1,000 ways.
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
                    f"Links in {folder} lead to one folder in more than {_MOST_WAYS:,} ways, as to {path}.",
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
    """What tells a folder from every other one, whatever its path; None where it cannot be looked at."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _state(entry: os.DirEntry[str]) -> State | None:
    """None for a folder to go into."""
    if is_litter(entry.name):
        return State.LITTER
    try:
        if entry.is_dir():
            return None
        if entry.is_file():
            return State.FILE
        return State.SPECIAL if Path(entry.path).exists() else State.NOWHERE
    except OSError:  # a link to itself, or past a folder that may not be entered
        return State.NOWHERE
