"""The files of a folder or a zip in which submissions are looked for. A zip is never unpacked as a whole."""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from facegen.data.caps import require_few, require_name, require_proportion
from facegen.errors import InputError, in_words
from facegen.files import NoRegularFile, atomic_path, open_regular
from facegen.plain_zip import PlainZip
from facegen.submission.open_tarball import UnreadableTarball

#: Maximum depth of folders below the folder of submissions. The layouts of learning platforms need three levels.
_DEEPEST = 4
#: Number of files after which the search stops. No class hands in so many.
_MOST = 100_000
#: Exceptions that a damaged, encrypted or unusually compressed member raises.
_UNREADABLE = (OSError, EOFError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error)


def files_below(folder: Path, own: str | None) -> list[str]:
    """Return the relative paths of the files in a folder and its subfolders, with forward slashes.

    Symbolic links to folders are not followed.

    Args:
        folder: The folder to search.
        own: The real path of a folder to leave out with all its contents; None to leave out none.
    """
    found: list[str] = []
    for base, folders, files in os.walk(folder):
        below = Path(base).relative_to(folder)
        folders[:] = [] if len(below.parts) >= _DEEPEST else sorted(folders)
        folders[:] = [name for name in folders if os.path.realpath(Path(base) / name) != own]
        found += [(below / name).as_posix() for name in sorted(files)]
        if len(found) > _MOST:
            break
    return found


def is_zip(path: Path) -> bool:
    """Return whether a file is a zip, judged by the end of the file.

    A pipe or a device is not opened and is not a zip.
    """
    try:
        with open_regular(path) as file:
            return zipfile.is_zipfile(file)
    except (NoRegularFile, OSError):
        return False


def members_of(path: Path) -> dict[str, int]:
    """Return the paths of the files in a zip, each with its index in the zip's list.

    Raises:
        InputError: The zip cannot be read, claims to hold far more than its size allows, or has a name twice.
    """
    with _opened(path) as archive:
        entries = archive.infolist()
        require_few(str(path), len(entries))
        require_proportion(str(path), sum(entry.file_size for entry in entries), path.stat().st_size)
        members: dict[str, int] = {}
        for index, entry in enumerate(entries):
            require_name(path, entry.filename)
            if entry.is_dir():
                continue
            if entry.filename in members:
                raise InputError(f"{path} has {entry.filename!r} twice.", "Download the zip again, or unpack it.")
            members[entry.filename] = index
    return members


def read_text(path: Path, name: str, members: dict[str, int] | None, most: int = 200) -> str:
    """Return the start of a small text file; "" if it does not exist or cannot be read.

    The file is a member of the zip ``path`` if ``members`` are given, and otherwise lies in the folder ``path``.
    """
    try:
        if members is None:
            with open_regular(path / name) as file:
                return file.read(most).decode(errors="replace")
        if name not in members:
            return ""
        with _opened(path) as archive, archive.open(archive.infolist()[members[name]]) as member:
            return member.read(most).decode(errors="replace")
    except _UNREADABLE:
        return ""


@contextmanager
def member_at_hand(path: Path, index: int, name: str, folder: Path, most: int) -> Iterator[Path]:
    """Write a member of a zip to a file, and delete the file when it is no longer needed.

    The file lies in ``folder``. Its name is made from the names of the zip and the member by hashing, so a member
    cannot choose it. If a member is larger than ``most`` bytes, ``most`` + 1 bytes are written, which is enough to
    see that it is too large.

    Raises:
        UnreadableTarball: The member is damaged, encrypted, or compressed with a method other than deflate.
    """
    key = hashlib.sha256(os.fsencode(path.absolute()) + b"\0" + name.encode("utf-8", "surrogatepass")).hexdigest()
    copy = folder / f"{key[:32]}.tar.gz"
    try:
        with atomic_path(copy) as temporary, temporary.open("wb") as target:
            _copy(path, index, name, target, most + 1)
        yield copy
    finally:
        copy.unlink(missing_ok=True)


def _copy(path: Path, index: int, name: str, target: IO[bytes], most: int) -> None:
    try:
        with _opened(path) as archive, _member(archive, index) as member:
            while most and (chunk := _next(member, min(most, 1 << 20))):
                target.write(chunk)
                most -= len(chunk)
    except _Damaged as problem:
        raise UnreadableTarball(
            f"Cannot read {name!r} in {path}: {problem}.", "Download the zip again, or remove this file from it."
        ) from problem


class _Damaged(Exception):
    """A member of a zip cannot be read. Failing to write its copy raises another exception."""


def _member(archive: PlainZip, index: int) -> IO[bytes]:
    try:
        return archive.open(archive.infolist()[index])
    except (*_UNREADABLE, IndexError) as problem:
        raise _Damaged(in_words(problem)) from problem


def _next(member: IO[bytes], size: int) -> bytes:
    try:
        return member.read(size)
    except _UNREADABLE as problem:
        raise _Damaged(in_words(problem)) from problem


@contextmanager
def _opened(path: Path) -> Iterator[PlainZip]:
    try:
        file = open_regular(path)
    except OSError as problem:
        raise InputError(f"Cannot read {path}: {problem.strerror or problem}.") from problem
    with file:
        try:
            archive = PlainZip(file)
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as problem:
            raise InputError(f"{path} is not a complete zip: {in_words(problem)}.", "Download it again.") from problem
        with archive:
            yield archive
