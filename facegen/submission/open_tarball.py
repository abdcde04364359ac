"""A submission's file, opened once, so that what is hashed is what is read.

Between two openings another file may take a name. And a file that is open may still be written to.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from facegen.errors import InputError
from facegen.files import NoRegularFile, open_regular
from facegen.submission.rules import Code, Limits, Rejection, megabytes

_CHUNK = 1 << 20


class OpenTarball:
    """An open file that is hashed twice: before anything is read of it, and again as it is read.

    ``sha256``, 64 hex digits, is that of the first time. :meth:`require_unchanged` tells whether it is that of the
    second: nothing that was read stands under another file's hash.
    """

    def __init__(self, file: IO[bytes], path: Path, limits: Limits) -> None:
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
        opened = open_regular(path)
    except NoRegularFile as problem:
        raise Rejection(Code.NOT_GZIP, "It is not a file.") from problem
    except FileNotFoundError as problem:
        what = "is a link that leads nowhere" if path.is_symlink() else "is not there any more"
        raise InputError(f"{path} {what}.", "Put the file there, or remove the link, and run it again.") from problem
    with opened as file:
        if os.fstat(file.fileno()).st_size > limits.compressed_bytes:
            raise Rejection(Code.TOO_LARGE, f"The file is larger than {megabytes(limits.compressed_bytes)}.", limits)
        yield OpenTarball(file, path, limits)
