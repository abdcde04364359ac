"""The prepared dataset: a folder with ``images.npy``, ``index.csv`` and ``manifest.json``.

``images.npy`` is uint8 [N, S, S, 3] RGB (NHWC, so that ``permute(0, 3, 1, 2)`` of a tensor made from it is already
channels_last); ``index.csv`` names each row's source image and its split; ``manifest.json`` says how it was made.

The manifest also holds hashes of the three files' contents. ``sha256`` is of the pixels and then of the bytes of
``index.csv``. ``pixels_sha256`` and ``index_sha256`` are of each by itself, and ``manifest_sha256`` of all other fields
of the manifest: they tell which file changed. Datasets from before they were written have ``sha256`` alone.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from facegen import console
from facegen.data.litter import came_by_itself
from facegen.data.npy import read_npy_header
from facegen.errors import InputError, in_words
from facegen.file_kinds import kind_of_file
from facegen.files import OF_THE_MACHINE, atomic_folder, fields_sha256, open_regular, read_regular, write_json
from facegen.printable import printable

if TYPE_CHECKING:
    from hashlib import _Hash

SCHEMA = 1
IMAGES, INDEX, MANIFEST = "images.npy", "index.csv", "manifest.json"
SPLITS = ("train", "valid", "test")

Images = npt.NDArray[np.uint8]

_AGAIN = "Prepare it again, or put the files back that it was prepared with."
_CHUNK = 1 << 20
#: Bytes of an index, a manifest or a journal: enough for 5 million images at 200 each.
MOST_TEXT = 1 << 30
_OTHER_PIXELS = f"{IMAGES} holds other pixels"
#: What changes whenever the content does: the hash that it should have, and what the file system says of its files.
_State = tuple[str | tuple[int, ...], ...]
#: The content that was verified in this process.
_VERIFIED: set[_State | None] = set()
#: A file may change twice and have one time: file systems' clocks are coarse, some by 2 s.
_SETTLED = 2.0


def is_dataset(path: Path) -> bool:
    """Whether ``path`` is a folder that looks like a prepared dataset (it may still be damaged)."""
    return (path / MANIFEST).is_file() and (path / IMAGES).is_file()


def _no_dataset(path: Path) -> InputError:
    if path.is_file():
        kind = kind_of_file(path)
        what = "a file" if kind is None else kind.name
        of_images = kind is None or kind.family in ("archive", "arrays")
        remedy = None if kind is None else kind.remedy
        return InputError(
            f"{path} is {what}, not a prepared dataset.",
            f"If it holds images: facegen prepare {path} DATASET, and name DATASET." if of_images else remedy,
        )
    files = "" if not path.is_dir() else next((name for name in (MANIFEST, IMAGES) if not (path / name).is_file()), "")
    remedy = f"Make one with: facegen prepare SOURCE {path}"
    if files and not any((path / name).exists() for name in (MANIFEST, IMAGES, INDEX)):
        remedy = f"If it holds images: facegen prepare {path} DATASET, and name DATASET."
    lacks = f"it lacks {files}" if files else "it does not exist"
    return InputError(f"{path} is not a prepared dataset: {lacks}.", remedy)


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
        """Open the dataset at ``path``, and compare what is quickly compared: sizes, counts, splits, the manifest.

        What :meth:`verify` compares, the content, is not read.

        Raises:
            InputError: it is absent, incomplete, damaged, of another schema, or its files do not go together.
        """
        path = Path(path)
        if not is_dataset(path):
            raise _no_dataset(path)
        try:
            manifest = dict(json.loads(read_regular(path / MANIFEST, MOST_TEXT).decode("utf-8")))
            images = _mapped(path / IMAGES)
            names, splits = _read_index(read_regular(path / INDEX, MOST_TEXT))
        except OSError as problem:
            if problem.errno in OF_THE_MACHINE:
                raise
            raise InputError(f"The dataset {path} is damaged: {str(problem).rstrip('.')}.", _AGAIN) from problem
        except (EOFError, ValueError, TypeError, KeyError, RecursionError, csv.Error) as problem:
            raise InputError(f"The dataset {path} is damaged: {str(problem).rstrip('.')}.", _AGAIN) from problem
        if manifest.get("schema") != SCHEMA:
            raise InputError(
                f"The dataset {path} has schema {manifest.get('schema')!r}; this facegen reads {SCHEMA}.",
                "Prepare it again.",
            )
        if len(names) != len(images):
            raise InputError(
                f"The dataset {path} is damaged: {IMAGES} holds {images.dtype} {list(images.shape)} "
                f"for {len(names)} rows of {INDEX}.",
                _AGAIN,
            )
        dataset = cls(path, images, names, splits, manifest)
        if "sha256" not in manifest:
            raise dataset._changed(f"{MANIFEST} has no sha256")
        hashed = {"pixels_sha256", "index_sha256", "manifest_sha256"} & manifest.keys()
        if hashed and len(hashed) < 3:
            raise dataset._changed(f"{MANIFEST} lacks some of its hashes")
        if hashed and manifest.get("manifest_sha256") != _manifest_sha256(manifest):
            raise dataset._changed(f"{MANIFEST} is not as it was written")
        counted = {"images": (IMAGES, len(images)), "size": (IMAGES, dataset.size), "splits": (INDEX, _counted(splits))}
        for name, (file, count) in counted.items():
            if manifest.get(name, count) != count:
                raise dataset._changed(f"{MANIFEST} says {name} {manifest[name]}, and {file} has {count}")
        return dataset

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> int:
        """Side of the square images in pixels."""
        return int(self.images.shape[1])

    @cached_property
    def sha256(self) -> str:
        """Content hash: of the pixels, names and splits, whatever the file dates or the library versions.

        It is what the manifest says, verified when it is first asked for. InputError where the content is another.
        """
        self.verify()
        return str(self.manifest["sha256"])

    def verify(self) -> None:
        """Read all of the content, and compare its hash with the manifest's.

        This takes a second for each 0.5 to 1.5 GB. Within a process, content is not read again while its files have
        the same identities, sizes and times.

        Raises:
            InputError: the content is not what was prepared; it says which file changed, where that can be told.
        """
        try:
            state = self._state()
            if state in _VERIFIED:
                return
            pixels = hashlib.sha256()
            for block in _blocks(self.path / IMAGES, self._offset):
                pixels.update(block)
            index = read_regular(self.path / INDEX, MOST_TEXT)
        except OSError as problem:
            raise InputError(
                f"Cannot read the dataset {self.path}: {problem.strerror or problem}.", _AGAIN
            ) from problem
        if _with(pixels, index) != self.manifest["sha256"]:
            self._require_same_rows(pixels, index)
        if state is not None:
            _VERIFIED.add(state)

    def require_unchanged(self) -> None:
        """Whether the pixels are still those that were verified; for whoever reads them for hours.

        A dataset that was replaced by another in the meantime does not count: what is mapped is the former one.

        Raises:
            InputError: they are not.
        """
        try:
            self.verify()
        except InputError:
            pixels = hashlib.sha256(np.ascontiguousarray(self.images).data)
            same = pixels.hexdigest() == self.manifest.get("pixels_sha256")
            if not same and _with(pixels, _index_bytes(self.names, self.splits)) != self.manifest["sha256"]:
                raise

    def _state(self) -> _State | None:
        """None where it tells nothing, because it was written only now."""
        files = tuple((self.path / name).stat() for name in (IMAGES, INDEX))
        if time.time() - max(file.st_ctime for file in files) < _SETTLED:
            return None
        # The time of a status change too: that of a modification can be set back, and cp -p does.
        facts = ((file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns) for file in files)
        return str(self.manifest["sha256"]), *facts

    @property
    def _offset(self) -> int:
        """Where the pixels begin in ``images.npy``."""
        return int(getattr(self.images, "offset", 0))

    def _changed(self, how: str) -> InputError:
        return InputError(f"The dataset {self.path} changed since it was prepared: {how}.", _AGAIN)

    def _require_same_rows(self, pixels: _Hash, index: bytes) -> None:
        """What is said of content with another hash: an InputError, or a warning where no value is another."""
        as_written = _index_bytes(self.names, self.splits)
        if _with(pixels, as_written) == self.manifest["sha256"]:
            console.warn(
                f"{self.path / INDEX} has other line ends or quotes than it was written with, as editors and git leave "
                "them. It names the same images and splits."
            )
            return
        if "pixels_sha256" not in self.manifest:
            raise self._changed(f"{IMAGES} or {INDEX} is another")
        changed = [_OTHER_PIXELS] * (self.manifest["pixels_sha256"] != pixels.hexdigest())
        if self.manifest["index_sha256"] not in (hashlib.sha256(each).hexdigest() for each in (index, as_written)):
            changed.append(f"{INDEX} has other names or splits, or another order")
        raise self._changed(", and ".join(changed) or f"{MANIFEST} has another sha256")

    def rows(self, split: str) -> npt.NDArray[np.int64]:
        """The row numbers of one split, rising."""
        return np.flatnonzero(np.asarray(self.splits, dtype=object) == split)

    def training_rows(self) -> npt.NDArray[np.int64]:
        """The train split's rows; every row where the dataset was prepared without a train split."""
        rows = self.rows("train")
        return rows if len(rows) else np.arange(len(self))


def _mapped(path: Path) -> Images:
    """The array in ``images.npy``, mapped. ValueError where it is no array of square RGB images, and nothing else."""
    try:
        with open_regular(path) as file:
            header = read_npy_header(file)
            held = os.fstat(file.fileno()).st_size - header.length
            if header.dtype.hasobject or math.prod(header.shape) * header.dtype.itemsize > held:
                raise ValueError(f"it is cut short: {held:,} bytes are there of {header.dtype} {list(header.shape)}")
        images: Images = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    except Exception as problem:  # of a damaged header NumPy raises more than it says
        raise ValueError(f"{IMAGES} is no whole array ({in_words(problem)})") from problem
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or images.shape[1] != images.shape[2]:
        raise ValueError(f"{IMAGES} holds {images.dtype} {list(images.shape)}, not uint8 [N, S, S, 3]")
    if not images.flags.c_contiguous:
        raise ValueError(f"{IMAGES} holds its array in Fortran's order")
    beyond = path.stat().st_size - int(getattr(images, "offset", 0)) - images.nbytes
    if isinstance(images, np.memmap) and beyond:
        raise ValueError(f"{IMAGES} has {beyond:,} bytes beyond its array")
    return images


def _read_index(data: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names and splits in ``index.csv``; its line ends and quotes are left to whoever saved it last."""
    rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""))
    if rows.fieldnames is None or list(rows.fieldnames) != ["name", "split"]:
        raise ValueError(f"{INDEX} lacks the columns name and split")
    names, splits = [], []
    for number, row in enumerate(rows, 1):
        if row["split"] not in SPLITS or None in row:
            raise ValueError(f"row {number} of {INDEX} has no split of {', '.join(SPLITS)}")
        names.append(row["name"])
        splits.append(row["split"])
    return tuple(names), tuple(splits)


def _index_bytes(names: Sequence[str], splits: Sequence[str]) -> bytes:
    """``index.csv`` as it is written."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["name", "split"])
    rows.writerows(zip(names, splits, strict=True))
    return text.getvalue().encode("utf-8")


def _counted(splits: Sequence[str]) -> dict[str, int]:
    counts = Counter(splits)
    return {split: counts[split] for split in SPLITS}


def _manifest_sha256(manifest: dict[str, Any]) -> str:
    return fields_sha256({key: value for key, value in manifest.items() if key != "manifest_sha256"})


def _with(pixels: _Hash, index: bytes) -> str:
    """The content hash of pixels and an index."""
    both = pixels.copy()
    both.update(index)
    return both.hexdigest()


def _blocks(path: Path, offset: int) -> Iterator[bytes]:
    """The bytes of a file from ``offset`` on. Read, not mapped: what is mapped counts as this process's memory."""
    with open_regular(path) as file:
        file.seek(offset)
        while block := file.read(_CHUNK):
            yield block


class DatasetWriter:
    """Appends images to a dataset folder as they come; memory does not grow with their number."""

    def __init__(self, folder: Path, size: int) -> None:
        """``folder`` is empty, or has what a writer of this ``size`` left there unfinished: :meth:`take_up` it."""
        self._folder, self._size, self._count = folder, size, 0
        self._digest = hashlib.sha256()
        path = folder / IMAGES
        self._file = path.open("r+b" if path.exists() else "w+b")
        self._file.write(self._header(0))
        self._names: list[str] = []
        self._splits: list[str] = []

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
        self._count_in(pixels.data, names, splits)

    def take_up(self, crc: int, names: Sequence[str], splits: Sequence[str]) -> bool:
        """Append what the file has already of the next images. False where that is not theirs by its CRC-32."""
        place, length = self._file.tell(), len(names) * self._size**2 * 3
        pixels = self._file.read(length)
        if len(pixels) != length or zlib.crc32(pixels) != crc:
            self._file.seek(place)
            return False
        self._count_in(memoryview(pixels), names, splits)
        return True

    def cut(self) -> None:
        """Cut off what the file has beyond the images that were appended; what is appended then goes on there."""
        self._file.seek(self._file.tell())  # between reading and writing
        self._file.truncate()

    def flush(self) -> None:
        """Hand to the system what was appended: a process that is killed does not take it along."""
        self._file.flush()

    def _count_in(self, pixels: memoryview, names: Sequence[str], splits: Sequence[str]) -> None:
        self._digest.update(pixels)
        if len(splits) != len(names) or not set(splits) <= set(SPLITS):
            raise ValueError(f"expected {len(names)} splits of {SPLITS}")
        self._names += map(printable, names)  # a carriage return would end the row
        self._splits += splits
        self._count += len(names)

    def close(self) -> None:
        self._file.close()

    def finish(self, description: dict[str, Any]) -> dict[str, Any]:
        """Write the index and the manifest (``description`` plus counts and hashes); return the manifest."""
        header = self._header(self._count)
        if len(header) != len(self._header(0)):
            raise ValueError("the .npy header changed length")
        self._file.seek(0)
        self._file.write(header)
        self._file.close()
        index = _index_bytes(self._names, self._splits)
        (self._folder / INDEX).write_bytes(index)
        manifest = {
            "schema": SCHEMA,
            "sha256": _with(self._digest, index),
            "images": self._count,
            "size": self._size,
            "splits": _counted(self._splits),
            "pixels_sha256": self._digest.hexdigest(),
            "index_sha256": hashlib.sha256(index).hexdigest(),
            **description,
        }
        manifest["manifest_sha256"] = _manifest_sha256(manifest)
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
    require_replaceable(path)
    with atomic_folder(path) as folder:
        writer = DatasetWriter(folder, size)
        try:
            yield writer
        finally:
            writer.close()
        if not (folder / MANIFEST).is_file():
            raise ValueError("the dataset was not finished")


def require_replaceable(path: Path) -> None:
    """InputError where ``path`` holds something else than a dataset: a new one would replace it."""
    if path.exists():
        foreign = _first_foreign(path) if path.is_dir() else path
        if foreign is not None:
            raise InputError(
                f"{path} exists and is not just a prepared dataset: {foreign.name} is not part of one.",
                "Name another folder for the dataset.",
            )
