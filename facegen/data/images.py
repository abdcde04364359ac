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


class Picture(NamedTuple):
    """An image: its name, uint8 [H, W, 3] RGB as pytorch-fid sees it, and what it says of where it comes from.

    ``notes`` are what the conversion to RGB lost, of the notes in :mod:`facegen.data.rgb`; none where it lost nothing.
    ``facegen.data.rgb.loss_sentence`` puts the number of pictures with a note in words.
    """

    name: str
    pixels: npt.NDArray[np.uint8]
    origin: Origin
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageCollection:
    """Named images in natural order of their names, decoded as they are asked for.

    Attributes:
        path: the folder or file they come from.
        kind: ``"folder"``, ``"zip"``, ``"tar"``, ``"array"``, ``"parquet"``, ``"hdf5"``, ``"joined"`` (parts of one
            download) or ``"dataset"``; ``"memory"`` where they are in no file, and ``path`` is what messages call them.
        rows: which of them these are, rising; None where they are all.
    """

    path: Path
    kind: str
    _content: Container | FaceDataset | PixelArray
    rows: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self._content.names) if self.rows is None else len(self.rows)

    @property
    def names(self) -> Sequence[str]:
        """The images' names, in the order in which they are yielded."""
        names = self._content.names
        return names if self.rows is None else [names[row] for row in self.rows]

    def take(self, rows: npt.ArrayLike) -> ImageCollection:
        """The images in these rows of the collection. ValueError unless they rise: archives are read front to back."""
        chosen = np.asarray(rows, dtype=np.int64)
        if len(chosen) and (chosen[0] < 0 or chosen[-1] >= len(self) or (np.diff(chosen) <= 0).any()):
            raise ValueError(f"the rows do not rise from 0 to {len(self) - 1}")
        return replace(self, rows=chosen if self.rows is None else self.rows[chosen])

    def __iter__(self) -> Iterator[tuple[str, npt.NDArray[np.uint8]]]:
        """Yield (name, uint8 [H, W, 3] RGB); memory stays constant. InputError names an image that is unreadable."""
        return ((picture.name, picture.pixels) for picture in self.pictures())

    def pictures(self) -> Iterator[Picture]:
        """The same, with what each says of its origin; a dataset's rows say nothing."""
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
                raise InputError(f"Cannot read the image {member.name} in {self.path}: {problem.reason}.") from problem

    @property
    def warnings(self) -> tuple[str, ...]:
        """What somebody may miss in it, in whole sentences: pictures and archives that were left out."""
        return self._passed_over.warnings(self.path, len(self._content.names))

    def say_remark(self) -> None:
        """On stderr, what was left out where that is only texts and the like."""
        self._passed_over.say_remark(self.path, len(self._content.names))

    @property
    def _passed_over(self) -> PassedOver:
        return PassedOver() if isinstance(self._content, FaceDataset | PixelArray) else self._content.passed_over

    @property
    def crop(self) -> str | None:
        """How ``facegen prepare`` cropped them, in words; None where no dataset tells, or nothing was cropped."""
        if not isinstance(self._content, FaceDataset):
            return None
        manifest = self._content.manifest
        source = manifest.get("source")
        if isinstance(source, dict) and source.get("kind") == "synthetic":
            return None
        crop = manifest.get("crop")  # absent before there was a choice
        return "the course's crop" if crop is None else f"--crop {crop}"

    @property
    def splits(self) -> npt.NDArray[np.object_]:
        """The split of each image, of :data:`facegen.data.dataset.SPLITS`; ``"train"`` where no dataset tells."""
        known = self._content.splits if isinstance(self._content, FaceDataset) else ["train"] * len(self._content.names)
        return np.asarray(known, dtype=object)[slice(None) if self.rows is None else self.rows]

    @cached_property
    def sha256(self) -> str:
        """Content hash: a dataset's own, an archive file's, or over a folder's sorted names and bytes.

        That of some of the rows is made from the whole's and the rows.
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
                raise InputError(f"Cannot read the image {member.name} in {self.path}: {problem.reason}.") from problem
            # Lengths first, so that no two folders run together to the same bytes.
            name = member.name.encode()
            digest.update(len(name).to_bytes(8, "big") + name + len(data).to_bytes(8, "big") + data)
        return digest.hexdigest()


def open_images(path: Path) -> ImageCollection:
    """Open the images at ``path``. Of a dataset, the content is read, and compared with the hash of its manifest.

    InputError when it is absent, empty or without an image, saying what was sought; or a dataset that changed.
    """
    if is_dataset(path):
        dataset = FaceDataset.open(path)
        if not len(dataset):
            raise InputError(f"The dataset {path} holds no image.")
        dataset.verify()
        return ImageCollection(path, "dataset", dataset)
    container = open_container(path)
    return ImageCollection(path, container.kind, container)


def images_in_memory(pixels: npt.NDArray[np.uint8], called: str) -> ImageCollection:
    """Images uint8 [N, H, W, 3] that are in no file; ``called`` is what messages say in place of one."""
    return ImageCollection(Path(called), "memory", PixelArray(pixels))
