"""A folder of results. Each is stored under a hash of everything it depends on, so it is never computed twice."""

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
    """A folder of pieces of results: arrays with fields in an ``.npz``, or fields alone in a ``.json``.

    Attributes:
        folder: The folder of the pieces.
        force: Whether to find nothing, so that everything is computed again.
    """

    folder: Path
    force: bool = False

    def path(self, kind: str, *depends_on: str) -> Path:
        """Return the path, without the suffix, of the piece of this kind that depends on these texts."""
        return self.folder / f"{kind}-{hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()[:40]}"

    def arrays(self, path: Path) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]] | None:
        """Return the arrays and fields of a piece; None if it is missing or damaged, so that it is computed again.

        A piece that belongs to another user may be unreadable. It can be replaced all the same.
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
        """Keep a piece of the submission ``file``; raise EnvironmentProblem if it cannot be written."""
        text = np.frombuffer(json.dumps(fields).encode(), dtype=np.uint8)
        with self._told(file), atomic_path(path.with_suffix(".npz")) as temporary, temporary.open("wb") as opened:
            pieces: dict[str, Any] = {**arrays, _FIELDS: text}
            np.savez(opened, **pieces)

    def fields(self, path: Path) -> dict[str, Any] | None:
        """Return the fields of a piece without arrays; None if it is missing or damaged."""
        path = path.with_suffix(".json")
        if self.force or not path.is_file():
            return None
        try:
            return read_sealed_json(path)
        except (OSError, ValueError):
            return None

    def keep_fields(self, path: Path, fields: Mapping[str, Any], file: str) -> None:
        """Keep a piece of the submission ``file`` without arrays; raise EnvironmentProblem if it cannot be written."""
        with self._told(file):
            write_sealed_json(path.with_suffix(".json"), fields)

    def _told(self, file: str) -> AbstractContextManager[None]:
        # If the run went on, an interruption would lose its results, or it would fail hours later at the leaderboard.
        return writing_told(
            f"Cannot write the result of {file} to {self.folder}",
            "Free some space or make the folder writable, and run the command again to continue. Or use another --out.",
        )
