"""The files among which submissions are: of a folder, or of a zip, which is never unpacked as a whole."""

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

#: Folders below folders: platforms' layouts have three.
_DEEPEST = 4
#: Files of a folder that are looked at: what has more is no class's.
_MOST = 100_000
#: What a damaged, encrypted or oddly compressed member raises.
_UNREADABLE = (OSError, EOFError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error)


def files_below(folder: Path, own: str | None) -> list[str]:
    """The paths of the files in a folder and its folders, relative and with forward slashes; links are not followed.

    Args:
        folder: to look in.
        own: the real path of a folder that is left out, with all that is in it.
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
    """Whether a file is a zip, by its end. Not so is a pipe or a device, which is not opened."""
    try:
        with open_regular(path) as file:
            return zipfile.is_zipfile(file)
    except (NoRegularFile, OSError):
        return False


def members_of(path: Path) -> dict[str, int]:
    """The files in a zip by their paths, each with its place in the zip's list.

    Raises:
        InputError: it cannot be read, it claims far more than it holds, or it has a name twice.
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
                raise InputError(f"{path} has {entry.filename!r} twice.", "Download it again, or unpack it.")
            members[entry.filename] = index
    return members


def read_text(path: Path, name: str, members: dict[str, int] | None, most: int = 200) -> str:
    """The start of a small text file, of a folder or, where there are ``members``, of a zip; "" where it has none."""
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
    """A member of a zip as a file of its own, for as long as it is needed.

    It lies in ``folder`` under a name that is made of the zip's and the member's, which no member chooses. Of a member
    that is larger than ``most`` bytes, one byte more than that is written: enough to see that it is too large.

    Raises:
        UnreadableTarball: it is damaged, encrypted, or compressed by another method than deflate.
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
            f"Cannot read {name!r} in {path}: {problem}.", "Download the zip again, or take the file out of it."
        ) from problem


class _Damaged(Exception):
    """A member cannot be read, in words. What cannot be written is something else."""


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
            raise InputError(f"{path} is no whole zip: {in_words(problem)}.", "Download it again.") from problem
        with archive:
            yield archive
