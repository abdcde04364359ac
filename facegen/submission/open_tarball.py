"""Opens a submission's file once, so that the bytes that are hashed are the bytes that are read.

If the file were opened twice, another file could take its name in between. Even an open file may still be written to.
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
from facegen.language import translate
from facegen.submission.rules import Code, Limits, Rejection, megabytes

_CHUNK = 1 << 20


class UnreadableTarball(InputError):
    """The error of a file that cannot be read to its end, or that changes meanwhile.

    Nothing is known about the submission then. Others can still be read.
    """


class OpenTarball:
    """An open file that is hashed twice: before it is read, and again while it is read.

    :meth:`require_unchanged` compares the two hashes, so that no result is kept under the hash of another file.

    Attributes:
        sha256: The first hash, 64 hex digits.
    """

    def __init__(self, file: IO[bytes], path: Path, limits: Limits) -> None:
        self._file, self._path, self._largest = file, path, limits.compressed_bytes
        self._begin()
        self._to_the_end()
        self.sha256 = self._digest.hexdigest()
        self._begin()

    def read(self, size: int) -> bytes:
        """Return the next ``size`` bytes of the file, or fewer at its end.

        Raises:
            UnreadableTarball: The bytes cannot be read, or the file has grown past ``limits.compressed_bytes``.
            OSError: The machine lacks something. The file is not at fault.
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
        """Read the rest of the file, and raise UnreadableTarball unless all bytes are those that were hashed before."""
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
            translate("{path} changed while it was read.", path=str(self._path)),
            translate("Run it again when the file is complete."),
        )


@contextmanager
def open_tarball(path: Path, limits: Limits) -> Iterator[OpenTarball]:
    """Open the file at ``path`` once, and close it at the end of the ``with`` block.

    Args:
        path: The path of the file. Links are followed.
        limits: The limits that say how large it may be.

    Raises:
        Rejection: ``not_gzip`` for a folder, a named pipe, a socket or a device, none of which is opened;
            ``too_large``. Where generators are asked for, the codes are ``not_generator`` and ``generator_too_large``.
        UnreadableTarball: There is no file, it cannot be opened or read, or it changes meanwhile.
        OSError: The machine lacks something. The file is not at fault.
    """
    try:
        opened = open_regular(path)
    except NoRegularFile as problem:
        code = Code.NOT_GENERATOR if limits.asks_for_generator else Code.NOT_GZIP
        raise Rejection(code, translate("It is not a file."), limits) from problem
    except FileNotFoundError as problem:
        if path.is_symlink():
            message = translate("{path} is a link that leads nowhere.", path=str(path))
        else:
            message = translate("{path} is not there any more.", path=str(path))
        remedy = translate("Put the file there, or remove the link, and run it again.")
        raise UnreadableTarball(message, remedy) from problem
    except OSError as problem:
        raise _unreadable(path, problem) from problem
    with opened as file:
        if os.fstat(file.fileno()).st_size > limits.compressed_bytes:
            code = Code.GENERATOR_TOO_LARGE if limits.asks_for_generator else Code.TOO_LARGE
            message = translate("The file is larger than {most}.", most=megabytes(limits.compressed_bytes))
            raise Rejection(code, message, limits)
        yield OpenTarball(file, path, limits)


def _unreadable(path: Path, problem: OSError) -> UnreadableTarball:
    """Return the error of a file that the system does not read; raise ``problem`` itself if the machine is at fault."""
    if problem.errno in OF_THE_MACHINE:
        raise problem
    why = problem.strerror or in_words(problem)
    return UnreadableTarball(
        translate("Cannot read {path}: {problem}.", path=str(path), problem=why),
        translate("Make the file readable, and run it again."),
    )
