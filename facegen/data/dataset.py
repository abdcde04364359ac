"""The prepared dataset: a folder with ``images.npy``, ``index.csv`` and ``manifest.json``.

``images.npy`` is uint8 [N, S, S, 3] RGB (NHWC, so that ``permute(0, 3, 1, 2)`` of a tensor made from it is already
channels_last); ``index.csv`` names each row's source image and its split; ``manifest.json`` says how it was made.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facegen.data.litter import came_by_itself
from facegen.errors import InputError
from facegen.files import atomic_folder, write_json
from facegen.printable import printable

SCHEMA = 1
IMAGES, INDEX, MANIFEST = "images.npy", "index.csv", "manifest.json"
SPLITS = ("train", "valid", "test")

Images = npt.NDArray[np.uint8]


def is_dataset(path: Path) -> bool:
    """Whether ``path`` is a folder that looks like a prepared dataset (it may still be damaged)."""
    return (path / MANIFEST).is_file() and (path / IMAGES).is_file()


@dataclass(frozen=True)
class FaceDataset:
    """A prepared dataset, opened read-only.

    Attributes:
        path: its folder.
        images: uint8 [N, S, S, 3] RGB, memory-mapped.
        names: N source names.
        splits: N of ``"train"``, ``"valid"``, ``"test"``.
        manifest: what ``manifest.json`` says.
    """

    path: Path
    images: Images
    names: tuple[str, ...]
    splits: tuple[str, ...]
    manifest: dict[str, Any]

    @classmethod
    def open(cls, path: Path | str) -> FaceDataset:
        """Open the dataset at ``path``; InputError when it is absent, incomplete or of another schema."""
        path = Path(path)
        if not is_dataset(path):
            raise InputError(
                f"{path} is not a prepared dataset: it lacks {MANIFEST} or {IMAGES}.",
                f"Make one with: facegen prepare SOURCE {path}",
            )
        try:
            manifest = dict(json.loads((path / MANIFEST).read_text(encoding="utf-8")))
            images = np.load(path / IMAGES, mmap_mode="r", allow_pickle=False)
            with (path / INDEX).open(newline="", encoding="utf-8") as file:
                rows = [(row["name"], row["split"]) for row in csv.DictReader(file)]
        except (OSError, EOFError, ValueError, TypeError, KeyError) as problem:
            raise InputError(f"The dataset {path} is damaged: {problem}.", "Prepare it again.") from problem
        if manifest.get("schema") != SCHEMA:
            raise InputError(
                f"The dataset {path} has schema {manifest.get('schema')!r}; this facegen reads {SCHEMA}.",
                "Prepare it again.",
            )
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or len(rows) != len(images):
            raise InputError(
                f"The dataset {path} is damaged: {IMAGES} holds {images.dtype} {list(images.shape)} "
                f"for {len(rows)} rows of {INDEX}.",
                "Prepare it again.",
            )
        names, splits = (tuple(column) for column in zip(*rows, strict=True)) if rows else ((), ())
        return cls(path, images, names, splits, manifest)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> int:
        """Side of the square images in pixels."""
        return int(self.images.shape[1])

    @property
    def sha256(self) -> str:
        """Content hash: of the pixels, names and splits, whatever the file dates or the library versions."""
        return str(self.manifest["sha256"])

    def rows(self, split: str) -> npt.NDArray[np.int64]:
        """The row numbers of one split, rising."""
        return np.flatnonzero(np.asarray(self.splits, dtype=object) == split)

    def training_rows(self) -> npt.NDArray[np.int64]:
        """The train split's rows; every row where the dataset was prepared without a train split."""
        rows = self.rows("train")
        return rows if len(rows) else np.arange(len(self))


class DatasetWriter:
    """Appends images to a dataset folder as they come; memory does not grow with their number."""

    def __init__(self, folder: Path, size: int) -> None:
        self._folder, self._size, self._count = folder, size, 0
        self._digest = hashlib.sha256()
        self._file = (folder / IMAGES).open("wb")
        self._file.write(self._header(0))
        self._index = io.StringIO()
        self._rows = csv.writer(self._index, lineterminator="\n")
        self._rows.writerow(["name", "split"])
        self._splits = dict.fromkeys(SPLITS, 0)

    def _header(self, count: int) -> bytes:
        """The .npy header for ``count`` images: NumPy pads every count's to one length, so it can be rewritten."""
        buffer = io.BytesIO()
        shape = (count, self._size, self._size, 3)
        description = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(buffer, description)
        return buffer.getvalue()

    @property
    def count(self) -> int:
        return self._count

    def append(self, images: Images, names: Sequence[str], splits: Sequence[str]) -> None:
        """Append uint8 [n, S, S, 3] images with their names and splits."""
        if images.dtype != np.uint8 or images.shape != (len(names), self._size, self._size, 3):
            raise ValueError(f"expected uint8 [{len(names)}, {self._size}, {self._size}, 3], got {images.shape}")
        pixels = np.ascontiguousarray(images)
        self._file.write(pixels.data)
        self._digest.update(pixels.data)
        for name, split in zip(names, splits, strict=True):
            self._rows.writerow([printable(name), split])  # a carriage return would end the row
            self._splits[split] += 1
        self._count += len(names)

    def close(self) -> None:
        self._file.close()

    def finish(self, description: dict[str, Any]) -> dict[str, Any]:
        """Write the index and the manifest (``description`` plus counts and hash); return the manifest."""
        header = self._header(self._count)
        if len(header) != len(self._header(0)):
            raise ValueError("the .npy header changed length")
        self._file.seek(0)
        self._file.write(header)
        self._file.close()
        index = self._index.getvalue().encode("utf-8")
        (self._folder / INDEX).write_bytes(index)
        self._digest.update(index)
        manifest = {
            "schema": SCHEMA,
            "sha256": self._digest.hexdigest(),
            "images": self._count,
            "size": self._size,
            "splits": self._splits,
            **description,
        }
        write_json(self._folder / MANIFEST, manifest)
        return manifest


def _first_foreign(folder: Path) -> Path | None:
    """Something in ``folder`` that no dataset holds; replacing the folder would delete it."""
    own = {IMAGES, INDEX, MANIFEST}
    names = (entry for entry in sorted(folder.iterdir()) if entry.name not in own)
    return next((entry for entry in names if not came_by_itself(entry.name)), None)


@contextmanager
def new_dataset(path: Path, size: int) -> Iterator[DatasetWriter]:
    """A writer for a dataset that appears at ``path`` only once its ``finish`` was called and the block ended well.

    InputError when ``path`` already holds something else than a dataset: it is not ours to replace.
    """
    if path.exists():
        foreign = _first_foreign(path) if path.is_dir() else path
        if foreign is not None:
            raise InputError(
                f"{path} exists and is not just a prepared dataset: {foreign.name} is not part of one.",
                "Name another folder for the dataset.",
            )
    with atomic_folder(path) as folder:
        writer = DatasetWriter(folder, size)
        try:
            yield writer
        finally:
            writer.close()
        if not (folder / MANIFEST).is_file():
            raise ValueError("the dataset was not finished")
