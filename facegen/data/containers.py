"""Encoded images where they lie: what a container of them offers, and the plainest one, a folder.

A container lists its image names in natural order (``2.jpg`` before ``10.jpg``) and hands out members: small picklable
objects that a worker process can ``read`` by itself. Hidden files, ``__MACOSX`` and files that do not end like an image
are passed over.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from facegen.data.decode import Unreadable, suffixes
from facegen.errors import InputError

#: Hidden files and folders, and the resource forks that macOS packs beside the files.
_LITTER = re.compile(r"(?:^|/)(?:\.|__MACOSX/)")


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


def natural_key(name: str) -> tuple[list[str | tuple[int, str]], str]:
    """Sort key that puts ``2.jpg`` before ``10.jpg``, ignoring case; the name itself breaks ties."""
    parts = re.split(r"0*([0-9]+)", name.casefold())
    # Odd parts are digits, even ones text, so parts at one position always compare with their like. Of two numbers
    # without leading zeros the longer is greater: no limit on their digits, as int() has.
    return [(len(part), part) if at % 2 else part for at, part in enumerate(parts)], name


def printable(name: str) -> str:
    """``name`` with the bytes that are not UTF-8 spelt out, so that it can be written to a text file."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def is_image_name(name: str) -> bool:
    """Whether ``name`` (relative, forward slashes) ends like an image and no part of it is hidden or macOS litter."""
    return name[name.rfind(".") :].lower() in suffixes() and not _LITTER.search(name)


@dataclass(frozen=True)
class FileMember:
    name: str
    path: Path

    def read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as problem:
            raise Unreadable(f"cannot be read ({problem.strerror})") from problem


class Folder:
    """Images under a folder, nested ones too. ``within`` keeps to one subfolder, which stays part of the names."""

    kind = "folder"

    def __init__(self, path: Path, within: str = "") -> None:
        self.path = path
        self._real_names = {printable(name): name for name in self._walk(within)}
        self.names = sorted(self._real_names, key=natural_key)

    def _walk(self, within: str) -> Iterator[str]:
        def give_up(problem: OSError) -> None:
            raise InputError(f"Cannot read the folder {problem.filename}: {problem.strerror}.") from problem

        for folder, inner, files in os.walk(self.path / within, onerror=give_up):
            inner[:] = [name for name in inner if not name.startswith(".") and name != "__MACOSX"]
            prefix = Path(folder).relative_to(self.path).as_posix()
            prefix = "" if prefix == "." else prefix + "/"
            yield from (prefix + name for name in files if is_image_name(name))

    @cached_property
    def identity(self) -> str:
        """Of the names, sizes and modification times: reading every byte would cost as much as preparing them."""
        digest = hashlib.sha256()
        for name in self.names:
            try:
                status = self._file(name).stat()
                state = f"{status.st_size}\0{status.st_mtime_ns}"
            except OSError:  # a dangling link, say: unreadable when its turn comes
                state = "unreadable"
            digest.update(f"{name}\0{state}\0".encode())
        return digest.hexdigest()

    def _file(self, name: str) -> Path:
        return self.path / self._real_names[name]

    def members(self, names: Sequence[str]) -> Iterator[FileMember]:
        return (FileMember(name, self._file(name)) for name in names)
