"""Writes a tarball. The same images always give the same bytes."""

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
from facegen.language import translate
from facegen.submission.rules import LIMITS, Code, Limits, Rejection, megabytes, shown

#: The default level of zlib. It is written out because Python's default has changed. Another zlib (zlib-ng) may still
#: compress to other bytes.
_COMPRESSION = 6


@dataclass
class FolderContents:
    """The files of a folder that are to be packed, and those that are not.

    Attributes:
        files: The files by their path in the tarball (with ``/``, sorted).
        litter: Paths of the files and folders that :func:`facegen.data.litter.is_litter` leaves out.
        loops: Paths of links to a folder that holds the link itself. They are not followed.
    """

    files: dict[str, Path] = field(default_factory=dict)
    litter: list[str] = field(default_factory=list)
    loops: list[str] = field(default_factory=list)


def find_files(folder: Path, limits: Limits = LIMITS) -> FolderContents:
    """Return the files below ``folder``. Links to files and folders are followed.

    Raises:
        Rejection: ``too_many_members`` or ``too_large`` as soon as there is more than a submission may hold, because
            someone may have named their home folder; ``unsafe_member`` for a link that leads nowhere, a named pipe and
            the like; ``duplicate_member`` for two names that would be the same in the tarball.
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
            what = (
                translate("a link that leads nowhere")
                if found.state is State.NOWHERE
                else translate("a named pipe, socket or device")
            )
            message = translate(
                "{name} in {folder} is {kind}, not a plain file.", name=shown(path), folder=str(folder), kind=what
            )
            raise Rejection(Code.UNSAFE_MEMBER, message)
        if path in contents.files:
            message = translate(
                "Two files in {folder} are called {name}, in two normal forms of Unicode.",
                folder=str(folder),
                name=shown(path),
            )
            raise Rejection(Code.DUPLICATE_MEMBER, message)
        contents.files[path] = folder / found.path
        total += contents.files[path].stat().st_size
        if len(contents.files) > limits.members:
            message = translate("{folder} holds more than {most:,} files.", folder=str(folder), most=limits.members)
            raise Rejection(Code.TOO_MANY_MEMBERS, message, limits)
        if total > limits.bytes:
            message = translate(
                "{folder} holds more than {most} ({name}…).",
                folder=str(folder),
                most=megabytes(limits.bytes),
                name=shown(path),
            )
            raise Rejection(Code.TOO_LARGE, message, limits)
    contents.files = dict(sorted(contents.files.items()))
    return contents


def write_tarball(files: dict[str, Path], target: Path) -> None:
    """Pack files as a .tar.gz.

    The bytes depend on the names and contents alone: no dates, owners or permissions of this machine are written (the
    mode is 0644, all else is zero). Headers are ustar. A name that does not fit (not ASCII, or over 100 bytes) gets a
    pax header as in POSIX.1-2001.

    Args:
        files: The files on disk by their path in the archive. They are packed in this order.
        target: The path of the tarball. An existing file is overwritten.
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
    """Return whether the file at ``path`` begins as :func:`write_tarball` writes it: without a date and an owner."""
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
