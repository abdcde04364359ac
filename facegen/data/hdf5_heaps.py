"""The global heaps of an HDF5 file, in which values of any length lie, examined before the library reads them.

The library goes through a heap object by object. Where an object's length is zero or beyond the heap, it goes round for
ever, in C, where no signal ends it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from facegen.files import Damaged

#: How a heap begins: its signature, and its version.
_MAGIC = b"GCOL\1\0\0\0"
_PIECE = 1 << 20


def require_sound_heaps(file: IO[bytes], length_bytes: int) -> None:
    """Damaged where the objects of a heap do not follow each other to its end.

    Args:
        file: the HDF5 file, open for reading; it is read once.
        length_bytes: how many bytes the file's lengths have, as its superblock says.
    """
    header = _aligned(8 + length_bytes)
    for begin in _heaps(file):
        file.seek(begin + 8)
        size = int.from_bytes(file.read(length_bytes), "little")
        at = header
        while at + header <= size:
            file.seek(begin + at)
            head = file.read(header)
            if len(head) < header:  # the heap is cut off: the library says so
                break
            length = int.from_bytes(head[8 : 8 + length_bytes], "little")
            # Object 0 is the free space, whose length includes its header.
            step = header + _aligned(length) if head[:2] != b"\0\0" else length
            if step < header or at + step > size:
                raise Damaged(f"the heap at byte {begin:,} has an object of {length:,} bytes, and is of {size:,}")
            at += step


def _heaps(file: IO[bytes]) -> Iterator[int]:
    """Where heaps begin; the file may be read elsewhere between two of them."""
    begin, tail = 0, b""
    while True:
        file.seek(begin + len(tail))
        piece = file.read(_PIECE)
        if not piece:
            return
        data = tail + piece
        at = data.find(_MAGIC)
        while at >= 0:
            yield begin + at
            at = data.find(_MAGIC, at + 1)
        begin, tail = begin + len(data) - len(_MAGIC) + 1, data[-len(_MAGIC) + 1 :]


def _aligned(length: int) -> int:
    return -(-length // 8) * 8
