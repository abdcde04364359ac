"""Images at their native size from anything a command accepts: a folder, an archive or a prepared dataset."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from facegen.data.containers import Container
from facegen.data.dataset import FaceDataset, is_dataset
from facegen.data.decode import Unreadable, decode
from facegen.data.sources import open_container
from facegen.errors import InputError


@dataclass(frozen=True)
class ImageCollection:
    """Named images in natural order of their names, decoded as they are asked for.

    Attributes:
        path: the folder or archive they come from.
        kind: ``"folder"``, ``"zip"``, ``"tar"`` or ``"dataset"``.
    """

    path: Path
    kind: str
    _content: Container | FaceDataset

    def __len__(self) -> int:
        return len(self._content.names)

    def __iter__(self) -> Iterator[tuple[str, npt.NDArray[np.uint8]]]:
        """Yield (name, uint8 [H, W, 3] RGB); memory stays constant. InputError names an image that is unreadable."""
        if isinstance(self._content, FaceDataset):
            # A dataset keeps the order in which it was prepared, which is natural order already.
            yield from zip(self._content.names, map(np.array, self._content.images), strict=True)
            return
        for member in self._content.members(self._content.names):
            try:
                yield member.name, np.array(decode(member.read()).image)
            except Unreadable as problem:
                raise InputError(f"Cannot read the image {member.name} in {self.path}: {problem.reason}.") from problem

    @cached_property
    def sha256(self) -> str:
        """Content hash: a dataset's own, an archive file's, or over a folder's sorted names and bytes."""
        if isinstance(self._content, FaceDataset):
            return self._content.sha256
        if self.kind != "folder":
            return self._content.identity
        digest = hashlib.sha256()
        for member in self._content.members(self._content.names):
            try:
                data = member.read()
            except Unreadable as problem:
                raise InputError(f"Cannot read the image {member.name} in {self.path}: {problem.reason}.") from problem
            # Lengths first, so that no two folders run together to the same bytes.
            name = member.name.encode()
            digest.update(len(name).to_bytes(8, "big") + name + len(data).to_bytes(8, "big") + data)
        return digest.hexdigest()


def open_images(path: Path) -> ImageCollection:
    """Open the images at ``path``; InputError when it is absent, empty or without an image, saying what was sought."""
    if is_dataset(path):
        dataset = FaceDataset.open(path)
        if not len(dataset):
            raise InputError(f"The dataset {path} holds no image.")
        return ImageCollection(path, "dataset", dataset)
    container = open_container(path)
    return ImageCollection(path, container.kind, container)
