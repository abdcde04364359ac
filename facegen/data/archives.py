"""Images in zip and tar archives, read where they lie: nothing is ever unpacked to disk."""

from __future__ import annotations

import bz2
import lzma
import os
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, cast

from facegen.data.damage import require_countable, tar_damage, zip_damage
from facegen.data.decode import Unreadable
from facegen.data.image_names import is_image_name, natural_key, printable
from facegen.errors import EnvironmentProblem, InputError
from facegen.files import sha256_file


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
            require_countable(path)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OSError) as problem:
            raise zip_damage(path, problem) from problem
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
        with self._damage_told(), self._archive() as archive:
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
        self.names = sorted(self._places, key=natural_key)

    def _archive(self) -> tarfile.TarFile:
        return tarfile.open(self.path, f"r:{self._compression}")  # type: ignore[call-overload]

    @contextmanager
    def _damage_told(self) -> Iterator[None]:
        try:
            yield
        except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as problem:
            raise tar_damage(self.path, problem, self._compression) from problem

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
        with self._damage_told():
            stream.seek(0)
        while True:
            with self._damage_told():
                piece = stream.read(1 << 20)
            if not piece:
                return
            try:
                spool.write(piece)
            except OSError as problem:
                raise EnvironmentProblem(
                    f"No room in {tempfile.gettempdir()} to bring {self.path} in order: {problem.strerror}.",
                    "Make room there, or unpack the archive and name the folder.",
                ) from problem

    def _read(self, stream: IO[bytes], offset: int, size: int) -> bytes:
        with self._damage_told():
            stream.seek(offset)
            data = stream.read(size)
            if len(data) != size:
                raise EOFError("it ends early")
        return data
