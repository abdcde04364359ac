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

from facegen.errors import InputError, in_words
from facegen.files import OF_THE_MACHINE, NoRegularFile, open_regular
from facegen.submission.rules import Code, Limits, Rejection, megabytes

_CHUNK = 1 << 20


class UnreadableTarball(InputError):
    """This file cannot be read, or not to its end, or changes meanwhile: nothing is known of it, and others may do."""


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
            UnreadableTarball: they cannot be read, or the file has grown past ``limits.compressed_bytes``.
            OSError: the machine lacks something, whatever the file is.
        """
        try:
            data = self._file.read(size)
        except OSError as problem:
            raise _unreadable(self._path, problem) from problem
        self._digest.update(data)
        self._read += len(data)
        if self._read > self._largest:
            raise self._changed()
        return data

    def require_unchanged(self) -> None:
        """UnreadableTarball unless what was read, and the rest of the file, are what was hashed before."""
        self._to_the_end()
        if self._digest.hexdigest() != self.sha256:
            raise self._changed()

    def _begin(self) -> None:
        self._file.seek(0)
        self._digest, self._read = hashlib.sha256(), 0

    def _to_the_end(self) -> None:
        while self.read(_CHUNK):
            pass

    def _changed(self) -> UnreadableTarball:
        return UnreadableTarball(
            f"{self._path} changed while it was read.", "Run it again when the file is there whole."
        )


@contextmanager
def open_tarball(path: Path, limits: Limits) -> Iterator[OpenTarball]:
    """Open the file at ``path``, once.

    Args:
        path: a file; links to one are followed.
        limits: how large it may be.

    Raises:
        Rejection: ``not_gzip`` for a folder, a named pipe, a socket or a device, which are not opened; ``too_large``.
            Where generators are asked for, ``not_generator`` and ``generator_too_large``.
        UnreadableTarball: there is nothing, it cannot be opened or read, or it changes meanwhile.
        OSError: the machine lacks something, whatever the file is.
    """
    try:
        opened = open_regular(path)
    except NoRegularFile as problem:
        code = Code.NOT_GENERATOR if limits.asks_for_generator else Code.NOT_GZIP
        raise Rejection(code, "It is not a file.", limits) from problem
    except FileNotFoundError as problem:
        what = "is a link that leads nowhere" if path.is_symlink() else "is not there any more"
        raise UnreadableTarball(
            f"{path} {what}.", "Put the file there, or remove the link, and run it again."
        ) from problem
    except OSError as problem:
        raise _unreadable(path, problem) from problem
    with opened as file:
        if os.fstat(file.fileno()).st_size > limits.compressed_bytes:
            code = Code.GENERATOR_TOO_LARGE if limits.asks_for_generator else Code.TOO_LARGE
            raise Rejection(code, f"The file is larger than {megabytes(limits.compressed_bytes)}.", limits)
        yield OpenTarball(file, path, limits)


def _unreadable(path: Path, problem: OSError) -> UnreadableTarball:
    """What to raise for a file that the system does not read; ``problem`` itself where it is not of the file."""
    if problem.errno in OF_THE_MACHINE:
        raise problem
    return UnreadableTarball(
        f"Cannot read {path}: {problem.strerror or in_words(problem)}.", "Let it be read, and run it again."
    )
