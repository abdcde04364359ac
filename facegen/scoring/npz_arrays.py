"""The arrays of an ``.npz`` file, read one at a time and limited in size."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facegen.data.caps import FREE_TOTAL, is_out_of_proportion
from facegen.data.npy import NpyHeader, read_npy_header
from facegen.errors import InputError
from facegen.held_file import HeldFile
from facegen.plain_zip import PlainZip

#: Maximum size in bytes of an array beside mean and covariance: names, counts, a mean image.
SMALL = 1 << 26
#: Maximum number of header bytes that are read. NumPy's headers have 128 bytes.
_HEADER = 1 << 14


class NpzArrays(Mapping[str, npt.NDArray[Any]]):
    """The arrays of an ``.npz`` file, each read when it is asked for.

    Images beside mu and sigma may be gigabytes. The file is opened once, so that all arrays come from the same file.

    Args:
        file: The file.

    Raises:
        InputError: The file is not a zip. A damaged array is reported when it is asked for.
    """

    def __init__(self, file: HeldFile) -> None:
        """Open the zip and list its arrays."""
        self._held = file
        self._path = file.path
        try:
            self._zip = PlainZip(file.file)
        except (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile) as problem:
            raise no_npz(self._path, problem) from problem
        self._names = tuple(name.removesuffix(".npy") for name in self._zip.namelist() if name.endswith(".npy"))

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """Return an array of at most 64 MiB.

        Raises:
            KeyError: There is no array with this name.
            InputError: The array is larger, or damaged.
        """
        return self.read(name, SMALL)

    def read(self, name: str, most: int) -> npt.NDArray[Any]:
        """Return an array of at most ``most`` bytes.

        Raises:
            KeyError: There is no array with this name.
            InputError: The array is larger, or claims far more than the file has; or it is damaged, encrypted or
                pickled.
        """
        if name not in self._names:
            raise KeyError(name)
        header = self._header(name)
        claimed = header.dtype.itemsize
        for side in header.shape:  # Python's integers do not overflow
            claimed *= side
        member = self._zip.getinfo(f"{name}.npy")
        if header.dtype.hasobject:
            raise no_npz(self._path, "one of its arrays holds pickled Python objects")
        if claimed > most or is_out_of_proportion(claimed, member.compress_size, FREE_TOTAL):
            raise InputError(
                f"{self._path} claims an array {name} {header.dtype} {list(header.shape)} of {claimed:,} bytes, "
                f"in a file of {self._held.size:,}.",
                "Save the mean and the covariance alone: numpy.savez('stats.npz', mu=mu, sigma=sigma).",
            )
        if member.file_size != header.length + claimed:
            raise no_npz(self._path, f"{name} has {member.file_size:,} bytes, not {header.length + claimed:,}")
        try:
            with self._zip.open(member) as file:
                array: npt.NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
                return array
        except MemoryError:
            raise
        except Exception as problem:  # zlib, zipfile and NumPy raise many kinds of exceptions for damaged files
            raise no_npz(self._path, problem) from problem

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def shape(self, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Return an array's shape and dtype, from its header alone."""
        header = self._header(name)
        return header.shape, header.dtype

    def _header(self, name: str) -> NpyHeader:
        try:
            with self._zip.open(f"{name}.npy") as member:
                return read_npy_header(io.BytesIO(member.read(_HEADER)))
        except MemoryError:
            raise
        except Exception as problem:
            raise no_npz(self._path, problem) from problem


def read_at_most(arrays: Mapping[str, npt.NDArray[Any]], name: str, most: int) -> npt.NDArray[Any]:
    """Return an array of an ``.npz`` of at most ``most`` bytes, or an array that is already in memory."""
    return arrays.read(name, most) if isinstance(arrays, NpzArrays) else arrays[name]


def no_npz(path: Path, problem: object) -> InputError:
    """Return the error for a file that is not an ``.npz`` of plain arrays.

    ``problem`` is the reason, or the exception that was raised.
    """
    words = str(problem).rstrip(".") or type(problem).__name__
    why = "it is cut short and lacks its end" if words == "File is not a zip file" else words
    again = None if isinstance(problem, OSError) else "Save, download or copy it again, whole."
    return InputError(f"{path} is not an .npz file of plain arrays: {why}.", again)
