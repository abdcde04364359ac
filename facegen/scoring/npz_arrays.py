"""The arrays of an ``.npz``, read one at a time."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facegen.data.npy import read_npy_header
from facegen.errors import InputError


class NpzArrays(Mapping[str, npt.NDArray[Any]]):
    """The arrays of an ``.npz``, each read when it is asked for: images beside mu and sigma may be gigabytes."""

    def __init__(self, path: Path) -> None:
        """InputError where ``path`` is no zip; a damaged array is told when it is asked for."""
        self._path = path
        try:
            with zipfile.ZipFile(path) as file:
                self._names = tuple(name.removesuffix(".npy") for name in file.namelist() if name.endswith(".npy"))
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as problem:
            raise no_npz(path, problem) from problem

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        if name not in self._names:
            raise KeyError(name)
        try:
            with np.load(self._path, allow_pickle=False) as file:
                array: npt.NDArray[Any] = file[name]
                return array
        except Exception as problem:  # zlib, zipfile and NumPy raise whatever they stumble over
            raise no_npz(self._path, problem) from problem

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def shape(self, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """An array's shape and type, by its header alone."""
        try:
            with zipfile.ZipFile(self._path) as file, file.open(f"{name}.npy") as member:
                header = read_npy_header(member)
                return header.shape, header.dtype
        except Exception as problem:
            raise no_npz(self._path, problem) from problem


def no_npz(path: Path, problem: object) -> InputError:
    """What is said of a file that is no ``.npz`` of plain arrays: ``problem`` is the reason, or what was raised."""
    if "allow_pickle" in str(problem):
        return InputError(f"{path} is not an .npz file of plain arrays: an array of it holds pickled Python objects.")
    words = str(problem).rstrip(".") or type(problem).__name__
    why = "it is cut short, for its end is missing" if words == "File is not a zip file" else words
    again = None if isinstance(problem, OSError) else "Save, download or copy it again, whole."
    return InputError(f"{path} is not an .npz file of plain arrays: {why}.", again)
