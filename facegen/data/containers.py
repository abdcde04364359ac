"""Encoded images where they lie: in a folder, a zip or a tar. Nothing is ever unpacked to disk.

A container lists its image names in natural order (``2.jpg`` before ``10.jpg``) and hands out members: small picklable
objects that a worker process can ``read`` by itself. Hidden files, ``__MACOSX`` and files that do not end like an image
are passed over.
"""

from __future__ import annotations

import bz2
import hashlib
import os
import re
import shutil
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Protocol, cast

from facegen.data.decode import Unreadable, suffixes
from facegen.errors import InputError
from facegen.files import sha256_file

_TAR_DAMAGE = (tarfile.TarError, OSError, EOFError, ValueError, zlib.error)

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
    parts = re.split(r"([0-9]+)", name.casefold())
    # Odd parts are digits, even ones text, so parts at one position always compare with their like.
    return [(int(part), part) if at % 2 else part for at, part in enumerate(parts)], name


def printable(name: str) -> str:
    """``name`` with the bytes that are not UTF-8 spelt out, so that it can be written to a text file."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def is_image_name(name: str) -> bool:
    """Whether ``name`` (relative, forward slashes) ends like an image and no part of it is hidden or macOS litter."""
    return name[name.rfind(".") :].lower() in suffixes() and not _LITTER.search(name)


# --- folder ---------------------------------------------------------------------------------------------------------


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


# --- zip ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ZipMember:
    """Where a member lies in its zip, so that a worker reads it without parsing the directory of 200,000 others."""

    name: str
    archive: Path
    offset: int
    method: int
    compressed_size: int
    size: int
    crc: int

    def read(self) -> bytes:
        try:
            with self.archive.open("rb") as file:
                file.seek(self.offset)
                header = file.read(30)
                if len(header) < 30 or header[:4] != b"PK\3\4":
                    raise Unreadable("the zip is damaged where this file begins")
                # The local header repeats name and extra field, of lengths that may differ from the directory's.
                file.seek(sum(struct.unpack("<HH", header[26:30])), os.SEEK_CUR)
                data = self._decompress(file.read(self.compressed_size))
        except (OSError, zlib.error) as problem:
            raise Unreadable(f"cannot be read from the zip ({problem})") from problem
        if len(data) != self.size or zlib.crc32(data) != self.crc:
            raise Unreadable("damaged in the zip (its CRC-32 does not match)")
        return data

    def _decompress(self, data: bytes) -> bytes:
        if self.method == zipfile.ZIP_STORED:
            return data
        if self.method == zipfile.ZIP_DEFLATED:
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, self.size + 1)
        return bz2.BZ2Decompressor().decompress(data, self.size + 1)


class Zip:
    """Images in a zip, read in place."""

    kind = "zip"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._members: dict[str, ZipMember] = {}
        try:
            with zipfile.ZipFile(path) as archive:
                for entry in archive.infolist():
                    self._add(entry)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as problem:
            raise InputError(
                f"{path} is a truncated or damaged zip: {problem}.", "Download or copy it again, whole."
            ) from problem
        except OSError as problem:
            raise InputError(f"Cannot read {path}: {problem.strerror or problem}.") from problem
        self.names = sorted(self._members, key=natural_key)

    def _add(self, entry: zipfile.ZipInfo) -> None:
        name = entry.filename.replace("\\", "/")
        if entry.is_dir() or not is_image_name(name):
            return
        if entry.flag_bits & 0x1:
            raise InputError(f"{self.path} is encrypted ({name}).", "Make a zip without a password.")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
            raise InputError(
                f"{self.path} compresses {name} by a method this cannot read (number {entry.compress_type}).",
                "Make the zip with ordinary deflate compression.",
            )
        self._members[name] = ZipMember(
            name,
            self.path,
            entry.header_offset,
            entry.compress_type,
            entry.compress_size,
            entry.file_size,
            entry.CRC,
        )

    @cached_property
    def identity(self) -> str:
        return sha256_file(self.path)

    def members(self, names: Sequence[str]) -> Iterator[ZipMember]:
        return (self._members[name] for name in names)


# --- tar ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BytesMember:
    """A member already read: a compressed tar can only be read from its beginning on, by one process."""

    name: str
    data: bytes

    def read(self) -> bytes:
        return self.data


class Tar:
    """Images in a tar, plain or compressed, streamed."""

    kind = "tar"

    def __init__(self, path: Path, compression: str) -> None:
        """``compression``: ``""``, ``"gz"``, ``"bz2"`` or ``"xz"``."""
        self.path = path
        self._compression = compression
        self._places: dict[str, tuple[int, int]] = {}
        try:
            with self._archive() as archive:
                while (entry := archive.next()) is not None:
                    archive.members.clear()  # type: ignore[attr-defined]  # tarfile would keep them all
                    name = printable(entry.name.removeprefix("./"))
                    if entry.isreg() and not entry.issparse() and is_image_name(name):
                        self._places[name] = (entry.offset_data, entry.size)
                # tarfile takes a cut or damaged header for the end; the true end is a block of zeros, or none.
                stream = cast(IO[bytes], archive.fileobj)
                stream.seek(archive.offset)
                if stream.read(tarfile.BLOCKSIZE) not in (b"", bytes(tarfile.BLOCKSIZE)):
                    raise tarfile.ReadError("it is cut short or damaged in the middle")
        except _TAR_DAMAGE as problem:
            raise self._damaged(problem) from problem
        self.names = sorted(self._places, key=natural_key)

    def _archive(self) -> tarfile.TarFile:
        return tarfile.open(self.path, f"r:{self._compression}")  # type: ignore[call-overload]

    def _damaged(self, problem: BaseException) -> InputError:
        return InputError(
            f"{self.path} is not a whole tar archive: {problem or type(problem).__name__}.",
            "Download or copy it again, whole.",
        )

    @cached_property
    def identity(self) -> str:
        return sha256_file(self.path)

    def members(self, names: Sequence[str]) -> Iterator[BytesMember]:
        with self._archive() as archive, tempfile.TemporaryFile() as spool:
            stream = cast(IO[bytes], archive.fileobj)
            offsets = [self._places[name][0] for name in names]
            if self._compression and offsets != sorted(offsets):
                # Each step back in a compressed stream starts it anew: go through it once, to a nameless file.
                self._spool(stream, spool)
                stream = spool
            for name in names:
                yield BytesMember(name, self._read(stream, *self._places[name]))

    def _spool(self, stream: IO[bytes], spool: IO[bytes]) -> None:
        stream.seek(0)
        shutil.copyfileobj(stream, spool, 1 << 20)

    def _read(self, stream: IO[bytes], offset: int, size: int) -> bytes:
        try:
            stream.seek(offset)
            data = stream.read(size)
        except _TAR_DAMAGE as problem:
            raise self._damaged(problem) from problem
        if len(data) != size:
            raise self._damaged(EOFError("it ends early"))
        return data
