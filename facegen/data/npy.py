"""Read the header of an ``.npy`` file without its array and without any pickle."""

from __future__ import annotations

import io
from dataclasses import dataclass
from tokenize import TokenError
from typing import IO, Any

import numpy as np

#: Maximum length of a header, in bytes. NumPy itself calls longer ones unsafe.
_LONGEST = 10_000


@dataclass(frozen=True)
class NpyHeader:
    """The header of an ``.npy`` file.

    Attributes:
        shape: The shape of the array.
        fortran: Whether the array is stored column by column.
        dtype: The type of its elements. ``dtype.hasobject`` is true if they are pickled.
        length: Length of the header in bytes. The array begins behind it.
    """

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    length: int


def read_npy_header(file: IO[bytes]) -> NpyHeader:
    """Read the header at the start of ``file``, and nothing behind it.

    Raises:
        ValueError: There is no header, or it is damaged.
    """
    try:
        version = np.lib.format.read_magic(file)
        first = version == (1, 0)
        size = file.read(2 if first else 4)
        # NumPy would read as many bytes as the header claims before it checks anything.
        length = int.from_bytes(size, "little")
        if length > _LONGEST:
            raise ValueError(f"its header claims {length:,} bytes")
        read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(io.BytesIO(size + file.read(length)))
    # Raised for a literal that is cut off or deeply nested, and for a type that does not exist.
    except (EOFError, RecursionError, MemoryError, SyntaxError, TokenError, TypeError) as problem:
        raise ValueError(str(problem)) from problem
    if not all(type(side) is int and 0 <= side < 1 << 62 for side in shape):  # NumPy accepts True for 1.
        raise ValueError(f"its header claims the shape {list(shape)}")
    if dtype.itemsize == 0:  # NumPy divides by it, which kills the process.
        raise ValueError(f"its header claims elements of no bytes, {dtype}")
    return NpyHeader(tuple(shape), fortran, dtype, file.tell())
