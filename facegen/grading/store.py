"""Pieces of results in a folder, each under a hash of all that it depends on: what is there is never made twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facegen.files import atomic_path, read_arrays, read_sealed_json, write_sealed_json, writing_told

Arrays = Mapping[str, npt.NDArray[Any]]
_FIELDS = "fields"


@dataclass(frozen=True)
class Store:
    """A folder of pieces: arrays with fields in an ``.npz``, or fields alone in a ``.json``.

    Attributes:
        folder: where they are.
        force: find nothing, so that everything is made again.
    """

    folder: Path
    force: bool = False

    def path(self, kind: str, *depends_on: str) -> Path:
        """Where a piece of that kind is which depends on all of that, but for the suffix."""
        return self.folder / f"{kind}-{hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()[:40]}"

    def arrays(self, path: Path) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]] | None:
        """The arrays and fields of a piece; None where there is nothing whole: it is only a cache, and is made again.

        Another user's may not be readable, and can be replaced all the same.
        """
        path = path.with_suffix(".npz")
        if self.force or not path.is_file():
            return None
        try:
            arrays: dict[str, npt.NDArray[Any]] = read_arrays(path)
            return arrays, json.loads(arrays.pop(_FIELDS).tobytes())
        except (OSError, ValueError, KeyError):
            return None

    def keep_arrays(self, path: Path, arrays: Arrays, fields: Mapping[str, Any], file: str) -> None:
        """Keep a piece of the submission ``file``. EnvironmentProblem, which names it, where that cannot be written."""
        text = np.frombuffer(json.dumps(fields).encode(), dtype=np.uint8)
        with self._told(file), atomic_path(path.with_suffix(".npz")) as temporary, temporary.open("wb") as opened:
            pieces: dict[str, Any] = {**arrays, _FIELDS: text}
            np.savez(opened, **pieces)

    def fields(self, path: Path) -> dict[str, Any] | None:
        """The fields of a piece without arrays; None likewise."""
        path = path.with_suffix(".json")
        if self.force or not path.is_file():
            return None
        try:
            return read_sealed_json(path)
        except (OSError, ValueError):
            return None

    def keep_fields(self, path: Path, fields: Mapping[str, Any], file: str) -> None:
        """Keep a piece without arrays, as :meth:`keep_arrays`."""
        with self._told(file):
            write_sealed_json(path.with_suffix(".json"), fields)

    def _told(self, file: str) -> AbstractContextManager[None]:
        # A run that went on would lose what it grades when it is interrupted, and fail hours later, at the leaderboard.
        return writing_told(
            f"Cannot keep the result of {file} in {self.folder}",
            "Make room there, or let it be written to, and run it again, to go on there; or name another --out.",
        )
