"""Images in a folder and its subfolders."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from facegen.data.caps import LARGEST_IMAGE
from facegen.data.decode import Unreadable
from facegen.data.image_names import count_twins, is_hidden_image, is_image_name, natural_key, shown_names
from facegen.data.partition import is_partition_name
from facegen.data.passed_over import PassedOver
from facegen.data.walk import State, walk
from facegen.errors import EnvironmentProblem
from facegen.file_kinds import HEAD
from facegen.files import NoRegularFile, open_regular, read_regular

#: Errors of one file. Other errors, such as a disk that is gone, concern all photographs and stop the command.
_OF_ONE_FILE = frozenset({errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG, errno.EFBIG, errno.EIO})


@dataclass(frozen=True)
class FileMember:
    name: str
    path: Path

    def read(self) -> bytes:
        try:
            return read_regular(self.path, LARGEST_IMAGE)
        except OSError as problem:
            leads_nowhere = problem.errno == errno.ENOENT and self.path.is_symlink()
            if leads_nowhere or problem.errno in _OF_ONE_FILE or isinstance(problem, NoRegularFile):
                raise Unreadable(f"cannot be read ({problem.strerror})") from problem
            raise EnvironmentProblem(
                f"Cannot read {self.path}, which existed a moment ago: {problem.strerror or problem}.",
                "Run it again when all photographs are there.",
            ) from problem


class Folder:
    """Images in a folder and its subfolders.

    ``within`` limits the images to one subfolder, which stays part of their names. ``partitions`` lists the paths of
    CelebA's partition files in the folder, relative to it.
    """

    kind = "folder"

    def __init__(self, path: Path, within: str = "") -> None:
        self.path = path
        self.passed_over = PassedOver()
        self.partitions: list[str] = []
        self._real_names = shown_names(self._images(within))
        self.names = sorted(self._real_names, key=natural_key)
        self.passed_over.twins = count_twins(self.names)

    def _images(self, within: str) -> Iterator[str]:
        for found in walk(self.path, within):
            if found.state is State.LITTER:
                if is_hidden_image(found.path) and (self.path / found.path).is_file():
                    self.passed_over.hidden.append(found.path)
                continue
            if found.state is State.LOOP:
                self.passed_over.loops.append(found.path)
            # A link with an image's name that leads nowhere is listed, and reported as unreadable when it is read.
            elif is_image_name(found.path) and found.state is not State.SPECIAL:
                yield found.path
            elif found.state is State.NOWHERE:
                self.passed_over.nowhere.append(f"{found.path} (a link to {self._target(found.path)})")
            elif found.state is State.FILE:
                if is_partition_name(found.path):
                    self.partitions.append(found.path)
                self.passed_over.add(found.path, partial(self.head, found.path))
            elif is_image_name(found.path):
                self.passed_over.special.append(found.path)

    def _target(self, name: str) -> str:
        try:
            return str((self.path / name).readlink())
        except OSError:  # The file is gone by now.
            return "nothing"

    def head(self, name: str) -> bytes:
        """Return the first bytes of a file in the folder, or none if it cannot be read."""
        try:
            with open_regular(self.path / name) as file:
                return file.read(HEAD)
        except OSError:
            return b""

    @cached_property
    def identity(self) -> str:
        """64 hex digits made from the names, sizes and modification times.

        Reading every byte instead would take as long as preparing the images.
        """
        return self._state()

    def is_unchanged(self) -> bool:
        """Return whether the files still have the sizes and times in :attr:`identity`."""
        return self._state() == self.identity

    def _state(self) -> str:
        digest = hashlib.sha256()
        for name in self.names:
            try:
                status = self._file(name).stat()
                state = f"{status.st_size}\0{status.st_mtime_ns}"
            except OSError:  # For example a dangling link, which is reported as unreadable when it is read.
                state = "unreadable"
            digest.update(f"{name}\0{state}\0".encode())
        return digest.hexdigest()

    def _file(self, name: str) -> Path:
        return self.path / self._real_names[name]

    def members(self, names: Sequence[str]) -> Iterator[FileMember]:
        return (FileMember(name, self._file(name)) for name in names)
