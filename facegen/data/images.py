"""Images at their native size from anything a command accepts: a folder, an archive or a prepared dataset."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from facegen.data.caps import PixelCount
from facegen.data.containers import Container
from facegen.data.dataset import FaceDataset, is_dataset
from facegen.data.decode import Unreadable, decode
from facegen.data.opening import open_container
from facegen.data.origin import Origin, origin_of
from facegen.data.passed_over import PassedOver
from facegen.data.pixels import PixelArray
from facegen.data.rgb import pytorch_fid_rgb
from facegen.errors import InputError

_REPAIR = "Repair the image, or remove it."


class Picture(NamedTuple):
    """An image with its name, its pixels and what the file says of its origin.

    ``pixels`` are uint8 [H, W, 3] RGB as pytorch-fid sees them. ``notes`` say what the conversion to RGB lost; they are
    constants of :mod:`facegen.data.rgb`, whose ``loss_sentence`` turns the count of a note into a sentence.
    """

    name: str
    pixels: npt.NDArray[np.uint8]
    origin: Origin
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageCollection:
    """Named images in natural order of their names, decoded as they are iterated.

    Attributes:
        path: The folder or file that they come from. For images in memory, their name in messages.
        kind: ``"folder"``, ``"zip"``, ``"tar"``, ``"array"``, ``"parquet"``, ``"hdf5"``, ``"joined"`` (parts of one
            download), ``"dataset"`` or ``"memory"``.
        rows: The rows of the source that belong to the collection, in rising order; None for all of them.
    """

    path: Path
    kind: str
    _content: Container | FaceDataset | PixelArray
    rows: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self._content.names) if self.rows is None else len(self.rows)

    @property
    def names(self) -> Sequence[str]:
        """The names of the images, in iteration order."""
        names = self._content.names
        return names if self.rows is None else [names[row] for row in self.rows]

    def take(self, rows: npt.ArrayLike) -> ImageCollection:
        """Return the images in these rows of the collection.

        Raises:
            ValueError: The rows do not rise. They must, because archives are read from front to back.
        """
        chosen = np.asarray(rows, dtype=np.int64)
        if len(chosen) and (chosen[0] < 0 or chosen[-1] >= len(self) or (np.diff(chosen) <= 0).any()):
            raise ValueError(f"the rows must rise from 0 to {len(self) - 1}")
        return replace(self, rows=chosen if self.rows is None else self.rows[chosen])

    def __iter__(self) -> Iterator[tuple[str, npt.NDArray[np.uint8]]]:
        """Yield (name, uint8 [H, W, 3] RGB) with constant memory. Raise InputError if an image is unreadable."""
        return ((picture.name, picture.pixels) for picture in self.pictures())

    def pictures(self) -> Iterator[Picture]:
        """Yield each image with its origin. The rows of a dataset have no origin."""
        if isinstance(self._content, FaceDataset | PixelArray):
            # A dataset keeps the order in which it was prepared, which is natural order already.
            pixels = self._content.images
            chosen = pixels if self.rows is None else (pixels[row] for row in self.rows)
            for name, row in zip(self.names, chosen, strict=True):
                yield Picture(name, np.array(row), Origin())
            return
        count = PixelCount(self.path)
        for member in self._content.members(self.names):
            try:
                data = member.read()
                decoded = decode(data, pytorch_fid_rgb)
                count.add(decoded.image.width * decoded.image.height)
                yield Picture(member.name, np.array(decoded.image), origin_of(data), decoded.notes)
            except Unreadable as problem:
                raise InputError(
                    f"Cannot read the image {member.name} in {self.path}: {problem.reason}.", _REPAIR
                ) from problem

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about pictures and archives that were left out and may be missed."""
        return self._passed_over.warnings(self.path, len(self._content.names))

    def say_remark(self) -> None:
        """Say on stderr what was left out, if it is only texts and the like."""
        self._passed_over.say_remark(self.path, len(self._content.names))

    @property
    def _passed_over(self) -> PassedOver:
        return PassedOver() if isinstance(self._content, FaceDataset | PixelArray) else self._content.passed_over

    @property
    def crop(self) -> str | None:
        """How ``facegen prepare`` cropped the images, in words; None if that is unknown or nothing was cropped."""
        if not isinstance(self._content, FaceDataset):
            return None
        manifest = self._content.manifest
        source = manifest.get("source")
        if isinstance(source, dict) and source.get("kind") == "synthetic":
            return None
        crop = manifest.get("crop")  # Datasets from before --crop existed have no such field.
        return "the course's crop" if crop is None else f"--crop {crop}"

    @property
    def splits(self) -> npt.NDArray[np.object_]:
        """The split of each image: ``"train"``, ``"valid"`` or ``"test"``; ``"train"`` if nothing says it."""
        known = self._content.splits if isinstance(self._content, FaceDataset) else ["train"] * len(self._content.names)
        return np.asarray(known, dtype=object)[slice(None) if self.rows is None else self.rows]

    @cached_property
    def sha256(self) -> str:
        """Hash of the content: a dataset's own, that of an archive file, or one over a folder's names and bytes.

        For some of the rows, the hash is made from the hash of all images and the row numbers.
        """
        if self.rows is not None:
            whole = replace(self, rows=None).sha256
            return hashlib.sha256(whole.encode() + self.rows.astype("<i8").tobytes()).hexdigest()
        if isinstance(self._content, FaceDataset | PixelArray):
            return self._content.sha256
        if self.kind != "folder":
            return self._content.identity
        digest = hashlib.sha256()
        for member in self._content.members(self._content.names):
            try:
                data = member.read()
            except Unreadable as problem:
                raise InputError(
                    f"Cannot read the image {member.name} in {self.path}: {problem.reason}.", _REPAIR
                ) from problem
            # Lengths come first, so that no two folders give the same bytes.
            name = member.name.encode()
            digest.update(len(name).to_bytes(8, "big") + name + len(data).to_bytes(8, "big") + data)
        return digest.hexdigest()


def open_images(path: Path) -> ImageCollection:
    """Open the images at ``path``. A dataset's content is read and compared with the hash in its manifest.

    Raises:
        InputError: ``path`` is absent, empty or holds no image, or it is a dataset that changed.
    """
    if is_dataset(path):
        dataset = FaceDataset.open(path)
        if not len(dataset):
            raise InputError(f"The dataset {path} holds no image.", "Prepare it again from images.")
        dataset.verify()
        return ImageCollection(path, "dataset", dataset)
    container = open_container(path)
    return ImageCollection(path, container.kind, container)


def images_in_memory(pixels: npt.NDArray[np.uint8], called: str) -> ImageCollection:
    """Return images uint8 [N, H, W, 3] in memory as a collection. ``called`` is their name in messages."""
    return ImageCollection(Path(called), "memory", PixelArray(pixels))
