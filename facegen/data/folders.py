"""Images in a folder and its subfolders."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from facegen.data.decode import Unreadable
from facegen.data.image_names import is_image_name, natural_key, printable
from facegen.data.passed_over import PassedOver
from facegen.errors import InputError


@dataclass(frozen=True)
class FileMember:
    name: str
    path: Path

    def read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as problem:
            raise Unreadable(f"cannot be read ({problem.strerror})") from problem


class Folder:
    """Images under a folder, nested ones too. ``within`` keeps to one subfolder, which stays part of the names."""

    kind = "folder"

    def __init__(self, path: Path, within: str = "") -> None:
        self.path = path
        self.passed_over = PassedOver()
        self._real_names = {printable(name): name for name in self._walk(within)}
        self.names = sorted(self._real_names, key=natural_key)

    def _walk(self, within: str) -> Iterator[str]:
        def give_up(problem: OSError) -> None:
            raise InputError(f"Cannot read the folder {problem.filename}: {problem.strerror}.") from problem

        for folder, inner, files in os.walk(self.path / within, onerror=give_up):
            inner[:] = [name for name in inner if not name.startswith(".") and name != "__MACOSX"]
            prefix = Path(folder).relative_to(self.path).as_posix()
            prefix = "" if prefix == "." else prefix + "/"
            yield from (prefix + name for name in files if is_image_name(name))

    @cached_property
    def identity(self) -> str:
        """Of the names, sizes and modification times: reading every byte would cost as much as preparing them."""
        digest = hashlib.sha256()
        for name in self.names:
            try:
                status = self._file(name).stat()
                state = f"{status.st_size}\0{status.st_mtime_ns}"
            except OSError:  # a dangling link, say: unreadable when its turn comes
                state = "unreadable"
            digest.update(f"{name}\0{state}\0".encode())
        return digest.hexdigest()

    def _file(self, name: str) -> Path:
        return self.path / self._real_names[name]

    def members(self, names: Sequence[str]) -> Iterator[FileMember]:
        return (FileMember(name, self._file(name)) for name in names)
