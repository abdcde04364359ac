"""Check the global heaps of an HDF5 file before the library reads them. They hold values of variable length.

The library walks through a heap object by object. If an object's length is zero or reaches beyond the heap, the library
loops for ever, in C code that no signal interrupts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from facegen.files import Damaged

#: The first bytes of a heap: its signature and its version.
_MAGIC = b"GCOL\1\0\0\0"
_PIECE = 1 << 20


def require_sound_heaps(file: IO[bytes], length_bytes: int) -> None:
    """Raise Damaged unless the objects of each heap follow each other to the heap's end.

    Args:
        file: The HDF5 file, open for reading. It is read once.
        length_bytes: Number of bytes per length in this file, as its superblock says.
    """
    header = _aligned(8 + length_bytes)
    for begin in _heaps(file):
        file.seek(begin + 8)
        size = int.from_bytes(file.read(length_bytes), "little")
        at = header
        while at + header <= size:
            file.seek(begin + at)
            head = file.read(header)
            if len(head) < header:  # The heap is cut off, which the library reports.
                break
            length = int.from_bytes(head[8 : 8 + length_bytes], "little")
            # Object 0 is the free space; its length includes its header.
            step = header + _aligned(length) if head[:2] != b"\0\0" else length
            if step < header or at + step > size:
                raise Damaged(f"the heap of {size:,} bytes at byte {begin:,} has an object of {length:,} bytes")
            at += step


def _heaps(file: IO[bytes]) -> Iterator[int]:
    """Yield the offsets of heaps. The caller may move the file between two of them."""
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
