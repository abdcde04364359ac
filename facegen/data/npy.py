"""What an ``.npy`` file says of its array before it begins: read without the array, and without any pickle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, Any

import numpy as np


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
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
    except EOFError as problem:
        raise ValueError(str(problem)) from problem
    return NpyHeader(tuple(shape), fortran, dtype, file.tell())
