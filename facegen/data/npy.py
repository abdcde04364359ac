"""What an ``.npy`` file says of its array before it begins: read without the array, and without any pickle."""

from __future__ import annotations

import io
from dataclasses import dataclass
from tokenize import TokenError
from typing import IO, Any

import numpy as np

#: NumPy itself takes no longer one for safe.
_LONGEST = 10_000


@dataclass(frozen=True)
class NpyHeader:
    """The header of an ``.npy`` file.

    Attributes:
        shape: of the array.
        fortran: whether it is stored column by column.
        dtype: of its elements; ``dtype.hasobject`` where they are pickled.
        length: of the header in bytes: the array begins behind it.
    """

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    length: int


def read_npy_header(file: IO[bytes]) -> NpyHeader:
    """Read the header at the start of ``file``, and no further. ValueError where there is none, or a damaged one."""
    try:
        version = np.lib.format.read_magic(file)
        first = version == (1, 0)
        size = file.read(2 if first else 4)
        # NumPy reads as much as the header claims before it looks at it.
        length = int.from_bytes(size, "little")
        if length > _LONGEST:
            raise ValueError(f"its header claims {length:,} bytes")
        read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(io.BytesIO(size + file.read(length)))
    # Of a literal that is cut off or nested deep, and of a type that is none.
    except (EOFError, RecursionError, MemoryError, SyntaxError, TokenError, TypeError) as problem:
        raise ValueError(str(problem)) from problem
    if not all(type(side) is int and 0 <= side < 1 << 62 for side in shape):  # NumPy takes True for one
        raise ValueError(f"its header claims the shape {list(shape)}")
    if dtype.itemsize == 0:  # NumPy divides by it, which ends the process
        raise ValueError(f"its header claims elements of no bytes, {dtype}")
    return NpyHeader(tuple(shape), fortran, dtype, file.tell())
