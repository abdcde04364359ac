"""Writes a tarball that is the same bytes each time it is packed from the same images."""

from __future__ import annotations

import gzip
import io
import tarfile
import unicodedata
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from facegen.data.walk import State, walk
from facegen.files import open_regular, read_regular
from facegen.submission.rules import LIMITS, Code, Limits, Rejection, megabytes, shown

#: zlib's default; pinned, for Python's has changed. Another zlib (zlib-ng) may still compress to other bytes.
_COMPRESSION = 6


@dataclass
class FolderContents:
    """What is to be packed of a folder.

    Attributes:
        files: by their path in the tarball (with ``/``, sorted).
        litter: the paths of the files and folders left out by :func:`facegen.data.litter.is_litter`.
        loops: those of links to a folder that holds them, which were not followed.
    """

    files: dict[str, Path] = field(default_factory=dict)
    litter: list[str] = field(default_factory=list)
    loops: list[str] = field(default_factory=list)


def find_files(folder: Path, limits: Limits = LIMITS) -> FolderContents:
    """The files below ``folder``; links to files and folders are followed.

    Rejection ``too_many_members`` or ``too_large`` as soon as there is more than a submission may hold: someone may
    have named their home folder. ``unsafe_member`` for a link that leads nowhere, a named pipe and the like, and
    ``duplicate_member`` for two names that one name in the tarball would stand for.
    """
    contents, total = FolderContents(), 0
    for found in walk(folder):
        path = unicodedata.normalize("NFC", found.path)
        if found.state is State.LITTER:
            contents.litter.append(path)
            continue
        if found.state is State.LOOP:
            contents.loops.append(path)
            continue
        if found.state is not State.FILE:
            what = "a link that leads nowhere" if found.state is State.NOWHERE else "a named pipe, socket or device"
            raise Rejection(Code.UNSAFE_MEMBER, f"{shown(path)} in {folder} is {what}, not a plain file.")
        if path in contents.files:
            message = f"Two files in {folder} are called {shown(path)}, in two normal forms of Unicode."
            raise Rejection(Code.DUPLICATE_MEMBER, message)
        contents.files[path] = folder / found.path
        total += contents.files[path].stat().st_size
        if len(contents.files) > limits.members:
            raise Rejection(Code.TOO_MANY_MEMBERS, f"{folder} holds more than {limits.members:,} files.", limits)
        if total > limits.bytes:
            message = f"{folder} holds more than {megabytes(limits.bytes)} ({shown(path)}…)."
            raise Rejection(Code.TOO_LARGE, message, limits)
    contents.files = dict(sorted(contents.files.items()))
    return contents


def write_tarball(files: dict[str, Path], target: Path) -> None:
    """Pack ``files`` (path in the archive: file on disk) in their order as a .tar.gz at ``target``.

    No dates, owners or permissions of this machine go in (mode 0644, all else zero), so the bytes depend on the
    names and the contents alone. Headers are ustar; a name that does not fit one (not ASCII, over 100 bytes)
    gets a pax header, as POSIX.1-2001 has it.
    """
    with (
        target.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=_COMPRESSION) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8") as tar,
    ):
        for name, file in files.items():
            data = read_regular(file, LIMITS.bytes)
            header = tarfile.TarInfo(name)
            header.size, header.mode = len(data), 0o644
            tar.addfile(header, io.BytesIO(data))


def is_ours(path: Path) -> bool:
    """Whether the file at ``path`` begins as :func:`write_tarball` begins: without a date and an owner."""
    try:
        with open_regular(path) as raw:
            if raw.read(8) != b"\x1f\x8b\x08" + bytes(5):
                return False
            raw.seek(0)
            with gzip.GzipFile(fileobj=raw) as zipped:
                header = tarfile.TarInfo.frombuf(zipped.read(tarfile.BLOCKSIZE), "utf-8", "surrogateescape")
    except (tarfile.TarError, EOFError, zlib.error, OSError):
        return False
    return (header.mtime, header.uid, header.gid, header.uname, header.gname) == (0, 0, 0, "", "")
