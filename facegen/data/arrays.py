"""Images in NumPy's files: one array of them in an ``.npy`` or ``.npz``, read row by row, never as a whole.

ADM's (guided-diffusion's) sample and reference batches are such files: ``arr_0``, uint8 [N, H, W, 3].
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

#: What arrays of images are called, the surest first: ADM's name, and those that people choose.
_NAMES = ("arr_0", "images", "image", "imgs", "img", "samples", "faces", "data", "x", "x_train")
_AGAIN = "Save, download or copy it again, whole."
#: Bytes of an image that are looked at to tell its range.
_SAMPLE = 16 << 20


@dataclass(frozen=True)
class Layout:
    """How an array's rows are images.

    Attributes:
        count: of images, N.
        row: the shape of one: [H, W, C], [C, H, W] or [H, W].
        first: whether its channels come first.
    """

    count: int
    row: tuple[int, ...]
    first: bool = False

    @property
    def row_bytes(self) -> int:
        return math.prod(self.row)

    @property
    def note(self) -> str | None:
        """What is done to the images besides reading them; None where it is nothing."""
        channels = 1 if len(self.row) == 2 else self.row[0 if self.first else 2]
        order = "the channels are first, [N, C, H, W]" if self.first and channels > 1 else None
        grey = f"the images are grey, {['N', *self.row]!s}, and become RGB".replace("'", "") if channels == 1 else None
        alpha = "the fourth channel is taken for transparency" if channels == 4 else None
        return "; ".join(filter(None, (order, grey, alpha))) or None

    def encode(self, row: bytes | npt.NDArray[np.uint8]) -> bytes:
        """One image as an uncompressed file: PPM; PGM where it is grey, PNG where it has transparency."""
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
    """What images without names of their own are called: their row, ``00000123``."""
    return [f"{row:08d}" for row in range(count)]


def in_words(shape: Sequence[int], dtype: np.dtype[Any]) -> str:
    """``"float32 [10, 64, 64, 3]"``."""
    return f"{dtype} {list(shape)}"


def looks_like_images(shape: Sequence[int]) -> bool:
    """Whether an array of this shape can be images with channels: [N, H, W, C] or [N, C, H, W], C 1, 3 or 4."""
    return len(shape) == 4 and any(_channels(shape))


def _channels(shape: Sequence[int]) -> tuple[bool, bool]:
    """Whether the second axis may be the channels of images, and whether the last may. (Features are 1 pixel wide.)"""
    _, second, third, last = shape
    return second in (1, 3, 4) and min(third, last) > 1, last in (1, 3, 4) and min(second, third) > 1


def layout_of(shape: Sequence[int], dtype: np.dtype[Any], where: str, remedy: str) -> Layout:
    """The layout of a uint8 array, which messages call ``where``.

    ``remedy`` says how an array of another type becomes one.

    Raises:
        InputError: it is no array of images, not of bytes, or its shape can be read in two ways.
    """
    if dtype.hasobject:
        raise InputError(
            f"{where} is an array of Python objects, which could run code when read.",
            "Save it as a plain uint8 array [N, H, W, 3].",
        )
    images = f"Images are uint8 [N, H, W, 3], and {where} is {in_words(shape, dtype)}"
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
        raise InputError(f"{where} is {in_words(shape, dtype)}: no image has {math.prod(row):,} bytes.", _AGAIN)
    if len(shape) == 3:
        if count in (3, 4):
            raise InputError(
                f"{images}: that is {count} grey images, or the channels of one.", "Save it as [N, H, W, 3]."
            )
        return Layout(count, tuple(row))
    first, last = _channels(shape)
    if first and last:
        raise InputError(
            f"{images}: its channels may be the second axis or the last.", "Save it as [N, H, W, 3], H above 4."
        )
    return Layout(count, tuple(row), first=first)


def conversion(loaded: str, saved: str, sample: npt.NDArray[Any] | None) -> str:
    """How pixels become bytes: a line of Python, by the range of a ``sample`` of them.

    ``loaded`` is the expression that reads them, ``saved`` the name of the file to write.
    """
    if sample is None or not sample.size or sample.dtype.kind not in "fiub" or not np.isfinite(sample).all():
        return "Bring it to 0 to 255, and save it as uint8."
    low, high = float(sample.min()), float(sample.max())
    if low >= 0 and high <= 1:
        bytes_of = "x * 255"
    elif low >= -1 and high <= 1:
        bytes_of = "(x + 1) * 127.5"
    elif low >= 0 and high <= 255:
        bytes_of = "x"
    else:
        return f"Its first image runs from {low:.4g} to {high:.4g}. Bring it to 0 to 255, and save it as uint8."
    return (
        f"Its first image runs from {low:.4g} to {high:.4g}. In Python: x = {loaded}; "
        f"np.save({saved!r}, ({bytes_of}).round().clip(0, 255).astype('uint8'))"
    )


def choose(arrays: Mapping[str, tuple[Sequence[int], np.dtype[Any]]], where: str) -> str:
    """The name of the array of images among several, told by shapes, types and names. InputError where none is."""
    if not arrays:
        raise InputError(f"{where} holds no array.", "Name an array of images, uint8 [N, H, W, 3].")
    bytes_4d = [name for name, (shape, dtype) in arrays.items() if dtype == np.uint8 and looks_like_images(shape)]
    any_4d = [name for name, (shape, _) in arrays.items() if looks_like_images(shape)]
    grey = [name for name, (shape, dtype) in arrays.items() if dtype == np.uint8 and len(shape) == 3]
    found = bytes_4d or any_4d or grey
    for wanted in _NAMES:
        called = [name for name in found if name.rpartition("/")[2].lower() == wanted]
        if len(called) == 1:
            if len(found) > 1:
                others = ", ".join(name for name in found if name != called[0])
                console.info(f"Images from {called[0]} in {where}; {others} is left aside.")
            return called[0]
    if len(found) == 1 or len(arrays) == 1:
        return found[0] if found else next(iter(arrays))
    held = ", ".join(f"{name} {in_words(*arrays[name])}" for name in (found or [*arrays])[:8])
    if found:
        raise InputError(f"{where} holds several arrays of images: {held}.", "Save the one you mean to its own file.")
    if {"mu", "sigma"} <= arrays.keys():
        raise InputError(
            f"{where} holds statistics (mu and sigma), no images.", "Give it where statistics are taken: --reference."
        )
    raise InputError(f"{where} holds no array of images, uint8 [N, H, W, 3]: it has {held}.")


@dataclass(frozen=True)
class ArrayMember:
    """Where a row lies in its file."""

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
            raise Unreadable("its file ends before it")
        return self.layout.encode(row)


def _read_header(file: IO[bytes], where: str) -> NpyHeader:
    """Read no further than the header. InputError where it is none; zipfile's own errors where the zip is damaged."""
    try:
        return read_npy_header(file)
    except ValueError as problem:
        raise InputError(f"{where} is not a whole .npy file: its header is damaged.", _AGAIN) from problem


def _checked(header: NpyHeader, where: str, loaded: str, path: Path, file: IO[bytes]) -> Layout:
    """The layout that ``header`` tells; ``file``, which stands behind it, gives a sample of what must be converted."""
    sample = None
    if header.dtype != np.uint8 and not header.dtype.hasobject and len(header.shape) > 1:
        data = file.read(min(math.prod(header.shape[1:]) * header.dtype.itemsize, _SAMPLE))
        whole = len(data) // header.dtype.itemsize * header.dtype.itemsize if header.dtype.itemsize else 0
        sample = np.frombuffer(data[:whole], header.dtype) if whole else None
    remedy = conversion(loaded, f"{path.stem}-uint8.npy", sample)
    layout = layout_of(header.shape, header.dtype, where, remedy)
    if header.fortran:
        raise InputError(
            f"{where} is stored in Fortran order: every image is spread over the whole file.",
            f"Save it in C order: np.save('{path.stem}-c.npy', np.ascontiguousarray({loaded})) in Python.",
        )
    if layout.note:
        console.info(f"{where}: {layout.note}.")
    return layout


class ArrayFile:
    """Images in an ``.npy`` file: each member is found by its offset."""

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
            raise InputError(f"{path} is cut short: {whole:,} of its {self._layout.count:,} images are there.", _AGAIN)
        if beyond:  # np.load reads the first of several, and says nothing
            raise InputError(
                f"{path} goes on for {beyond:,} bytes after its array {in_words(header.shape, header.dtype)}: several "
                "arrays may have been saved to it.",
                "Save them as one: np.save('images.npy', np.concatenate(arrays)) in Python.",
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
    """Images in an array of an ``.npz``: read where they lie if it is stored, streamed if it is compressed."""

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
        """Where the stored array lies; what a worker reads of it is nothing that a CRC-32 covers, so all is checked."""
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
            while file.read(1 << 20):  # the CRC-32 is compared at the end
                pass


def stored(path: Path, entry: zipfile.ZipInfo) -> Window:
    """Where a member that is not compressed lies in its zip. InputError where its local header is damaged."""
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
    """Those of a zip's names that are arrays, as :func:`numpy.savez` writes them."""
    return [name for name in names if name.endswith(".npy") and not is_litter(name)]


def _headers(archive: zipfile.ZipFile, path: Path) -> tuple[dict[str, zipfile.ZipInfo], dict[str, NpyHeader]]:
    arrays, headers = {}, {}
    for filename in array_entries(archive.namelist()):
        name = filename.removesuffix(".npy")
        arrays[name] = archive.getinfo(filename)
        with archive.open(arrays[name]) as file:
            headers[name] = _read_header(file, f"{name} in {path}")
    return arrays, headers
