"""The contents of a compressed file, read to the very end of the file.

Python's own ``bz2`` and ``lzma`` silently stop where something else follows, and ``gzip`` reports a file that is not
gzip. Here, a further stream continues the one before it, as in ``cat a.tar.gz b.tar.gz``. Anything else that follows is
an error.
"""

from __future__ import annotations

import bz2
import io
import lzma
import os
import zlib
from pathlib import Path
from typing import Protocol

from facegen.data.caps import require_proportion
from facegen.files import open_regular

_CHUNK = 1 << 17
#: Number of last bytes to keep for a step back: as far as a buffered reader with look-ahead goes.
_KEPT = 1 << 19


class TrailingDataError(Exception):
    """Other data follow after the end of the archive. The message says where."""


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gunzip:
    """A gzip decompressor with the interface of the ``bz2`` and ``lzma`` ones. It checks gzip's CRC and length."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(zlib.MAX_WBITS | 16)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


def _decompressor(compression: str) -> _Decompressor:
    if compression == "gz":
        return _Gunzip()
    return bz2.BZ2Decompressor() if compression == "bz2" else lzma.LZMADecompressor()


#: The first bytes of a stream of each compression.
MAGIC = {"gz": b"\x1f\x8b", "bz2": b"BZh", "xz": b"\xfd7zXZ\0"}


class Decompressed(io.RawIOBase):
    """The decompressed contents of a gzip, bzip2 or xz file of one or more streams.

    A long step back restarts from the beginning of the file.

    Reading raises EOFError if the file ends early, :class:`TrailingDataError` if data other than zeros follow the last
    stream, the errors of zlib, ``bz2`` and ``lzma`` if the file is damaged, and InputError for a decompression bomb.
    """

    def __init__(self, path: Path, compression: str) -> None:
        """Open the file at ``path``.

        Args:
            compression: ``"gz"``, ``"bz2"`` or ``"xz"``.
        """
        self._path, self._file = path, open_regular(path)
        self._held = path.stat().st_size
        self._compression = compression
        self._start()

    def _start(self) -> None:
        self._file.seek(0)
        self._unpacked = 0
        self._kept, self._again = b"", 0  # The last bytes, and how many of them to read again.
        self._raw = b""
        self._stream: _Decompressor | None = _decompressor(self._compression)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._unpacked - self._again

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to ``offset``, or to the end if that comes first. ``whence`` must be the start or the current position."""
        if whence == os.SEEK_CUR:
            offset += self.tell()
        elif whence != os.SEEK_SET:
            raise io.UnsupportedOperation("the end of a compressed file is not known")
        if self._unpacked - len(self._kept) <= offset < self._unpacked:
            self._again = self._unpacked - offset
        elif offset < self._unpacked:
            self._start()
        else:
            self._again = 0
        while self.tell() < offset and self._read(min(_CHUNK, offset - self.tell())):
            pass
        return self.tell()

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # typeshed's has no 3.10 name
        data = self._read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _read(self, most: int) -> bytes:
        """Return the next bytes, or none once the end of the file has been reached."""
        if self._again:
            begin = len(self._kept) - self._again
            data = self._kept[begin : begin + most]
            self._again -= len(data)
            return data
        data = self._unpack(most)
        self._unpacked += len(data)
        self._kept = (self._kept + data)[-_KEPT:]
        require_proportion(str(self._path), self._unpacked, self._held)
        return data

    def _unpack(self, most: int) -> bytes:
        while self._stream is not None:
            ended = False
            if self._stream.needs_input and not self._raw:
                self._raw = self._file.read(_CHUNK)
                ended = not self._raw
            data = self._stream.decompress(self._raw, most)
            self._raw = b""
            if self._stream.eof:
                self._raw = self._stream.unused_data
                self._stream = self._next_stream()
            elif ended and not data:
                raise EOFError("it ends early")
            if data:
                return data
        return b""

    def _next_stream(self) -> _Decompressor | None:
        """Return a decompressor for the next stream, or None at the end of the file. Zeros are skipped."""
        magic = MAGIC[self._compression]
        while True:
            self._raw = self._raw.lstrip(b"\0")
            if len(self._raw) < len(magic):
                more = self._file.read(_CHUNK)
                self._raw += more
                if more:
                    continue
            if not self._raw:
                return None
            if self._raw.startswith(magic):
                return _decompressor(self._compression)
            place = self._file.tell() - len(self._raw)
            raise TrailingDataError(f"other data follow the compressed data from byte {place:,} of the file")

    def close(self) -> None:
        self._file.close()
        super().close()
