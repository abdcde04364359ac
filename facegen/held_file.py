"""A file that is opened once: what is hashed is what is read, whatever happens to its name meanwhile."""

from __future__ import annotations

import os
import weakref
from pathlib import Path

from facegen.files import Damaged, open_regular, sha256_of


class HeldFile:
    """A regular file, open for reading as long as this object lives.

    A hash of a path and the contents of the same path are those of two files where one was renamed onto it between:
    whatever is stored under that hash is then of another file, for good.

    Args:
        path: of a regular file, or of a link to one.

    Attributes:
        path: as it was named.
        file: the open file, for the readers of formats. It is closed with this object.

    Raises:
        OSError: it cannot be opened, or is no regular file: a pipe or a device may have no end.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = open_regular(path)
        weakref.finalize(self, self.file.close)  # wherever the last reader lets go of it
        self._opened = os.fstat(self.file.fileno())

    @property
    def size(self) -> int:
        """Its length in bytes, when it was opened."""
        return self._opened.st_size

    def read(self) -> bytes:
        """All of its bytes."""
        self.file.seek(0)
        return self.file.read()

    def sha256(self) -> str:
        """The sha256 of its bytes, as 64 hex digits. Damaged where it was written to since it was opened."""
        self.file.seek(0)
        sha256 = sha256_of(self.file)
        self.file.seek(0)
        self.require_unchanged()
        return sha256

    def require_unchanged(self) -> None:
        """Damaged where the file was written to since it was opened."""
        now = os.fstat(self.file.fileno())
        if (now.st_size, now.st_mtime_ns) != (self._opened.st_size, self._opened.st_mtime_ns):
            raise Damaged("it changed while it was read")
