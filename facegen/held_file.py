"""A file that is opened once, so that its hash and its content belong together even if it is replaced meanwhile."""

from __future__ import annotations

import os
import weakref
from pathlib import Path

from facegen.files import Damaged, open_regular, sha256_of


class HeldFile:
    """A regular file that stays open as long as this object lives.

    If a path is hashed and then read, and another file is renamed onto it in between, the hash and the content belong
    to two files. Anything stored under that hash would then be wrong for good.

    Args:
        path: A regular file, or a link to one.

    Attributes:
        path: The path as it was given.
        file: The open file, for readers of formats. It is closed with this object.

    Raises:
        OSError: The file cannot be opened, or is not a regular file. A pipe or a device may have no end.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = open_regular(path)
        weakref.finalize(self, self.file.close)  # when the last reader drops this object
        self._opened = os.fstat(self.file.fileno())

    @property
    def size(self) -> int:
        """The file's length in bytes, when it was opened."""
        return self._opened.st_size

    def read(self) -> bytes:
        """Read the whole content."""
        self.file.seek(0)
        return self.file.read()

    def sha256(self) -> str:
        """Return the sha256 of the content, as 64 hex digits.

        Raises:
            Damaged: The file was written to since it was opened.
        """
        self.file.seek(0)
        sha256 = sha256_of(self.file)
        self.file.seek(0)
        self.require_unchanged()
        return sha256

    def require_unchanged(self) -> None:
        """Raise Damaged if the file was written to since it was opened."""
        now = os.fstat(self.file.fileno())
        if (now.st_size, now.st_mtime_ns) != (self._opened.st_size, self._opened.st_mtime_ns):
            raise Damaged("it changed while it was read")
