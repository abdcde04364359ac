"""A submission's file, opened once, so that what is hashed is what is read.

Between two openings another file may take a name. And a file that is open may still be written to.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from facegen.errors import InputError
from facegen.submission.rules import Code, Limits, Rejection, megabytes

_CHUNK = 1 << 20


class OpenTarball:
    """An open file that is hashed twice: before anything is read of it, and again as it is read.

    ``sha256``, 64 hex digits, is that of the first time. :meth:`require_unchanged` tells whether it is that of the
    second: nothing that was read stands under another file's hash.
    """

    def __init__(self, file: BinaryIO, path: Path, limits: Limits) -> None:
        self._file, self._path, self._largest = file, path, limits.compressed_bytes
        self._begin()
        self._to_the_end()
        self.sha256 = self._digest.hexdigest()
        self._begin()

    def read(self, size: int) -> bytes:
        """The next ``size`` bytes of the file; fewer only at its end.

        Raises:
            InputError: the file has grown past ``limits.compressed_bytes``.
            OSError: they cannot be read; it has the file's name.
        """
        try:
            data = self._file.read(size)
        except OSError as problem:
            problem.filename = problem.filename or str(self._path)
            raise
        self._digest.update(data)
        self._read += len(data)
        if self._read > self._largest:
            raise self._changed()
        return data

    def require_unchanged(self) -> None:
        """InputError unless what was read, and the rest of the file, are what was hashed before."""
        self._to_the_end()
        if self._digest.hexdigest() != self.sha256:
            raise self._changed()

    def _begin(self) -> None:
        self._file.seek(0)
        self._digest, self._read = hashlib.sha256(), 0

    def _to_the_end(self) -> None:
        while self.read(_CHUNK):
            pass

    def _changed(self) -> InputError:
        return InputError(f"{self._path} changed while it was read.", "Run it again when the file is there whole.")


@contextmanager
def open_tarball(path: Path, limits: Limits) -> Iterator[OpenTarball]:
    """Open the file at ``path``, once.

    Args:
        path: a file; links to one are followed.
        limits: how large it may be.

    Raises:
        Rejection: ``not_gzip`` for a folder, a named pipe, a socket or a device, which are not opened; ``too_large``.
        InputError: there is nothing, or the file changes meanwhile.
        OSError: it cannot be opened or read.
    """
    try:
        _require_file(path.stat())  # a pipe could block for ever, and a tape rewind
        # Another thing may have taken the name since: a pipe opened so does not block.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        handle = os.open(path, flags)
    except FileNotFoundError as problem:
        what = "is a link that leads nowhere" if path.is_symlink() else "is not there any more"
        raise InputError(f"{path} {what}.", "Put the file there, or remove the link, and run it again.") from problem
    with os.fdopen(handle, "rb") as file:
        state = os.fstat(handle)
        _require_file(state)
        if state.st_size > limits.compressed_bytes:
            raise Rejection(Code.TOO_LARGE, f"The file is larger than {megabytes(limits.compressed_bytes)}.", limits)
        yield OpenTarball(file, path, limits)


def _require_file(state: os.stat_result) -> None:
    if not stat.S_ISREG(state.st_mode):
        raise Rejection(Code.NOT_GZIP, "It is not a file.")
