"""Reads a gzip file as a stream of bytes that cannot grow past its caps."""

from __future__ import annotations

import zlib
from typing import Protocol

from facegen.file_kinds import HEAD, kind_of
from facegen.language import Message, translate
from facegen.submission.rules import Code, Limits, Rejection, megabytes

_CHUNK = 1 << 16
_GZIP = zlib.MAX_WBITS | 16
_MAGIC = b"\x1f\x8b"
#: Z_MEM_ERROR of zlib.h.
_NO_MEMORY = -4


class Readable(Protocol):
    """A source of bytes, such as an open file."""

    def read(self, size: int, /) -> bytes: ...


class GzipStream:
    """A stream that decompresses a gzip file (RFC 1952, one or many members) piece by piece.

    It takes the memory of a few pieces of 64 KiB, whatever the file holds.

    Raises:
        Rejection: ``empty`` for a file of no bytes; ``not_gzip``; ``too_large`` past ``limits.bytes`` or
            ``limits.gzip_members``; ``damaged`` for a stream that is cut off, a wrong CRC or length, and bytes other
            than zeros after the last member.
    """

    def __init__(self, file: Readable, limits: Limits) -> None:
        self._file, self._limits = file, limits
        self._raw = file.read(_CHUNK)
        self._ready = b""
        self._total, self._members = 0, 1
        if not self._raw:
            raise Rejection(Code.EMPTY, translate("The file has no bytes."), limits)
        if not self._raw.startswith(_MAGIC):
            raise Rejection(Code.NOT_GZIP, _not_gzip(self._raw))
        self._member: zlib._Decompress | None = zlib.decompressobj(_GZIP)

    def read(self, size: int) -> bytes:
        """Return the next ``size`` bytes, or fewer at the end of the stream."""
        pieces, wanted = [], size
        while wanted and (self._ready or self._decompress()):
            piece, self._ready = self._ready[:wanted], self._ready[wanted:]
            pieces.append(piece)
            wanted -= len(piece)
        return b"".join(pieces)

    def _decompress(self) -> bool:
        """Fill ``_ready``. Return False at the end of the stream, which is then checked to its last byte."""
        while self._member is not None:
            if not self._raw:
                self._raw = self._file.read(_CHUNK)
            ended = not self._raw
            try:
                self._ready = self._member.decompress(self._raw, _CHUNK)
            except zlib.error as problem:
                require_memory(problem)
                message = translate("The compressed data is corrupt ({problem}).", problem=str(problem))
                raise Rejection(Code.DAMAGED, message) from problem
            if self._member.eof:
                self._raw = self._member.unused_data
                self._member = zlib.decompressobj(_GZIP) if self._another_member() else None
            else:
                self._raw = self._member.unconsumed_tail
                if ended and not self._ready:
                    message = translate("The file ends in the middle of its compressed data.")
                    raise Rejection(Code.DAMAGED, message)
            self._total += len(self._ready)
            if self._total > self._limits.bytes:
                message = translate("It decompresses to more than {most}.", most=megabytes(self._limits.bytes))
                raise Rejection(Code.TOO_LARGE, message, self._limits)
            if self._ready:
                return True
        return False

    def _another_member(self) -> bool:
        """Return whether a gzip member follows.

        Zeros are read to the end: tape drives and some tools append them.
        """
        while len(self._raw) < 2 and (more := self._file.read(_CHUNK)):
            self._raw += more
        if self._raw.startswith(_MAGIC):
            self._members += 1
            if self._members > self._limits.gzip_members:
                message = translate("It is compressed in more than {most:,} parts.", most=self._limits.gzip_members)
                raise Rejection(Code.TOO_LARGE, message, self._limits)
            return True
        while self._raw:
            if self._raw.strip(b"\0"):
                message = translate("There is other data after the end of the compressed data.")
                raise Rejection(Code.DAMAGED, message)
            self._raw = self._file.read(_CHUNK)
        return False


def require_memory(problem: zlib.error) -> None:
    """Raise MemoryError if zlib failed for lack of memory. The bytes are not at fault then."""
    if str(problem).startswith(f"Error {_NO_MEMORY} "):
        raise MemoryError(str(problem)) from problem


def _not_gzip(start: bytes) -> Message:
    kind = kind_of(start[:HEAD])
    if kind is None:
        return translate("The file is not gzip-compressed.")
    return translate("The file is not gzip-compressed: it is {kind}.", kind=translate(kind.name))
