"""Read several archives as one source: the parts in which Google Drive and other services deliver one folder."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from facegen import console
from facegen.data.image_names import natural_key
from facegen.data.passed_over import PassedOver
from facegen.errors import InputError
from facegen.printable import printable

if TYPE_CHECKING:
    from facegen.data.containers import Container, Member

#: ``celeba-20240101T120000Z-001.zip`` of Google Drive, ``faces-002.zip``, ``faces.part3.tar``.
_PART = re.compile(
    r"(?P<stem>.+?)(?:-(?P<plain>\d{3})|[-_. ]?part[-_. ]?(?P<part>\d{1,3}))(?P<suffix>\.(?:zip|tar|tgz|tar\.\w{2,3}))",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Parts:
    """The archives of one series in one folder, by their part numbers in rising order."""

    files: dict[int, Path]

    @property
    def missing(self) -> list[str]:
        """The names of parts that are missing before the last one.

        Later parts may be missing too, which cannot be known.
        """
        numbers = [*self.files]
        stem = self.files[numbers[0]].name
        gone = sorted(set(range(min(1, numbers[0]), numbers[-1])) - set(numbers) - {0})
        return [_renumbered(stem, number) for number in gone]


def _renumbered(name: str, number: int) -> str:
    match = _PART.fullmatch(name)
    assert match is not None
    group = "plain" if match["plain"] else "part"
    begin, end = match.span(group)
    return f"{name[:begin]}{number:0{end - begin}d}{name[end:]}"


def series_of(file: Path) -> Parts | None:
    """Return the series that ``file`` belongs to by its name, if at least two of its parts are in the folder."""
    match = _PART.fullmatch(file.name)
    if match is None:
        return None
    found = {}
    for other in file.parent.iterdir():
        its = _PART.fullmatch(other.name)
        same = its is not None and (its["stem"], its["suffix"], bool(its["plain"])) == (
            match["stem"],
            match["suffix"],
            bool(match["plain"]),
        )
        if its is not None and same and other.is_file():
            found[int(its["plain"] or its["part"])] = other
    numbers = sorted(found)
    # Numbers that are large for their count, as in samples-100 and samples-200, do not number parts.
    if len(numbers) < 2 or numbers[0] > 2 or numbers[-1] > 2 * len(numbers):
        return None
    return Parts({number: found[number] for number in numbers})


def parts_in(files: Sequence[Path]) -> Parts | None:
    """Return the series that consists of all ``files`` of one folder, or None if they are not one series."""
    series = series_of(files[0]) if len(files) > 1 else None
    return series if series is not None and set(series.files.values()) == set(files) else None


def include(total: PassedOver, other: PassedOver) -> None:
    """Add to ``total`` everything that was left out of another container."""
    for field in fields(PassedOver):
        mine, its = getattr(total, field.name), getattr(other, field.name)
        if isinstance(mine, list):
            mine += its
        elif isinstance(mine, dict):
            mine.update(its)  # Adds, for a Counter.
        else:
            setattr(total, field.name, mine + its)


def other_parts(file: Path) -> list[str]:
    """Return a sentence if ``file`` is one part of a series, because it is read alone; otherwise nothing."""
    series = series_of(file)
    if series is None:
        return []
    others = [other.name for other in series.files.values() if other != file]
    shown = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
    alone = printable(f"{file.name} is one part of a series by its name, but is read alone. Beside it: {shown}.")
    return [f"{alone} To read all parts as one, name a folder that holds only them."]


class Joined:
    """The images of all parts of a series as one container."""

    kind = "joined"

    def __init__(self, path: Path, parts: Parts, open_part: Callable[[Path], Container]) -> None:
        """List the images of all parts.

        Args:
            path: The folder that holds the parts.
            open_part: A function that opens one archive, even if it holds no image.

        Raises:
            InputError: Two parts have different images of the same name, or a part cannot be opened.
        """
        self.path = path
        self.parts = [open_part(file) for file in parts.files.values()]
        self.passed_over = PassedOver()
        self._place: dict[str, int] = {}
        for number, part in enumerate(self.parts):
            include(self.passed_over, part.passed_over)
            twice = [name for name in part.names if self._place.setdefault(name, number) != number]
            self._compare(twice, number)
        self.names = sorted(self._place, key=natural_key)
        first, *_, last = (file.name for file in parts.files.values())
        console.info(f"{path}: {len(self.names):,} images in {len(self.parts)} parts, {first} to {last}, read as one.")
        if parts.missing:
            missing = printable(f"A part is missing from {path}: {', '.join(parts.missing)}.")
            self.passed_over.incomplete.append(f"{missing} Its images are left out.")

    def _compare(self, names: Sequence[str], number: int) -> None:
        """Raise InputError unless this part and earlier parts hold the same images under ``names``."""
        here = self.parts[number].members(names)
        earlier = self._members(names)
        for one, other in zip(here, earlier, strict=True):
            if one.read() != other.read():
                raise InputError(
                    f"Two parts in {self.path} have different images named {one.name}, for example "
                    f"{self.parts[number].path.name}: they are not parts of one series.",
                    "Name one of the archives.",
                )

    @cached_property
    def identity(self) -> str:
        digest = hashlib.sha256()
        for part in self.parts:
            digest.update(f"{part.path.name}\0{part.identity}\0".encode())
        return digest.hexdigest()

    def members(self, names: Sequence[str]) -> Iterator[Member]:
        return self._members(names)

    def _members(self, names: Sequence[str]) -> Iterator[Member]:
        """Yield the members from all parts. Each part hands out its own in order, so each is read only once."""
        sources = [
            part.members([name for name in names if self._place[name] == number])
            for number, part in enumerate(self.parts)
        ]
        return (next(sources[self._place[name]]) for name in names)
