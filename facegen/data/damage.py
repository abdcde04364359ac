"""Say why an archive cannot be read: it was downloaded in part, is split, or holds something else."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from facegen.errors import EnvironmentProblem, FacegenError, InputError
from facegen.file_kinds import DOWNLOAD_AGAIN, HEAD, TAR, ZEROS, kind_by_name, kind_by_place, kind_of
from facegen.files import open_regular

#: Without ZIP64 records, a zip counts bytes in 32 bits.
_FOUR_GIB = 1 << 32
#: Length of the part of a zip that holds its end record, in bytes: 22, and a comment of at most 64 KiB.
_END = 22 + (1 << 16)
#: Exceptions that the readers of archives raise for damage, besides errors of their own.
_RAISED = (OSError, EOFError, ValueError, OverflowError, RuntimeError, struct.error, zlib.error, lzma.LZMAError)
_OPENERS: dict[str, Callable[[IO[bytes]], gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile]] = {
    "gz": lambda file: gzip.GzipFile(fileobj=file, mode="rb"),
    "bz2": bz2.BZ2File,
    "xz": lzma.LZMAFile,
}
_COMPRESSED = {"gz": "a gzip file", "bz2": "a bzip2 file", "xz": "an xz file"}


@contextmanager
def zip_damage_told(path: Path) -> Iterator[None]:
    """Turn whatever :mod:`zipfile` raises inside the block into an InputError that says what is wrong with the zip."""
    try:
        yield
    except (zipfile.BadZipFile, *_RAISED) as problem:
        raise _zip_damage(path, problem) from problem


@contextmanager
def tar_damage_told(path: Path, compression: str) -> Iterator[None]:
    """Turn whatever :mod:`tarfile` raises inside the block into an error that says what is wrong with the tar.

    Args:
        compression: ``""`` for a plain tar, ``"gz"``, ``"bz2"`` or ``"xz"``.

    Raises:
        InputError: The archive is damaged, incomplete or of another kind.
        EnvironmentProblem: This Python lacks the compression.
    """
    try:
        yield
    except (tarfile.TarError, *_RAISED) as problem:
        raise _tar_damage(path, problem, compression) from problem


def _zip_damage(path: Path, problem: Exception) -> FacegenError:
    if isinstance(problem, OSError):
        return InputError(f"Cannot read {path}: {problem.strerror or problem}.")
    if isinstance(problem, NotImplementedError):
        return InputError(
            f"{path} is a zip of a kind that facegen does not read: {_sentence(problem)}.",
            "Unpack it and name the folder, or make an ordinary zip.",
        )
    if isinstance(problem, RuntimeError) and "password" in str(problem):
        return InputError(f"{path} is encrypted.", "Make a zip without a password.")
    if (partial := _in_part(path)) is not None:
        return partial
    if _end_record(path) is None:
        return InputError(f"{path} is a truncated or damaged zip: its end is missing.", DOWNLOAD_AGAIN)
    return InputError(f"{path} is a truncated or damaged zip: {_sentence(problem)}.", DOWNLOAD_AGAIN)


def require_own_offsets(path: Path) -> None:
    """Raise InputError for a zip whose members cannot be found from its end record.

    There are two kinds. One is the last volume of a split zip. The other is a zip over 4 GiB without ZIP64 records, as
    macOS makes them: its offsets wrap around at 4 GiB. :mod:`zipfile` takes the missing multiple of 4 GiB for other
    data before the zip, and then reports the members as damaged.
    """
    size = path.stat().st_size
    end = _end_record(path)
    if end is None:
        return
    if int.from_bytes(end[4:6], "little") not in (0, 0xFFFF):
        raise InputError(
            f"{path} is the last volume of a split zip.",
            f"Keep all volumes beside it, join them (zip -s 0 {path.name} --out whole.zip), and name whole.zip.",
        )
    directory, offset = (int.from_bytes(end[at : at + 4], "little") for at in (12, 16))
    missing = size - int.from_bytes(end[-4:], "little") - directory - offset
    if size >= _FOUR_GIB and 0xFFFFFFFF not in (directory, offset) and missing > 0 and missing % _FOUR_GIB == 0:
        raise InputError(
            f"{path} is a zip over 4 GB without ZIP64 records, as macOS makes them: it does not say where its files "
            "are.",
            "It is not damaged: unpack it (on a Mac: ditto -x -k) and name the folder, or zip the folder with zip -r.",
        )


def _tar_damage(path: Path, problem: Exception, compression: str) -> FacegenError:
    if isinstance(problem, OSError) and problem.errno is not None:
        return InputError(f"Cannot read {path}: {problem.strerror or problem}.")
    if "module is not available" in str(problem):
        return EnvironmentProblem(
            f"This Python cannot read {path}: {_sentence(problem)}.", "Unpack it and name the folder."
        )
    if (partial := _in_part(path)) is not None:
        return partial
    if compression and (inside := _inside(path, compression)) is not None:
        kind = kind_of(inside)
        if kind is not TAR and kind is not ZEROS and inside:
            what = "other data" if kind is None else kind.name
            return InputError(
                f"{path} is {_COMPRESSED[compression]} that holds {what}, not a tar of images.",
                "Unpack it and name the result, or name a folder or an archive of images.",
            )
    return InputError(f"{path} is not a whole tar archive: {_sentence(problem)}.", DOWNLOAD_AGAIN)


def _in_part(path: Path) -> InputError | None:
    """Return an error for one volume of several or for a download that stopped early; None for anything else."""
    # A file inside an archive has no neighbours to look at.
    kind = kind_by_place(path) if isinstance(path, Path) else kind_by_name(path.name)
    if kind is not None:
        return InputError(f"{path} is {kind.name}, and cannot be read by itself.", kind.remedy)
    zeros = _trailing_zeros(path)
    if zeros >= 1 << 16:  # A whole tar ends in zeros too, but only in a few kilobytes.
        return InputError(
            f"{path} was not downloaded or copied to its end: at least its last {zeros:,} bytes are zeros.",
            DOWNLOAD_AGAIN,
        )
    return None


def _trailing_zeros(path: Path) -> int:
    """Return the number of zeros at the very end of the file, looking at its last 1 MiB."""
    with open_regular(path) as file:
        file.seek(max(0, path.stat().st_size - (1 << 20)))
        tail = file.read()
    return len(tail) - len(tail.rstrip(b"\0"))


def _end_record(path: Path) -> bytes | None:
    """Return a zip's end record (22 bytes) and its distance from the end of the file (4 bytes), or None."""
    with open_regular(path) as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _END))
        tail = file.read()
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < 22:
        return None
    return tail[at : at + 22] + (len(tail) - at).to_bytes(4, "little")


def _inside(path: Path, compression: str) -> bytes | None:
    """Return the first decompressed bytes, or None if not even those can be decompressed."""
    try:
        with open_regular(path) as raw, _OPENERS[compression](raw) as file:
            return bytes(file.read(HEAD))
    except (OSError, EOFError, zlib.error, lzma.LZMAError):
        return None


def _sentence(problem: Exception) -> str:
    return str(problem).strip().rstrip(".") or type(problem).__name__
