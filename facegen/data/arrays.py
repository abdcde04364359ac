"""Images in NumPy files: one array of images in an ``.npy`` or ``.npz``, read row by row.

The sample and reference batches of ADM (guided-diffusion) are such files: ``arr_0``, uint8 [N, H, W, 3].
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from facegen import console
from facegen.data.archives import BytesMember
from facegen.data.caps import LARGEST_IMAGE, require_few, require_proportion
from facegen.data.damage import zip_damage_told
from facegen.data.decode import Unreadable
from facegen.data.litter import is_litter
from facegen.data.npy import NpyHeader, read_npy_header
from facegen.data.passed_over import PassedOver
from facegen.data.places import Window
from facegen.errors import InputError
from facegen.files import open_regular, sha256_file
from facegen.plain_zip import PlainZip

#: Usual names of arrays of images, most certain first: ADM's name, then names that people choose.
_NAMES = ("arr_0", "images", "image", "imgs", "img", "samples", "faces", "data", "x", "x_train")
_AGAIN = "Save, download or copy it again in full."
#: Number of bytes that are read to find the range of the values.
_SAMPLE = 16 << 20


@dataclass(frozen=True)
class Layout:
    """How the rows of an array hold images.

    Attributes:
        count: Number of images, N.
        row: The shape of one image: [H, W, C], [C, H, W] or [H, W].
        first: Whether the channels come first, [C, H, W].
    """

    count: int
    row: tuple[int, ...]
    first: bool = False

    @property
    def row_bytes(self) -> int:
        return math.prod(self.row)

    @property
    def note(self) -> str | None:
        """A description of the conversion of images on reading. None if they are read unchanged."""
        channels = 1 if len(self.row) == 2 else self.row[0 if self.first else 2]
        order = "the channels come first, [N, C, H, W]" if self.first and channels > 1 else None
        grey = f"the images are grey, {['N', *self.row]!s}, and become RGB".replace("'", "") if channels == 1 else None
        alpha = "the fourth channel is read as transparency" if channels == 4 else None
        return "; ".join(filter(None, (order, grey, alpha))) or None

    def encode(self, row: bytes | npt.NDArray[np.uint8]) -> bytes:
        """Return one image as an uncompressed image file: PPM, or PGM if it is grey, or PNG if it has transparency."""
        pixels = np.frombuffer(row, np.uint8).reshape(self.row) if isinstance(row, bytes) else row
        if self.first:
            pixels = pixels.transpose(1, 2, 0)
        if pixels.ndim == 3 and pixels.shape[2] == 4:
            file = io.BytesIO()
            Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG", compress_level=0)
            return file.getvalue()
        kind = "P6" if pixels.ndim == 3 and pixels.shape[2] == 3 else "P5"
        return f"{kind}\n{pixels.shape[1]} {pixels.shape[0]}\n255\n".encode() + pixels.tobytes()


def row_names(count: int) -> list[str]:
    """Return names for images that have none: their row numbers, such as ``00000123``."""
    return [f"{row:08d}" for row in range(count)]


def in_words(shape: Sequence[int], dtype: np.dtype[Any]) -> str:
    """Return an array's type and shape in words, such as ``"float32 [10, 64, 64, 3]"``."""
    return f"{dtype} {list(shape)}"


def looks_like_images(shape: Sequence[int]) -> bool:
    """Return whether an array of this shape can hold images: [N, H, W, C] or [N, C, H, W] with C 1, 3 or 4."""
    return len(shape) == 4 and any(_channels(shape))


def _channels(shape: Sequence[int]) -> tuple[bool, bool]:
    """Return whether the second axis can be the channels of images, and whether the last axis can.

    The other two axes must be longer than 1: arrays of features are 1 pixel wide.
    """
    _, second, third, last = shape
    return second in (1, 3, 4) and min(third, last) > 1, last in (1, 3, 4) and min(second, third) > 1


def layout_of(shape: Sequence[int], dtype: np.dtype[Any], where: str, remedy: str) -> Layout:
    """Return the layout of a uint8 array of images.

    Args:
        where: The name of the array in messages.
        remedy: A sentence that says how to convert an array of another type to uint8.

    Raises:
        InputError: The array does not hold images, is not uint8, or its shape can be read in two ways.
    """
    if dtype.hasobject:
        raise InputError(
            f"{where} is an array of Python objects. Reading it could run code, so facegen does not.",
            "Save the images as a plain uint8 array [N, H, W, 3].",
        )
    images = f"Images must be uint8 [N, H, W, 3], and {where} is {in_words(shape, dtype)}"
    if len(shape) == 3 and shape[2] in (1, 3, 4):
        raise InputError(f"{images}: that is one image.", "Save it as [1, H, W, 3], or name the image's folder.")
    if not looks_like_images(shape) and len(shape) != 3:
        raise InputError(f"{images}.", "Name an array of images.")
    if dtype != np.uint8:
        raise InputError(f"{images}.", remedy)
    if min(shape) < 1:
        raise InputError(f"{where} holds no image: it is {in_words(shape, dtype)}.")
    count, *row = (int(side) for side in shape)
    require_few(where, count)
    if math.prod(row) > LARGEST_IMAGE:
        raise InputError(f"{where} is {in_words(shape, dtype)}: {math.prod(row):,} bytes are no image.", _AGAIN)
    if len(shape) == 3:
        if count in (3, 4):
            raise InputError(
                f"{images}: that is {count} grey images, or the channels of one image.", "Save it as [N, H, W, 3]."
            )
        return Layout(count, tuple(row))
    first, last = _channels(shape)
    if first and last:
        raise InputError(
            f"{images}: either its second or its last axis may be the channels.", "Save it as [N, H, W, 3], H above 4."
        )
    return Layout(count, tuple(row), first=first)


def conversion(loaded: str, saved: str, sample: npt.NDArray[Any] | None) -> str:
    """Return a line of Python that converts pixels to bytes.

    Args:
        loaded: The Python expression that reads the array.
        saved: The name of the file that the line writes.
        sample: Some of the array's values, whose range decides the conversion; None if there are none.
    """
    if sample is None or not sample.size or sample.dtype.kind not in "fiub" or not np.isfinite(sample).all():
        return "Scale its values to 0 to 255, and save it as uint8."
    low, high = float(sample.min()), float(sample.max())
    if low >= 0 and high <= 1:
        bytes_of = "x * 255"
    elif low >= -1 and high <= 1:
        bytes_of = "(x + 1) * 127.5"
    elif low >= 0 and high <= 255:
        bytes_of = "x"
    else:
        return f"The values of its first image go from {low:.4g} to {high:.4g}. Scale them to 0 to 255 and save uint8."
    return (
        f"The values of its first image go from {low:.4g} to {high:.4g}. In Python: x = {loaded}; "
        f"np.save({saved!r}, ({bytes_of}).round().clip(0, 255).astype('uint8'))"
    )


def choose(arrays: Mapping[str, tuple[Sequence[int], np.dtype[Any]]], where: str) -> str:
    """Return the name of the array that holds the images, found by shapes, types and names.

    Raises:
        InputError: No array can hold images, or several can.
    """
    if not arrays:
        raise InputError(f"{where} holds no array.", "Name a file with an array of images, uint8 [N, H, W, 3].")
    bytes_4d = [name for name, (shape, dtype) in arrays.items() if dtype == np.uint8 and looks_like_images(shape)]
    any_4d = [name for name, (shape, _) in arrays.items() if looks_like_images(shape)]
    grey = [name for name, (shape, dtype) in arrays.items() if dtype == np.uint8 and len(shape) == 3]
    found = bytes_4d or any_4d or grey
    for wanted in _NAMES:
        called = [name for name in found if name.rpartition("/")[2].lower() == wanted]
        if len(called) == 1:
            if len(found) > 1:
                others = ", ".join(name for name in found if name != called[0])
                console.info(f"Reading the images from {called[0]} in {where}. Not used: {others}.")
            return called[0]
    if len(found) == 1 or len(arrays) == 1:
        return found[0] if found else next(iter(arrays))
    held = ", ".join(f"{name} {in_words(*arrays[name])}" for name in (found or [*arrays])[:8])
    if found:
        raise InputError(f"{where} holds several arrays of images: {held}.", "Save the one you mean to its own file.")
    if {"mu", "sigma"} <= arrays.keys():
        raise InputError(
            f"{where} holds statistics (mu and sigma), not images.", "Pass it to an option for statistics: --reference."
        )
    raise InputError(
        f"{where} holds no array of images (uint8 [N, H, W, 3]). It holds {held}.", "Name a file of images."
    )


@dataclass(frozen=True)
class ArrayMember:
    """The place of one image in its file."""

    name: str
    file: Path | Window
    offset: int
    layout: Layout

    def read(self) -> bytes:
        try:
            with open_regular(self.file) as file:
                file.seek(self.offset)
                row = file.read(self.layout.row_bytes)
        except OSError as problem:
            raise Unreadable(f"cannot be read ({problem.strerror or problem})") from problem
        if len(row) != self.layout.row_bytes:
            raise Unreadable("the file ends before this image")
        return self.layout.encode(row)


def _read_header(file: IO[bytes], where: str) -> NpyHeader:
    """Read the header and nothing behind it.

    Raises:
        InputError: The header is damaged.
    """
    try:
        return read_npy_header(file)
    except ValueError as problem:
        raise InputError(f"{where} is not a whole .npy file: its header is damaged.", _AGAIN) from problem


def _checked(header: NpyHeader, where: str, loaded: str, path: Path, file: IO[bytes]) -> Layout:
    """Return the layout that ``header`` describes. ``file`` stands behind the header.

    A sample of the values is read if they are not uint8, so that the error can say how to convert them.
    """
    sample = None
    if header.dtype != np.uint8 and not header.dtype.hasobject and len(header.shape) > 1:
        data = file.read(min(math.prod(header.shape[1:]) * header.dtype.itemsize, _SAMPLE))
        whole = len(data) // header.dtype.itemsize * header.dtype.itemsize if header.dtype.itemsize else 0
        sample = np.frombuffer(data[:whole], header.dtype) if whole else None
    remedy = conversion(loaded, f"{path.stem}-uint8.npy", sample)
    layout = layout_of(header.shape, header.dtype, where, remedy)
    if header.fortran:
        raise InputError(
            f"{where} is stored in Fortran order, in which every image is spread over the whole file.",
            f"Save it in C order. In Python: np.save('{path.stem}-c.npy', np.ascontiguousarray({loaded})).",
        )
    if layout.note:
        console.info(f"{where}: {layout.note}.")
    return layout


class ArrayFile:
    """Images in an ``.npy`` file. Each image is found by its offset."""

    kind = "array"

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with open_regular(path) as file:
                header = _read_header(file, str(path))
                self._layout = _checked(header, str(path), f"np.load({path.name!r})", path, file)
                there = file.seek(0, io.SEEK_END) - header.length
        except OSError as problem:
            raise InputError(f"Cannot read {path}: {problem.strerror or problem}.") from problem
        self._start = header.length
        beyond = there - self._layout.count * self._layout.row_bytes
        if beyond < 0:
            whole = there // self._layout.row_bytes
            raise InputError(f"{path} is cut short: it has {whole:,} of its {self._layout.count:,} images.", _AGAIN)
        if beyond:  # np.load silently reads the first array of several.
            raise InputError(
                f"{path} has {beyond:,} bytes behind its array {in_words(header.shape, header.dtype)}. Perhaps several "
                "arrays were saved to it.",
                "Save them as one array. In Python: np.save('images.npy', np.concatenate(arrays)).",
            )
        self.names = row_names(self._layout.count)
        self.passed_over = PassedOver()

    @cached_property
    def identity(self) -> str:
        return sha256_file(self.path)

    def members(self, names: Sequence[str]) -> Iterator[ArrayMember]:
        size = self._layout.row_bytes
        return (ArrayMember(name, self.path, self._start + int(name) * size, self._layout) for name in names)


class ArrayArchive:
    """Images in an array of an ``.npz``: read in place if the array is stored, streamed if it is compressed."""

    kind = "array"

    def __init__(self, path: Path) -> None:
        self.path = path
        with _npz(path) as archive:
            arrays, headers = _headers(archive, path)
            chosen = choose({name: (header.shape, header.dtype) for name, header in headers.items()}, str(path))
            self._entry, self._header = arrays[chosen], headers[chosen]
            where = f"{chosen} in {path}"
            with archive.open(self._entry) as file:
                _read_header(file, where)
                self._layout = _checked(self._header, where, f"np.load({path.name!r})[{chosen!r}]", path, file)
            self._where = where
        require_proportion(where, self._entry.file_size, self._entry.compress_size)
        there = self._entry.file_size - self._header.length
        if there < self._layout.count * self._layout.row_bytes:
            raise InputError(f"{where} is cut short.", _AGAIN)
        self.names = row_names(self._layout.count)
        self.passed_over = PassedOver()

    @cached_property
    def identity(self) -> str:
        return sha256_file(self.path)

    @cached_property
    def _window(self) -> Window:
        """The place of the stored array. Its CRC-32 is checked here once, because workers read single rows of it."""
        window = stored(self.path, self._entry)
        window.check_crc(self._entry.CRC)
        return window

    def members(self, names: Sequence[str]) -> Iterator[ArrayMember | BytesMember]:
        size, start = self._layout.row_bytes, self._header.length
        if self._entry.compress_type == zipfile.ZIP_STORED:
            for name in names:
                yield ArrayMember(name, self._window, start + int(name) * size, self._layout)
            return
        with _npz(self.path) as archive, archive.open(self._entry) as file:
            for name in names:
                file.seek(start + int(name) * size)
                row = file.read(size)
                if len(row) != size:
                    raise InputError(f"{self._where} is cut short.", _AGAIN)
                yield BytesMember(name, self._layout.encode(row))
            while file.read(1 << 20):  # zipfile compares the CRC-32 at the end.
                pass


def stored(path: Path, entry: zipfile.ZipInfo) -> Window:
    """Return the place of an uncompressed member in its zip.

    Raises:
        InputError: The member's local header is damaged.
    """
    with open_regular(path) as file:
        file.seek(entry.header_offset)
        header = file.read(30)
    if len(header) < 30 or header[:4] != b"PK\3\4":
        raise InputError(f"{path} is damaged where {entry.filename} begins.", _AGAIN)
    lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    return Window(entry.filename, path, entry.header_offset + 30 + lengths, entry.file_size)


@contextmanager
def _npz(path: Path) -> Iterator[zipfile.ZipFile]:
    with zip_damage_told(path), open_regular(path) as file, PlainZip(file) as archive:
        yield archive


def array_entries(names: Sequence[str]) -> list[str]:
    """Return the names in a zip that are arrays, as :func:`numpy.savez` names them."""
    return [name for name in names if name.endswith(".npy") and not is_litter(name)]


def _headers(archive: zipfile.ZipFile, path: Path) -> tuple[dict[str, zipfile.ZipInfo], dict[str, NpyHeader]]:
    arrays, headers = {}, {}
    for filename in array_entries(archive.namelist()):
        name = filename.removesuffix(".npy")
        arrays[name] = archive.getinfo(filename)
        with archive.open(arrays[name]) as file:
            headers[name] = _read_header(file, f"{name} in {path}")
    return arrays, headers
