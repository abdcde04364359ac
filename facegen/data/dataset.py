"""The prepared dataset: a folder with ``images.npy``, ``index.csv`` and ``manifest.json``.

``images.npy`` is uint8 [N, S, S, 3] RGB. This is NHWC, so ``permute(0, 3, 1, 2)`` of a tensor made from it is already
channels_last. ``index.csv`` names the source image and the split of each row. ``manifest.json`` says how the dataset
was made.

The manifest also holds hashes of the three files. ``sha256`` hashes the pixels and then the bytes of ``index.csv``.
``pixels_sha256`` and ``index_sha256`` hash each by itself, and ``manifest_sha256`` hashes all other fields of the
manifest; they tell which file changed. Old datasets have ``sha256`` alone.
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

_AGAIN = "Prepare it again, or restore the original files."
_CHUNK = 1 << 20
#: Maximum size of an index, a manifest or a journal, in bytes: enough for 5 million images at 200 bytes each.
MOST_TEXT = 1 << 30
_OTHER_PIXELS = f"{IMAGES} holds other pixels"
#: The expected hash and the files' state in the file system. Both change whenever the content changes.
_State = tuple[str | tuple[int, ...], ...]
#: The states whose content was verified in this process.
_VERIFIED: set[_State | None] = set()
#: Seconds after which a new change is sure to change a file's time. Some file systems' clocks have steps of 2 s.
_SETTLED = 2.0


def is_dataset(path: Path) -> bool:
    """Return whether ``path`` is a folder that looks like a prepared dataset. It may still be damaged."""
    return (path / MANIFEST).is_file() and (path / IMAGES).is_file()


def _no_dataset(path: Path) -> InputError:
    if path.is_file():
        kind = kind_of_file(path)
        what = "a file" if kind is None else kind.name
        of_images = kind is None or kind.family in ("archive", "arrays")
        remedy = None if kind is None else kind.remedy
        return InputError(
            f"{path} is {what}, not a prepared dataset.",
            f"If it holds images, run: facegen prepare {path} DATASET. Then name DATASET." if of_images else remedy,
        )
    files = "" if not path.is_dir() else next((name for name in (MANIFEST, IMAGES) if not (path / name).is_file()), "")
    remedy = f"Make one with: facegen prepare SOURCE {path}"
    if files and not any((path / name).exists() for name in (MANIFEST, IMAGES, INDEX)):
        remedy = f"If it holds images, run: facegen prepare {path} DATASET. Then name DATASET."
    lacks = f"it lacks {files}" if files else "it does not exist"
    return InputError(f"{path} is not a prepared dataset: {lacks}.", remedy)


@dataclass(frozen=True)
class FaceDataset:
    """A prepared dataset, opened read-only.

    Attributes:
        path: The dataset's folder.
        images: The images, uint8 [N, S, S, 3] RGB, memory-mapped.
        names: The name of each source image.
        splits: The split of each image: ``"train"``, ``"valid"`` or ``"test"``.
        manifest: The contents of ``manifest.json``.
    """

    path: Path
    images: Images
    names: tuple[str, ...]
    splits: tuple[str, ...]
    manifest: dict[str, Any]

    @classmethod
    def open(cls, path: Path | str) -> FaceDataset:
        """Open the dataset at ``path``.

        The quick checks are made here: sizes, counts, splits and the manifest. The content is not read;
        :meth:`verify` does that.

        Raises:
            InputError: The dataset is absent, incomplete, damaged or of another schema, or its files do not belong
                together.
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
                f"The dataset {path} has schema {manifest.get('schema')!r}; this version of facegen reads {SCHEMA}.",
                "Prepare it again.",
            )
        if len(names) != len(images):
            raise InputError(
                f"The dataset {path} is damaged: {IMAGES} holds {images.dtype} {list(images.shape)} "
                f"but {INDEX} has {len(names)} rows.",
                _AGAIN,
            )
        dataset = cls(path, images, names, splits, manifest)
        if "sha256" not in manifest:
            raise dataset._changed(f"{MANIFEST} has no sha256")
        hashed = {"pixels_sha256", "index_sha256", "manifest_sha256"} & manifest.keys()
        if hashed and len(hashed) < 3:
            raise dataset._changed(f"{MANIFEST} lacks some of its hashes")
        if hashed and manifest.get("manifest_sha256") != _manifest_sha256(manifest):
            raise dataset._changed(f"{MANIFEST} does not match its own hash")
        counted = {"images": (IMAGES, len(images)), "size": (IMAGES, dataset.size), "splits": (INDEX, _counted(splits))}
        for name, (file, count) in counted.items():
            if manifest.get(name, count) != count:
                raise dataset._changed(f"{MANIFEST} says {name} {manifest[name]}, but {file} has {count}")
        return dataset

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> int:
        """Side of the square images in pixels."""
        return int(self.images.shape[1])

    @cached_property
    def sha256(self) -> str:
        """Hash of the content: the pixels, names and splits. File dates and library versions do not change it.

        It is the manifest's hash, verified on first access. Raise InputError if the content differs.
        """
        self.verify()
        return str(self.manifest["sha256"])

    def verify(self) -> None:
        """Read all of the content and compare its hash with the manifest's.

        This takes one second per 0.5 to 1.5 GB. Within a process, the content is not read again while its files keep
        their identities, sizes and times.

        Raises:
            InputError: The content is not what was prepared. The message says which file changed, if that is known.
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
        """Check that the pixels are still those that were verified. Use it after reading them for hours.

        Replacing the dataset by another one in the meantime is allowed: the former file stays mapped.

        Raises:
            InputError: The pixels changed.
        """
        try:
            self.verify()
        except InputError:
            pixels = hashlib.sha256(np.ascontiguousarray(self.images).data)
            same = pixels.hexdigest() == self.manifest.get("pixels_sha256")
            if not same and _with(pixels, _index_bytes(self.names, self.splits)) != self.manifest["sha256"]:
                raise

    def _state(self) -> _State | None:
        """Return the state of the files, or None if they were written so recently that their times prove nothing."""
        files = tuple((self.path / name).stat() for name in (IMAGES, INDEX))
        if time.time() - max(file.st_ctime for file in files) < _SETTLED:
            return None
        # The time of the last status change is included because the modification time can be set back, as cp -p does.
        facts = ((file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns) for file in files)
        return str(self.manifest["sha256"]), *facts

    @property
    def _offset(self) -> int:
        """Offset of the pixels in ``images.npy``."""
        return int(getattr(self.images, "offset", 0))

    def _changed(self, how: str) -> InputError:
        return InputError(f"The dataset {self.path} changed since it was prepared: {how}.", _AGAIN)

    def _require_same_rows(self, pixels: _Hash, index: bytes) -> None:
        """Raise InputError if a value changed; warn if only the form of ``index.csv`` changed."""
        as_written = _index_bytes(self.names, self.splits)
        if _with(pixels, as_written) == self.manifest["sha256"]:
            console.warn(
                f"{self.path / INDEX} has other line ends or quotes than facegen wrote; editors and git change them. "
                "It names the same images and splits, so it is used."
            )
            return
        if "pixels_sha256" not in self.manifest:
            raise self._changed(f"{IMAGES} or {INDEX} differs")
        changed = [_OTHER_PIXELS] * (self.manifest["pixels_sha256"] != pixels.hexdigest())
        if self.manifest["index_sha256"] not in (hashlib.sha256(each).hexdigest() for each in (index, as_written)):
            changed.append(f"{INDEX} has other names or splits, or another order")
        raise self._changed(", and ".join(changed) or f"{MANIFEST} has another sha256")

    def rows(self, split: str) -> npt.NDArray[np.int64]:
        """Return the row numbers of one split, in rising order."""
        return np.flatnonzero(np.asarray(self.splits, dtype=object) == split)

    def training_rows(self) -> npt.NDArray[np.int64]:
        """Return the rows of the train split, or all rows if the dataset has no train split."""
        rows = self.rows("train")
        return rows if len(rows) else np.arange(len(self))


def _mapped(path: Path) -> Images:
    """Map the array in ``images.npy``. Raise ValueError unless the file is exactly an array of square RGB images."""
    try:
        with open_regular(path) as file:
            header = read_npy_header(file)
            held = os.fstat(file.fileno()).st_size - header.length
            if header.dtype.hasobject or math.prod(header.shape) * header.dtype.itemsize > held:
                raise ValueError(f"it is cut short: it has {held:,} bytes of {header.dtype} {list(header.shape)}")
        images: Images = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    except Exception as problem:  # For a damaged header NumPy raises more than its documentation says.
        raise ValueError(f"{IMAGES} is not a whole array ({in_words(problem)})") from problem
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or images.shape[1] != images.shape[2]:
        raise ValueError(f"{IMAGES} holds {images.dtype} {list(images.shape)}, not uint8 [N, S, S, 3]")
    if not images.flags.c_contiguous:
        raise ValueError(f"{IMAGES} is stored in Fortran order")
    beyond = path.stat().st_size - int(getattr(images, "offset", 0)) - images.nbytes
    if isinstance(images, np.memmap) and beyond:
        raise ValueError(f"{IMAGES} has {beyond:,} bytes behind its array")
    return images


def _read_index(data: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names and splits in ``index.csv``. Any line ends and quotes are accepted."""
    rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""))
    if rows.fieldnames is None or list(rows.fieldnames) != ["name", "split"]:
        raise ValueError(f"{INDEX} must have the columns name and split")
    names, splits = [], []
    for number, row in enumerate(rows, 1):
        if row["split"] not in SPLITS or None in row:
            raise ValueError(f"row {number} of {INDEX} must have one of the splits {', '.join(SPLITS)}")
        names.append(row["name"])
        splits.append(row["split"])
    return tuple(names), tuple(splits)


def _index_bytes(names: Sequence[str], splits: Sequence[str]) -> bytes:
    """Return the bytes of ``index.csv`` as facegen writes it."""
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
    """Return the content hash of pixels and an index."""
    both = pixels.copy()
    both.update(index)
    return both.hexdigest()


def _blocks(path: Path, offset: int) -> Iterator[bytes]:
    """Yield the bytes of a file from ``offset`` on.

    The file is read and not mapped, because mapped pages count as memory of this process.
    """
    with open_regular(path) as file:
        file.seek(offset)
        while block := file.read(_CHUNK):
            yield block


class DatasetWriter:
    """A writer that appends images to a dataset folder. Its memory does not grow with their number."""

    def __init__(self, folder: Path, size: int) -> None:
        """Start writing in ``folder``.

        The folder is empty, or holds what an unfinished writer of the same ``size`` left there; see :meth:`take_up`.
        """
        self._folder, self._size, self._count = folder, size, 0
        self._digest = hashlib.sha256()
        path = folder / IMAGES
        self._file = path.open("r+b" if path.exists() else "w+b")
        self._file.write(self._header(0))
        self._names: list[str] = []
        self._splits: list[str] = []

    def _header(self, count: int) -> bytes:
        """Return the .npy header for ``count`` images. NumPy pads it to the same length for every count."""
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
        """Append the next images from the file itself. Return False if their CRC-32 is not ``crc``."""
        place, length = self._file.tell(), len(names) * self._size**2 * 3
        pixels = self._file.read(length)
        if len(pixels) != length or zlib.crc32(pixels) != crc:
            self._file.seek(place)
            return False
        self._count_in(memoryview(pixels), names, splits)
        return True

    def cut(self) -> None:
        """Truncate the file after the images that were appended, and continue there."""
        self._file.seek(self._file.tell())  # A seek is required between reading and writing.
        self._file.truncate()

    def flush(self) -> None:
        """Hand the appended images to the system, so that they outlive a process that is killed."""
        self._file.flush()

    def _count_in(self, pixels: memoryview, names: Sequence[str], splits: Sequence[str]) -> None:
        self._digest.update(pixels)
        if len(splits) != len(names) or not set(splits) <= set(SPLITS):
            raise ValueError(f"expected {len(names)} splits of {SPLITS}")
        self._names += map(printable, names)  # A carriage return in a name would end its row.
        self._splits += splits
        self._count += len(names)

    def close(self) -> None:
        self._file.close()

    def finish(self, description: dict[str, Any]) -> dict[str, Any]:
        """Write the index and the manifest, and return the manifest: ``description`` plus counts and hashes."""
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
    """Return an entry of ``folder`` that does not belong to a dataset and would be lost if the folder were replaced."""
    own = {IMAGES, INDEX, MANIFEST}
    names = (entry for entry in sorted(folder.iterdir()) if entry.name not in own)
    return next((entry for entry in names if not came_by_itself(entry.name)), None)


@contextmanager
def new_dataset(path: Path, size: int) -> Iterator[DatasetWriter]:
    """Yield a writer for a dataset at ``path``.

    The dataset appears there when the block ends without an error; ``finish`` must have been called.

    Raises:
        InputError: ``path`` holds something other than a dataset, which is never replaced.
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
    """Raise InputError if ``path`` holds something other than a dataset. A new dataset would replace it."""
    if path.exists():
        foreign = _first_foreign(path) if path.is_dir() else path
        if foreign is not None:
            raise InputError(
                f"{path} exists and is not just a prepared dataset: {foreign.name} is not part of one.",
                "Name another folder for the dataset.",
            )
