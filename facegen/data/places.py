"""Ranges of bytes within a file. What lies in an archive is opened as if it were a file of its own."""

from __future__ import annotations

import io
import os
import shutil
import stat
import tempfile
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from facegen.errors import EnvironmentProblem, InputError
from facegen.file_kinds import DOWNLOAD_AGAIN
from facegen.files import Openable, open_regular
from facegen.printable import printable

_PIECE = 1 << 20


class _InArchive:
    """A member of the archive at ``path``, called ``inner`` there, with the attributes of a path."""

    inner: str
    path: Path
    size: int

    def is_dir(self) -> bool:
        return False

    def stat(self) -> os.stat_result:
        """Return only the size, and a mode that lets everyone read."""
        return os.stat_result((stat.S_IFREG | 0o444, 0, 0, 0, 0, 0, self.size, 0, 0, 0))

    @property
    def name(self) -> str:
        return PurePosixPath(self.inner).name

    @property
    def stem(self) -> str:
        return PurePosixPath(self.inner).stem

    def __str__(self) -> str:
        return f"{printable(self.inner)} in {self.path}"


class _Slice(io.RawIOBase):
    """A read-only file of the ``size`` bytes at ``offset`` of another file.

    Several may share that file under a lock.
    """

    def __init__(self, file: IO[bytes], offset: int, size: int, shared: threading.Lock | None = None) -> None:
        super().__init__()
        self._file, self._offset, self._size, self._at = file, offset, size, 0
        self._lock, self._owned = shared or threading.Lock(), shared is None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(0, offset + (0, self._at, self._size)[whence])
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        with self._lock:
            self._file.seek(self._offset + self._at)
            data = self._file.read(max(0, min(len(buffer), self._size - self._at)))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        if self._owned and not self.closed:
            self._file.close()
        super().close()


@dataclass(frozen=True)
class Window(_InArchive):
    """The ``size`` bytes at ``offset`` of an archive. It is small and picklable, so a worker can open it."""

    inner: str
    path: Path
    offset: int
    size: int

    def open(self, mode: str = "rb") -> IO[bytes]:
        return io.BufferedReader(_Slice(open_regular(self.path), self.offset, self.size))

    def check_crc(self, crc: int) -> None:
        """Raise InputError unless the bytes have the CRC-32 ``crc``."""
        if crc32(self) != crc:
            raise InputError(f"{self} is damaged: its CRC-32 does not match.", DOWNLOAD_AGAIN)


class Spooled(_InArchive):
    """Bytes of a compressed archive, written once to an unnamed temporary file of this process."""

    def __init__(self, inner: str, path: Path, source: IO[bytes], size: int) -> None:
        """Write ``size`` bytes of ``source``, the member ``inner`` of ``path``, to the temporary file.

        Raises:
            InputError: ``source`` has fewer bytes.
            EnvironmentProblem: The disk has too little space.
        """
        self.inner, self.path, self.size = inner, path, size
        free = shutil.disk_usage(tempfile.gettempdir()).free
        if free < size:
            raise self._no_space(f"{size / 1e9:.1f} GB, but has only {free / 1e9:.1f} GB free")
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it lasts as long as this object
        self._lock = threading.Lock()
        left = size
        while left and (piece := source.read(min(left, _PIECE))):
            try:
                self._file.write(piece)
            except OSError as problem:
                raise self._no_space(f"more space: {problem.strerror}") from problem
            left -= len(piece)
        if left:
            raise InputError(f"{self} is cut short.", "Download or copy the archive again in full.")

    def _no_space(self, needed: str) -> EnvironmentProblem:
        return EnvironmentProblem(
            f"To read {self}, the temporary folder {tempfile.gettempdir()} needs {needed}.",
            "Free some space, set TMPDIR to another disk, or unpack the outer archive and name the inner one.",
        )

    def open(self, mode: str = "rb") -> IO[bytes]:
        return io.BufferedReader(_Slice(self._file, 0, self.size, self._lock))


def crc32(place: Openable) -> int:
    """Return the CRC-32 of the bytes."""
    crc = 0
    with open_regular(place) as file:
        while piece := file.read(_PIECE):
            crc = zlib.crc32(piece, crc)
    return crc
