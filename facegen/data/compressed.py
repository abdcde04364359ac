"""The content of a compressed file, read to the file's very end.

Python's own ``bz2`` and ``lzma`` files end in silence where something else follows, and ``gzip`` then says that it is
no gzip file. Here a further stream goes on where the one before it ended (as in ``cat a.tar.gz b.tar.gz``), and
anything else is told.
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
#: So many of the last bytes are kept, for a step back: as far as a buffered reader, and who looks ahead in it, go.
_KEPT = 1 << 19


class TrailingDataError(Exception):
    """After the end of the archive other data follow; the message says where."""


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gunzip:
    """zlib's decompressor as ``bz2`` and ``lzma`` have theirs; it checks gzip's CRC and length."""

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


#: How a stream of each compression begins.
MAGIC = {"gz": b"\x1f\x8b", "bz2": b"BZh", "xz": b"\xfd7zXZ\0"}


class Decompressed(io.RawIOBase):
    """What a gzip, bzip2 or xz file holds, of one stream or several; a long step back starts anew from its beginning.

    Reading raises EOFError where the file ends early, :class:`TrailingDataError` where other data than zeros follow its
    last stream, what zlib, ``bz2`` and ``lzma`` raise for damage, and InputError for a decompression bomb.
    """

    def __init__(self, path: Path, compression: str) -> None:
        """``compression``: ``"gz"``, ``"bz2"`` or ``"xz"``."""
        self._path, self._file = path, open_regular(path)
        self._held = path.stat().st_size
        self._compression = compression
        self._start()

    def _start(self) -> None:
        self._file.seek(0)
        self._unpacked = 0
        self._kept, self._again = b"", 0  # the last bytes, and how many of them are to be read again
        self._raw = b""
        self._stream: _Decompressor | None = _decompressor(self._compression)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._unpacked - self._again

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to ``offset``, or to the end where that comes first. Only from the beginning or from here."""
        if whence == os.SEEK_CUR:
            offset += self.tell()
        elif whence != os.SEEK_SET:
            raise io.UnsupportedOperation("a compressed file's end is not known")
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
        """The next bytes; none at the end, which has then been seen."""
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
        """A decompressor for the stream that follows; None at the file's end. Zeros between and after are padding."""
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
            raise TrailingDataError(f"from byte {place:,} of the file on other data follow the compressed ones")

    def close(self) -> None:
        self._file.close()
        super().close()
